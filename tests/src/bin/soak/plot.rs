//! A picture of a run: small panels with a scale each, written as SVG that needs nothing else.

use crate::sample::{COLUMNS, Sample};

const PANEL_WIDTH: f64 = 520.0;
const PANEL_HEIGHT: f64 = 230.0;
const COLUMNS_OF_PANELS: usize = 2;
/// Room around the plot of a panel: for its title, its units and its moments.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 36.0;
const HEAD: f64 = 44.0;
/// Lines of a scale, about.
const TICKS: f64 = 5.0;

/// Colours that differ also for those who do not see red from green.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

struct Panel {
    title: &'static str,
    unit: &'static str,
    /// What a figure is divided by for its unit.
    divisor: f64,
    /// Columns, each with what it is called here.
    lines: &'static [(&'static str, &'static str)],
}

const MIB: f64 = 1024.0 * 1024.0;
const PANELS: [Panel; 6] = [
    Panel {
        title: "Resident memory",
        unit: "MiB",
        divisor: MIB,
        lines: &[
            ("central_memory", "central"),
            ("primary_memory_max", "primary max"),
            ("primary_memory_median", "primary median"),
            ("secondary_memory_max", "secondary max"),
            ("secondary_memory_median", "secondary median"),
        ],
    },
    Panel {
        title: "Open file handles",
        unit: "handles",
        divisor: 1.0,
        lines: &[
            ("central_handles", "central"),
            ("primary_handles_max", "primary max"),
            ("secondary_handles_max", "secondary max"),
        ],
    },
    Panel {
        title: "Database with its write-ahead log",
        unit: "MiB",
        divisor: MIB,
        lines: &[
            ("central_database", "central"),
            ("primary_database_max", "primary max"),
            ("secondary_database_max", "secondary max"),
            ("wal_max", "log alone, max"),
        ],
    },
    Panel {
        title: "Sites",
        unit: "sites",
        divisor: 1.0,
        lines: &[
            ("sites", "members"),
            ("running", "running"),
            ("connected", "connected"),
            ("current", "current"),
        ],
    },
    Panel {
        title: "Lag of running sites in time",
        unit: "seconds",
        divisor: 1.0,
        lines: &[("lag_seconds_max", "max"), ("lag_seconds_median", "median")],
    },
    Panel {
        title: "Lag of running sites in positions",
        unit: "positions",
        divisor: 1.0,
        lines: &[
            ("lag_positions_max", "max"),
            ("lag_positions_median", "median"),
        ],
    },
];

/// The marks of a scale from zero that reaches `most`: 1, 2 or 5 times a power of ten apart.
pub fn marks(most: f64) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 {
        most
    } else {
        1.0
    };
    let rough = most / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    // Far below what is exact in a float: there are six marks or so.
    let count = (most / step - 1e-9).ceil().max(1.0);
    let mut marks = vec![0.0];
    while (marks.len() as f64) <= count {
        marks.push(marks.len() as f64 * step);
    }
    marks
}

/// A moment or figure as it is written at a scale.
pub fn label(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() { "0" } else { text }.to_owned()
}

/// The picture.
pub fn svg(samples: &[Sample], title: &str) -> String {
    let figures: Vec<[f64; COLUMNS.len()]> = samples.iter().map(Sample::figures).collect();
    let rows = PANELS.len().div_ceil(COLUMNS_OF_PANELS) as f64;
    let (width, height) = (
        PANEL_WIDTH * COLUMNS_OF_PANELS as f64,
        PANEL_HEIGHT * rows + HEAD,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"16\" y=\"28\" font-size=\"17\">{}</text>\n",
        escaped(title)
    );
    for (number, panel) in PANELS.iter().enumerate() {
        let x = (number % COLUMNS_OF_PANELS) as f64 * PANEL_WIDTH;
        let y = (number / COLUMNS_OF_PANELS) as f64 * PANEL_HEIGHT + HEAD;
        svg += &format!("<g transform=\"translate({x},{y})\">\n");
        svg += &panel.drawn(&figures);
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl Panel {
    fn drawn(&self, figures: &[[f64; COLUMNS.len()]]) -> String {
        let series: Vec<Vec<(f64, f64)>> = self
            .lines
            .iter()
            .map(|(column, _)| points(figures, column, self.divisor))
            .collect();
        let greatest = |of: fn(&(f64, f64)) -> f64| {
            let all = series.iter().flatten().map(of);
            all.filter(|figure| figure.is_finite()).fold(0.0, f64::max)
        };
        let minutes = marks(greatest(|point| point.0));
        let values = marks(greatest(|point| point.1));
        let scale = Scale {
            minutes: minutes[minutes.len() - 1],
            value: values[values.len() - 1],
        };
        let (left, right) = (LEFT, PANEL_WIDTH - RIGHT);
        let mut svg = format!(
            "<text x=\"{left}\" y=\"14\" font-size=\"13\" font-weight=\"bold\">{} <tspan \
             font-weight=\"normal\" fill=\"#555\">({})</tspan></text>\n",
            escaped(self.title),
            escaped(self.unit)
        );
        for value in &values {
            let y = scale.y(*value);
            svg += &format!(
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                left - 6.0,
                y + 4.0,
                label(*value)
            );
        }
        let floor = scale.y(0.0);
        for minute in &minutes {
            let x = scale.x(*minute);
            svg += &format!(
                "<line x1=\"{x:.1}\" y1=\"{floor:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#555\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                floor + 4.0,
                floor + 16.0,
                label(*minute)
            );
        }
        svg += &format!(
            "<text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">minutes</text>\n",
            floor + 30.0
        );
        let mut at = left;
        for ((points, (_, name)), colour) in series.iter().zip(self.lines).zip(COLOURS) {
            svg += &scale.path(points, colour);
            svg += &format!(
                "<rect x=\"{at:.1}\" y=\"24\" width=\"10\" height=\"3\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"30\" font-size=\"10\">{}</text>\n",
                at + 13.0,
                escaped(name)
            );
            // A letter of this size takes less than six units.
            at += 24.0 + 5.5 * name.len() as f64;
        }
        svg
    }
}

/// A column over the minutes.
fn points(figures: &[[f64; COLUMNS.len()]], column: &str, divisor: f64) -> Vec<(f64, f64)> {
    let at = COLUMNS.iter().position(|name| *name == column);
    let at = at.expect("a panel shows columns that there are");
    let figures = figures.iter();
    figures
        .map(|row| (row[0] / 60.0, row[at] / divisor))
        .collect()
}

struct Scale {
    minutes: f64,
    value: f64,
}

impl Scale {
    fn x(&self, minutes: f64) -> f64 {
        LEFT + minutes / self.minutes * (PANEL_WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        PANEL_HEIGHT - BOTTOM - value / self.value * (PANEL_HEIGHT - TOP - BOTTOM)
    }

    /// A line through the points; broken where there is no figure.
    fn path(&self, points: &[(f64, f64)], colour: &str) -> String {
        let mut path = String::new();
        let mut draws = false;
        for (minutes, value) in points {
            if !value.is_finite() {
                draws = false;
                continue;
            }
            let step = if draws { 'L' } else { 'M' };
            path += &format!("{step}{:.1} {:.1}", self.x(*minutes), self.y(*value));
            draws = true;
        }
        format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.4\"/>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_reaches_what_it_shows_in_few_even_steps() {
        assert_eq!(marks(10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(marks(47.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        for most in [0.003, 0.7, 1.0, 3.0, 99.9, 12_345.0, 8e9] {
            let marks = marks(most);
            let last = marks[marks.len() - 1];
            assert!(
                last >= most * 0.999_999 && last < most * 2.0,
                "{most}: {marks:?}"
            );
            assert!((3..=7).contains(&marks.len()), "{most}: {marks:?}");
        }
        assert_eq!(marks(0.0), marks(1.0));
        assert_eq!(marks(f64::NAN), marks(1.0));
    }

    #[test]
    fn labels_have_no_needless_places() {
        let labels = [0.0, 0.25, 10.0, 1500.0].map(label);
        assert_eq!(labels, ["0", "0.25", "10", "1500"]);
    }

    #[test]
    fn what_is_highest_is_at_the_top_and_a_gap_breaks_the_line() {
        let scale = Scale {
            minutes: 10.0,
            value: 5.0,
        };
        assert!((scale.y(0.0) - (PANEL_HEIGHT - BOTTOM)).abs() < 1e-9);
        assert!((scale.y(5.0) - TOP).abs() < 1e-9);
        assert!((scale.x(10.0) - (PANEL_WIDTH - RIGHT)).abs() < 1e-9);
        let path = scale.path(
            &[(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0), (3.0, 1.0)],
            "red",
        );
        assert_eq!(
            (path.matches('M').count(), path.matches('L').count()),
            (2, 1)
        );
    }

    #[test]
    fn a_picture_of_nothing_is_a_picture_all_the_same() {
        let svg = svg(&[], "a < b");
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
