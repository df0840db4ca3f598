//! Every recorded exchange: requests are read by the server's decoder and written again byte for byte,
//! answers are read by the client's decoder.

use crate::support::shared_data;
use catalog::{RevisionId, UpdateId};
use std::fs;
use wsus::fault::{ErrorCode, Fault};
use wsus::message::{Operation, Request, Response, SoapVersion};

fn recorded(exchange: &str, file: &str) -> Option<Vec<u8>> {
    let path = shared_data()?
        .join("captures/exchanges")
        .join(exchange)
        .join(file);
    Some(fs::read(path).unwrap())
}

fn answer(exchange: &str, operation: Operation) -> Option<Result<Response, Fault>> {
    let body = recorded(exchange, "response.body")?;
    Some(Response::decode(&body, operation).unwrap())
}

fn document(name: &str) -> String {
    let path = shared_data().unwrap().join("captures/updates").join(name);
    fs::read_to_string(path).unwrap()
}

#[test]
fn every_recorded_request_is_read_and_written_as_it_was_recorded() {
    let Some(data) = shared_data() else { return };
    let mut exchanges = 0;
    for entry in fs::read_dir(data.join("captures/exchanges")).unwrap() {
        let body = fs::read_to_string(entry.unwrap().path().join("request.body")).unwrap();
        let (version, request) = Request::decode(body.as_bytes()).unwrap();
        assert_eq!(version, SoapVersion::V11);
        // The recorded client left out what every real downstream server has to send.
        let expected = body.replace(
            "</GetConfig><",
            "</GetConfig><Get63LanguageOnly>false</Get63LanguageOnly><",
        );
        assert_eq!(request.encode(version), expected);
        exchanges += 1;
    }
    assert_eq!(exchanges, 12);
}

#[test]
fn the_headers_of_the_recorded_requests_name_our_actions() {
    let Some(data) = shared_data() else { return };
    for entry in fs::read_dir(data.join("captures/exchanges")).unwrap() {
        let folder = entry.unwrap().path();
        let body = fs::read(folder.join("request.body")).unwrap();
        let (_, request) = Request::decode(&body).unwrap();
        let headers = fs::read_to_string(folder.join("request.headers")).unwrap();
        let action = request.operation().soap_action();
        assert!(
            headers.contains(&format!("Soapaction: {action}")),
            "{action}"
        );
    }
}

#[test]
fn the_handshake_is_read() {
    let Some(Ok(Response::AuthConfig(config))) = answer("000001", Operation::GetAuthConfig) else {
        assert!(shared_data().is_none());
        return;
    };
    assert_eq!(config.plug_ins[0].plug_in_id, "DssTargeting");
    assert_eq!(
        config.plug_ins[0].service_url,
        "DssAuthWebService/DssAuthWebService.asmx"
    );
    let Some(Ok(Response::AuthorizationCookie(cookie))) =
        answer("000002", Operation::GetAuthorizationCookie)
    else {
        panic!("no authorization");
    };
    assert_eq!(
        (cookie.plug_in_id.as_str(), cookie.cookie_data.len()),
        ("DssTargeting", 432)
    );
    let Some(Ok(Response::Cookie(cookie))) = answer("000003", Operation::GetCookie) else {
        panic!("no cookie");
    };
    assert_eq!(cookie.expiration.to_string(), "2026-10-04T20:33:26.65455Z");
}

#[test]
fn the_configuration_is_read_in_the_order_of_windows() {
    let Some(Ok(Response::ConfigData(config))) = answer("000005", Operation::GetConfigData) else {
        assert!(shared_data().is_none());
        return;
    };
    assert_eq!(config.max_updates_per_request, 100);
    assert_eq!(config.max_updates_per_decryption_request, 100);
    assert_eq!(config.new_config_anchor, "9438,2026-10-04 16:33:26.670");
    assert_eq!(config.protocol_version.as_deref(), Some("1.20"));
    assert!(config.lazy_sync && !config.catalog_only_sync && !config.server_hosts_psf_files);
    assert_eq!(config.languages.len(), 39);
    assert_eq!(config.languages[1].short_name, "ar");
    let Some(Ok(Response::ConfigData(changes))) = answer("000004", Operation::GetConfigData) else {
        panic!("no configuration");
    };
    assert_eq!(changes.languages, []);
}

#[test]
fn revision_lists_are_read_full_and_empty() {
    let Some(Ok(Response::RevisionList(list))) = answer("000006", Operation::GetRevisionIdList)
    else {
        assert!(shared_data().is_none());
        return;
    };
    assert_eq!(list.revisions.len(), 30);
    assert_eq!(list.anchor, "9438,2026-10-04 16:33:26.671");
    let first: UpdateId = "e6cf1350-c01b-414d-a61f-263d14d133b4".parse().unwrap();
    assert_eq!(list.revisions[0], RevisionId::new(first, 100));
    let Some(Ok(Response::RevisionList(empty))) = answer("000011", Operation::GetRevisionIdList)
    else {
        panic!("no list");
    };
    assert_eq!(empty.revisions, []);
}

#[test]
fn documents_are_read_plain_and_compressed() {
    let Some(Ok(Response::UpdateData(plain))) = answer("000015", Operation::GetUpdateData) else {
        assert!(shared_data().is_none());
        return;
    };
    assert_eq!(plain.updates.len(), 1);
    let text = &plain.updates[0].document;
    assert_eq!(
        *text,
        document("ccb78947-6453-4ecc-9de8-bc0305c98f2d-r200.xml")
    );
    let Some(Ok(Response::UpdateData(packed))) = answer("000016", Operation::GetUpdateData) else {
        panic!("no update");
    };
    let text = &packed.updates[0].document;
    assert_eq!(
        *text,
        document("56309036-4c77-4dd9-951a-99ee9c246a94-r101.xml")
    );
    assert!(packed.unreadable.is_empty() && packed.file_urls.is_empty());
}

#[test]
fn faults_are_read_with_their_codes() {
    for (exchange, operation, code, message) in [
        (
            "000017",
            Operation::GetUpdateData,
            ErrorCode::InternalServerError,
            "",
        ),
        (
            "000018",
            Operation::GetRevisionIdList,
            ErrorCode::InvalidParameters,
            "filter",
        ),
        (
            "000019",
            Operation::GetRevisionIdList,
            ErrorCode::InvalidCookie,
            "",
        ),
    ] {
        let Some(answer) = answer(exchange, operation) else {
            return;
        };
        let fault = answer.unwrap_err();
        assert_eq!((&fault.code, fault.message.as_str()), (&code, message));
        assert_eq!(fault.method, operation.soap_action());
        assert!(fault.id.is_some());
        // Written by us, it is the same but for how an empty element looks.
        let body = recorded(exchange, "response.body").unwrap();
        assert_eq!(
            fault.encode(SoapVersion::V11),
            String::from_utf8(body).unwrap()
        );
    }
}

#[test]
fn our_answers_are_those_of_windows_but_for_white_space_in_empty_elements() {
    for (exchange, operation) in [
        ("000001", Operation::GetAuthConfig),
        ("000002", Operation::GetAuthorizationCookie),
        ("000003", Operation::GetCookie),
        ("000004", Operation::GetConfigData),
        ("000005", Operation::GetConfigData),
        ("000006", Operation::GetRevisionIdList),
        ("000011", Operation::GetRevisionIdList),
        ("000015", Operation::GetUpdateData),
    ] {
        let Some(answer) = answer(exchange, operation) else {
            return;
        };
        let body = String::from_utf8(recorded(exchange, "response.body").unwrap()).unwrap();
        let ours = answer.unwrap().encode(SoapVersion::V11);
        let theirs = body.replace("<NewRevisions />", "<NewRevisions/>");
        let theirs = theirs.replace("<Parameter />", "<Parameter/>");
        let theirs = theirs.replace("<LanguageUpdateList />", "<LanguageUpdateList/>");
        let theirs = theirs.replace("<fileUrls />", "<fileUrls/>");
        assert_eq!(ours, theirs);
    }
}
