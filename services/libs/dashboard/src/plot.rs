//! Convergence over time as a plot.

use crate::convergence::Sample;
use jiff::Timestamp;
use std::fmt::Write as _;

/// Width and height of the drawing.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;

/// The share of current sites over time, as steps; and where time begins and ends.
pub struct Plot {
    /// The outline of the area below the line, as a path of SVG.
    pub area: String,
    /// The line.
    pub line: String,
    pub from: Timestamp,
    pub width: f64,
    pub height: f64,
}

impl Plot {
    /// The plot of some samples until now; nothing where there are too few to show anything.
    pub fn of(samples: &[Sample], now: Timestamp) -> Option<Self> {
        let first = samples.first()?;
        let span = now.duration_since(first.at).as_secs_f64();
        if span < 1.0 {
            return None;
        }
        let x = |at: Timestamp| at.duration_since(first.at).as_secs_f64() / span * WIDTH;
        let y = |sample: &Sample| {
            #[expect(clippy::cast_precision_loss, reason = "sites are counted in thousands")]
            let share = sample.current as f64 / sample.sites.max(1) as f64;
            HEIGHT - share * HEIGHT
        };
        let mut line = String::new();
        let mut last = None;
        for sample in samples {
            let (x, y) = (x(sample.at).min(WIDTH), y(sample));
            // Writing to a String cannot fail.
            let _ = match last {
                None => write!(line, "M{x:.1} {y:.1}"),
                Some(held) if held == y => Ok(()),
                Some(_) => write!(line, "H{x:.1}V{y:.1}"),
            };
            last = Some(y);
        }
        let _ = write!(line, "H{WIDTH}");
        Some(Self {
            area: format!("{line}V{HEIGHT}H0Z"),
            line,
            from: first.at,
            width: WIDTH,
            height: HEIGHT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_steps_where_the_share_changes() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let sample = |second, current| Sample {
            at: at(second),
            sites: 4,
            current,
        };
        let samples = [sample(0, 4), sample(10, 4), sample(50, 1), sample(75, 4)];
        let plot = Plot::of(&samples, at(100)).unwrap();
        assert_eq!(plot.line, "M0.0 0.0H360.0V90.0H540.0V0.0H720");
        assert_eq!(plot.area, "M0.0 0.0H360.0V90.0H540.0V0.0H720V120H0Z");
        assert!(Plot::of(&samples[..1], at(0)).is_none());
        assert!(Plot::of(&[], at(9)).is_none());
    }
}
