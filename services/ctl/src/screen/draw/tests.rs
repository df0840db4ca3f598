use super::*;
use crate::screen::model::{Event, Key};
use hierarchy::samples::{at, report, run};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use wire::v1::StatusMessage;

fn view() -> View {
    View {
        now: jiff::Timestamp::from_second(200).unwrap(),
        zone: TimeZone::UTC,
        colour: true,
        width: None,
    }
}

/// The picture as text, without blanks at the ends of lines.
fn picture(model: &Model, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, &view())).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let cells = (0..width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

fn message(site: &str, severity: &str, said: &str) -> StatusEntry {
    StatusEntry {
        message: Some(StatusMessage {
            site_code: site.to_owned(),
            time: Some(at(150)),
            status_id: 6703,
            ..StatusMessage::default()
        }),
        severity: severity.to_owned(),
        text: said.to_owned(),
        cure: String::new(),
        ..StatusEntry::default()
    }
}

/// A central site with one that runs and one that is behind and not reached.
fn three() -> Model {
    let mut running = report("PR1", "primary", "CAS");
    let mut updates = run(2, "SyncingUpdates");
    (updates.processed, updates.total) = (630, 1_000);
    running.run = Some(updates);
    let mut away = report("SE1", "secondary", "PR1");
    (away.connected, away.verified_position) = (false, 4);
    let mut model = Model::default();
    let sites = vec![report("CAS", "central", ""), running, away];
    model.on(Event::Sites(Hierarchy::new(sites)));
    let messages = vec![
        message("SE1", "error", "synchronization failed: \u{1b}[2Jno route"),
        message("CAS", "information", "synchronization succeeded"),
    ];
    model.on(Event::Messages(String::new(), messages));
    model
}

/// A hierarchy of a thousand sites: ten primary ones, the rest below them.
fn thousand() -> Model {
    let mut sites = vec![report("CAS", "central", "")];
    for primary in 0..10 {
        sites.push(report(&format!("P{primary:02}"), "primary", "CAS"));
    }
    for secondary in 0..989 {
        let parent = format!("P{:02}", secondary % 10);
        sites.push(report(&format!("{secondary:03}"), "secondary", &parent));
    }
    let mut model = Model::default();
    model.on(Event::Sites(Hierarchy::new(sites)));
    model
}

#[test]
fn three_sites_fit_a_small_terminal() {
    let shown = picture(&three(), 80, 24);
    let expected = include_str!("three_80x24.txt");
    assert_eq!(shown.join("\n").trim_end(), expected.trim_end());
}

#[test]
fn three_sites_stand_beside_their_log_in_a_wide_one() {
    let shown = picture(&three(), 200, 60);
    assert!(shown[1].contains(" Sites ") && shown[1].contains(" Log of all sites "));
    assert!(
        shown[4].contains("PR1") && shown[4].contains("██████░░░░"),
        "{}",
        shown[4]
    );
    assert!(
        shown[4].contains("Synchronizing updates 63%"),
        "{}",
        shown[4]
    );
    assert!(shown[5].contains("Offline"), "{}", shown[5]);
    assert!(shown[2].contains("00:02:30 CAS   6703 synchronization succeeded"));
    assert!(shown[3].contains("synchronization failed:  [2Jno route"));
    assert!(shown[0].starts_with("Headwater  1 of 3 sites current  1 running  1 offline"));
}

#[test]
fn a_thousand_sites_are_drawn_as_far_as_they_are_seen() {
    for (width, height) in [(80, 24), (200, 60)] {
        let mut model = thousand();
        let first = picture(&model, width, height);
        assert!(
            first[0].contains("1000 of 1000 sites current"),
            "{}",
            first[0]
        );
        assert!(first[3].contains("CAS"), "{}", first[3]);
        model.on(Event::Key(Key::End));
        let last = picture(&model, width, height);
        assert!(last.iter().any(|line| line.contains("979")), "{last:#?}");
        assert!(!last.iter().any(|line| line.contains("CAS")), "{last:#?}");
    }
}

#[test]
fn help_details_and_search_are_drawn_over_it() {
    let mut model = three();
    model.on(Event::Key(Key::Letter('?')));
    let help = picture(&model, 80, 24).join("\n");
    assert!(
        help.contains("cancel the synchronization at every site"),
        "{help}"
    );
    model.on(Event::Key(Key::Escape));
    model.on(Event::Key(Key::End));
    model.on(Event::Key(Key::Enter));
    let details = picture(&model, 80, 24).join("\n");
    assert!(details.contains("Parent        PR1"), "{details}");
    model.on(Event::Key(Key::Escape));
    for letter in "/pr".chars() {
        model.on(Event::Key(Key::Letter(letter)));
    }
    let search = picture(&model, 80, 24);
    assert!(search[1].contains("Sites: pr (1)"), "{}", search[1]);
    assert_eq!(search[23], "/pr_");
}

#[test]
fn no_size_is_too_small() {
    for (width, height) in [(1, 1), (2, 3), (10, 4), (79, 5), (130, 2), (400, 1)] {
        for keys in ["", "?", "\n", "/", "c"] {
            let mut model = three();
            for key in keys.chars() {
                let key = if key == '\n' {
                    Key::Enter
                } else {
                    Key::Letter(key)
                };
                model.on(Event::Key(key));
            }
            let shown = picture(&model, width, height);
            assert_eq!(shown.len(), usize::from(height));
        }
    }
}
