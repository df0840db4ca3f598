//! Requests to our server.

use crate::samples::request_texts;
use testkit::Door;
use testkit::door::{sentence, unfit};
use testkit::mutate::{cuts, damage, encodings, markup};
use wsus::message::{DecodeError, Request, SoapVersion};

fn request(bytes: &[u8]) -> Result<(), String> {
    let (version, request) = Request::decode(bytes).map_err(|error| {
        // Named in the fault that is answered.
        let parameter = error.parameter().unwrap_or("request");
        assert_eq!(unfit(parameter), None);
        // The reason of the fault, which has to be well-formed XML.
        assert_eq!(unfit(&error.to_string()), None);
        sentence(&error)
    })?;
    let again = Request::decode(request.encode(version).as_bytes());
    assert_eq!(again.unwrap(), (version, request));
    Ok(())
}

#[test]
fn bad_requests_are_refused() {
    let mut door = Door::new("SOAP requests");
    for (seed, text) in (0..).zip(request_texts()) {
        request(text.as_bytes()).unwrap();
        door.knock_all(cuts(text.as_bytes()), request);
        door.knock_all(damage(text.as_bytes(), seed, 250), request);
        door.knock_all(markup::rearranged(&text, seed, 100), request);
        door.knock_all(markup::bombs(&text), request);
        door.knock_all(encodings(&text), request);
    }
    door.close(3_000);
}

#[test]
fn a_request_without_its_end_is_never_taken() {
    for text in request_texts() {
        // What closes body and envelope is not looked at.
        let end = text.rfind("Body>").unwrap() - 7;
        for cut in cuts(&text.as_bytes()[..end]) {
            assert!(request(&cut.bytes).is_err(), "{}: {text}", cut.what);
        }
    }
}

#[test]
fn control_characters_in_the_names_of_elements_are_not_repeated() {
    let name = "x\u{1b}\n\u{7}\u{202e}".repeat(10);
    let start = "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\">";
    let text = format!("{start}<e:Body><{name}><{name}></e:Body>");
    let error = Request::decode(text.as_bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::Unexpected { .. }), "{error}");
    let deep = format!("<{name}>").repeat(25);
    let text = format!("{start}<e:Body><GetConfigData>{deep}</e:Body>");
    let error = Request::decode(text.as_bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::Syntax { .. }), "{error}");
    assert_eq!(unfit(&sentence(&error)), None);
}

#[test]
fn a_request_is_answered_in_its_version_whatever_stands_around_it() {
    for version in [SoapVersion::V11, SoapVersion::V12] {
        let text = Request::GetAuthConfig.encode(version);
        for around in ["\u{feff}", "<!-- ä -->", "\n\n"] {
            let text = if around == "\u{feff}" {
                format!("{around}{text}")
            } else {
                text.replace("?>", &format!("?>{around}"))
            };
            assert_eq!(
                Request::decode(text.as_bytes()).unwrap().0,
                version,
                "{text}"
            );
        }
    }
}
