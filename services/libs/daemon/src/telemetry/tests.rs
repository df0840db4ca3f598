use super::*;
use crate::traces::Span;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// What was written, for the test to read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn told(settings: &Settings) -> String {
    let lines = Lines::default();
    let writer = {
        let lines = lines.clone();
        move || lines.clone()
    };
    let subscriber = subscriber(settings, writer, false).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(site = "PR1", "line\nbreak");
        tracing::debug!("detail");
    });
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn people_read_lines_and_only_what_the_filter_lets_through() {
    let text = told(&Settings::default());
    assert!(text.contains("INFO"), "{text}");
    assert!(text.contains("site=\"PR1\""), "{text}");
    assert!(!text.contains("detail"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let filter = "debug".to_owned();
    assert!(
        told(&Settings {
            filter,
            ..Settings::default()
        })
        .contains("detail")
    );
}

#[test]
fn programs_read_one_json_object_a_line() {
    let text = told(&Settings {
        format: Format::Json,
        ..Settings::default()
    });
    assert_eq!(text.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "line\nbreak");
    assert_eq!(line["site"], "PR1");
    assert_eq!(line["level"], "INFO");
}

#[test]
fn bad_settings_are_refused_by_name() {
    let refusal = |settings: Settings| {
        let endpoint = settings.otlp_endpoint.as_deref();
        let result = match endpoint {
            Some(endpoint) => collector(endpoint, "test").map(|_| ()),
            None => subscriber(&settings, io::stderr, false).map(|_| ()),
        };
        result.unwrap_err().to_string()
    };
    let filter = "sync=loud".to_owned();
    let error = refusal(Settings {
        filter,
        ..Settings::default()
    });
    assert!(
        error.starts_with("telemetry.filter \"sync=loud\" is not understood"),
        "{error}"
    );
    for endpoint in ["https://collector:4317", "127.0.0.1:4317", "http://[broken"] {
        let otlp_endpoint = Some(endpoint.to_owned());
        let error = refusal(Settings {
            otlp_endpoint,
            ..Settings::default()
        });
        assert!(error.starts_with("telemetry.otlp_endpoint"), "{error}");
    }
}

#[test]
fn settings_read_from_a_file() {
    let text = "format = \"json\"\notlp_endpoint = \"http://127.0.0.1:4317\"\n";
    let settings: Settings = toml::from_str(text).unwrap();
    assert_eq!(settings.format, Format::Json);
    assert_eq!(settings.filter, "info");
    let error = toml::from_str::<Settings>("format = \"xml\"").unwrap_err();
    assert!(error.message().contains("`human` or `json`"), "{error}");
}

#[tokio::test]
async fn a_collector_that_is_silent_does_not_hold_up_the_end() {
    // Accepts connections into its backlog and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let collector = Some(Arc::new(collector(&endpoint, "test").unwrap()));
    let telemetry = Telemetry { collector };
    telemetry.traces().tell(Span {
        trace: [1; 16],
        id: [1; 8],
        parent: None,
        parent_is_remote: false,
        name: "work",
        began: jiff::Timestamp::UNIX_EPOCH,
        ended: jiff::Timestamp::UNIX_EPOCH,
        attributes: vec![],
        error: None,
    });
    let began = tokio::time::Instant::now();
    telemetry.shutdown(Duration::from_millis(300)).await;
    assert!(began.elapsed() < Duration::from_secs(3));
}
