//! Answers that our client reads.

use crate::samples::answer_texts;
use testkit::Door;
use testkit::door::{sentence, unfit};
use testkit::mutate::{cuts, damage, encodings, markup};
use wsus::fault::{ErrorCode, Fault};
use wsus::message::{Operation, Response, SoapVersion};

/// No answer that is spoilt here holds so many characters of documents, nor should a spoilt one.
const MOST_KEPT: usize = 1 << 20;

fn answer(operation: Operation, bytes: &[u8]) -> Result<(), String> {
    let decoded = Response::decode(bytes, operation).map_err(|error| sentence(&error))?;
    let answer = match decoded {
        Ok(answer) => answer,
        Err(fault) => return Err(fault.to_string()),
    };
    if let Response::UpdateData(data) = &answer {
        for update in &data.unreadable {
            assert_eq!(unfit(&update.reason), None);
        }
        if !data.unreadable.is_empty() {
            return Err("some documents cannot be read".to_owned());
        }
        let kept: usize = data.updates.iter().map(|u| u.document.len()).sum();
        assert!(kept <= MOST_KEPT, "more than any of these answers holds");
    }
    let text = answer.encode(SoapVersion::V11);
    let again = Response::decode(text.as_bytes(), operation);
    assert!(again.unwrap().unwrap() == answer);
    Ok(())
}

#[test]
fn bad_answers_are_refused() {
    let mut door = Door::new("SOAP answers");
    for (seed, (operation, text)) in (0..).zip(answer_texts()) {
        let open = |bytes: &[u8]| answer(operation, bytes);
        door.knock_all(cuts(text.as_bytes()), open);
        door.knock_all(damage(text.as_bytes(), seed, 250), open);
        door.knock_all(markup::rearranged(&text, seed, 100), open);
        door.knock_all(markup::bombs(&text), open);
        door.knock_all(encodings(&text), open);
    }
    door.close(3_000);
}

#[test]
fn bad_faults_are_shown_in_one_short_line() {
    let fault = Fault {
        reason: "Server was unable to process request.\n   at X".into(),
        ..Fault::new(ErrorCode::InvalidParameters, "filter & more")
    };
    let mut door = Door::new("SOAP faults");
    for version in [SoapVersion::V11, SoapVersion::V12] {
        let text = fault.encode(version);
        let open = |bytes: &[u8]| {
            let outcome = Response::decode(bytes, Operation::Ping);
            match outcome.map_err(|error| sentence(&error))? {
                Ok(other) => panic!("{other:?}"),
                Err(fault) => {
                    assert_eq!(unfit(&fault.to_string()), None);
                    // In the middle of a longer sentence of the client.
                    Err(fault.to_string())
                }
            }
        };
        door.knock_all(cuts(text.as_bytes()), open);
        door.knock_all(damage(text.as_bytes(), 7, 500), open);
        door.knock_all(markup::rearranged(&text, 7, 100), open);
        door.knock_all(markup::bombs(&text), open);
    }
    door.close(1_500);
}

#[test]
fn an_error_code_without_end_is_cut() {
    let code = "Broken\n\u{1b}[31m".repeat(10_000);
    let text = Fault::new(ErrorCode::Other(code), "").encode(SoapVersion::V11);
    let fault = Response::decode(text.as_bytes(), Operation::Ping).unwrap();
    assert_eq!(unfit(&fault.unwrap_err().to_string()), None);
}
