//! Messages that were cut, damaged or made to do harm.

use crate::support::{id, shared_data};
use proptest::prelude::*;
use std::fs;
use wsus::message::{
    ConfigData, Cookie, DecodeError, DecryptionData, Deployments, FileKey, FileUrl, GetCookie,
    GetRevisionIdList, IdAndDelta, Language, Operation, Request, Response, RevisionFilter,
    RevisionKeys, RevisionList, ServerSyncUpdate, SoapVersion, UpdateData,
};

fn update_data(documents: impl IntoIterator<Item = String>) -> UpdateData {
    let update = |(n, document)| ServerSyncUpdate {
        id: id(n),
        document,
        file_digests: vec![[5; 20]],
    };
    UpdateData {
        updates: (0..).zip(documents).map(update).collect(),
        file_urls: vec![FileUrl {
            digest: vec![5; 20],
            mu_url: Some("http://mu.example/?a=1&b=2".into()),
            uss_url: None,
        }],
        unreadable: vec![],
    }
}

#[test]
fn messages_cut_anywhere_give_errors() {
    let documents = ["<a>\r\n&amp;</a>".to_owned(), "<b/>".repeat(2_000)];
    let answer = Response::UpdateData(update_data(documents)).encode(SoapVersion::V11);
    let mut cuts = vec![(answer.into_bytes(), Operation::GetUpdateData)];
    if let Some(data) = shared_data() {
        for (exchange, operation) in [
            ("000005", Operation::GetConfigData),
            ("000006", Operation::GetRevisionIdList),
            ("000016", Operation::GetUpdateData),
        ] {
            let path = data
                .join("captures/exchanges")
                .join(exchange)
                .join("response.body");
            cuts.push((fs::read(path).unwrap(), operation));
        }
    }
    for (whole, operation) in cuts {
        // The answer is over with its result element: what closes the envelope is not looked at.
        let end = String::from_utf8_lossy(&whole).rfind("Result></").unwrap();
        for length in (0..end).step_by(50) {
            let outcome = Response::decode(&whole[..length], operation);
            assert!(outcome.is_err(), "{operation} cut at {length}");
        }
    }
}

fn body(content: &str) -> String {
    format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{content}</s:Body></s:Envelope>"
    )
}

fn refused(content: &str, operation: Operation) -> DecodeError {
    match Response::decode(body(content).as_bytes(), operation) {
        Err(error) => error,
        Ok(answer) => panic!("accepted: {answer:?}"),
    }
}

#[test]
fn entities_do_not_multiply() {
    let mut bomb = String::from("<!DOCTYPE lolz [<!ENTITY a0 \"lol\">");
    for n in 1..10 {
        bomb.push_str(&format!(
            "<!ENTITY a{n} \"{}\">",
            format!("&a{};", n - 1).repeat(10)
        ));
    }
    bomb.push_str("]>");
    bomb.push_str(&body("<GetConfigDataResponse>&a9;</GetConfigDataResponse>"));
    let outcome = Response::decode(bomb.as_bytes(), Operation::GetConfigData);
    assert!(matches!(outcome, Err(DecodeError::DocumentType)));
    let outcome = Request::decode(bomb.as_bytes());
    assert!(matches!(outcome, Err(DecodeError::DocumentType)));
}

#[test]
fn nesting_has_an_end() {
    let deep = "<x>".repeat(1_000_000);
    let content = format!("<GetConfigDataResponse>{deep}");
    assert!(matches!(
        refused(&content, Operation::GetConfigData),
        DecodeError::TooDeep
    ));
}

#[test]
fn values_of_the_wrong_type_are_named_with_their_place() {
    let content = "<GetRevisionIdListResponse><GetRevisionIdListResult><NewRevisions><UpdateIdentity>\
        <UpdateID>x</UpdateID></UpdateIdentity>";
    assert_eq!(
        refused(content, Operation::GetRevisionIdList).to_string(),
        "Envelope/Body/GetRevisionIdListResponse/GetRevisionIdListResult/NewRevisions/UpdateIdentity/UpdateID \
         holds \"x\", which is not a GUID"
    );
    for (content, operation) in [
        (
            "<GetCookieResponse><GetCookieResult/></GetCookieResponse>",
            Operation::GetCookie,
        ),
        ("<GetCookieResponse/>", Operation::GetCookie),
        (
            "<GetCookieResponse><GetCookieResult><EncryptedData>====</EncryptedData></GetCookieResult></GetCookieResponse>",
            Operation::GetCookie,
        ),
        (
            "<GetConfigDataResponse><GetConfigDataResult><MaxNumberOfUpdatesPerRequest>-1</MaxNumberOfUpdatesPerRequest></GetConfigDataResult></GetConfigDataResponse>",
            Operation::GetConfigData,
        ),
        (
            "<GetConfigDataResponse>text</GetConfigDataResponse>",
            Operation::GetConfigData,
        ),
        ("<OtherResponse/>", Operation::GetConfigData),
        ("", Operation::GetConfigData),
    ] {
        refused(content, operation);
    }
}

#[test]
fn a_document_that_cannot_be_read_leaves_the_others_good() {
    let good = Response::UpdateData(update_data(["<a/>".to_owned()])).encode(SoapVersion::V11);
    let item = |n: u32, blob: &str| {
        format!(
            "<ServerSyncUpdateData><Id><UpdateID>00000000-0000-0000-0000-00000000000{n}</UpdateID>\
             <RevisionNumber>1</RevisionNumber></Id>{blob}</ServerSyncUpdateData>"
        )
    };
    let bad = [
        item(
            1,
            "<XmlUpdateBlobCompressed>TVNDRg==</XmlUpdateBlobCompressed>",
        ),
        item(2, ""),
        item(
            3,
            "<FileDigestList><base64Binary>AAAA</base64Binary></FileDigestList><XmlUpdateBlob>x</XmlUpdateBlob>",
        ),
    ];
    let mixed = good.replace("<updates>", &format!("<updates>{}", bad.concat()));
    let Ok(Ok(Response::UpdateData(data))) =
        Response::decode(mixed.as_bytes(), Operation::GetUpdateData)
    else {
        panic!("refused");
    };
    assert_eq!(data.updates.len(), 1);
    let reasons: Vec<_> = data.unreadable.iter().map(|u| u.reason.as_str()).collect();
    assert!(
        reasons[0].starts_with("the compressed document is not a readable cabinet"),
        "{}",
        reasons[0]
    );
    assert_eq!(reasons[1], "the answer has no document for it");
    assert_eq!(reasons[2], "a file digest is not a SHA-1");
}

#[test]
fn elements_are_read_in_any_order_and_with_any_prefix() {
    let content = "<q:GetUpdateDataResponse xmlns:q=\"urn:x\"><q:GetUpdateDataResult><q:fileUrls/><q:updates>\
        <q:ServerSyncUpdateData xsi:nil=\"true\"/><q:ServerSyncUpdateData><q:New>1</q:New><q:XmlUpdateBlob>\
        <![CDATA[<a/>]]></q:XmlUpdateBlob><q:Id><q:RevisionNumber>3</q:RevisionNumber><q:UpdateID>\
        E6CF1350-C01B-414D-A61F-263D14D133B4</q:UpdateID></q:Id></q:ServerSyncUpdateData></q:updates>\
        </q:GetUpdateDataResult></q:GetUpdateDataResponse>";
    let Ok(Ok(Response::UpdateData(data))) =
        Response::decode(body(content).as_bytes(), Operation::GetUpdateData)
    else {
        panic!("refused");
    };
    assert_eq!(
        data.updates[0].id.to_string(),
        "e6cf1350-c01b-414d-a61f-263d14d133b4.3"
    );
    assert_eq!(data.updates[0].document.trim(), "<a/>");
}

/// The categories and classifications of a filter that holds `lists` on the wire.
fn read_lists(lists: &str) -> [Option<usize>; 2] {
    let text = format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><s:Body><GetRevisionIdList>\
         <filter><GetConfig>false</GetConfig>{lists}</filter></GetRevisionIdList></s:Body></s:Envelope>"
    );
    let (version, request) = Request::decode(text.as_bytes()).unwrap();
    let again = Request::decode(request.encode(version).as_bytes()).unwrap();
    assert_eq!(again.1, request, "sent in the same form");
    let Request::GetRevisionIdList(GetRevisionIdList {
        filter: Some(filter),
        ..
    }) = request
    else {
        panic!("{request:?}");
    };
    [filter.categories, filter.classifications].map(|list| list.map(|list| list.len()))
}

#[test]
fn an_empty_list_of_a_filter_is_not_an_absent_one() {
    const ONE: &str = "<IdAndDelta><Id>e6cf1350-c01b-414d-a61f-263d14d133b4</Id><Delta>false</Delta></IdAndDelta>";
    assert_eq!(read_lists(""), [None, None]);
    let nil = r#"<Categories xsi:nil="true"/><Classifications xsi:nil="1"></Classifications>"#;
    assert_eq!(read_lists(nil), [None, None]);
    let empty = "<Categories/><Classifications></Classifications>";
    assert_eq!(read_lists(empty), [Some(0), Some(0)]);
    let nil_inside = r#"<Categories><IdAndDelta xsi:nil="true"/></Categories>"#;
    assert_eq!(read_lists(nil_inside), [Some(0), None]);
    let one = format!("<Categories>{ONE}</Categories>");
    assert_eq!(read_lists(&one), [Some(1), None]);
    let both = format!("{one}<Classifications>{ONE}{ONE}</Classifications>");
    assert_eq!(read_lists(&both), [Some(1), Some(2)]);
}

fn text() -> impl Strategy<Value = String> {
    "[^\\x00]{0,40}"
}

fn cookie() -> impl Strategy<Value = Cookie> {
    (
        0i64..250_000_000_000,
        prop::collection::vec(any::<u8>(), 1..60),
    )
        .prop_map(|(seconds, encrypted_data)| Cookie {
            expiration: jiff::Timestamp::from_second(seconds).unwrap(),
            encrypted_data,
        })
}

fn ids() -> impl Strategy<Value = Vec<IdAndDelta>> {
    let entry = (any::<u128>(), any::<bool>());
    let entry = entry.prop_map(|(n, delta)| IdAndDelta {
        id: id(n).update_id,
        delta,
    });
    prop::collection::vec(entry, 0..5)
}

proptest! {
    #[test]
    fn lists_are_asked_for_as_they_were_meant(
        cookie in cookie(), anchor in prop::option::of(text()), get_config: bool,
        categories in prop::option::of(ids()), classifications in prop::option::of(ids()),
    ) {
        let filter = RevisionFilter { anchor, get_config, categories, classifications, languages: vec![] };
        let request = Request::GetRevisionIdList(GetRevisionIdList {
            cookie: Some(cookie),
            filter: Some(filter),
        });
        for version in [SoapVersion::V11, SoapVersion::V12] {
            let decoded = Request::decode(request.encode(version).as_bytes()).unwrap();
            prop_assert_eq!(decoded, (version, request.clone()));
        }
    }

    #[test]
    fn sessions_are_asked_for_as_they_were_meant(
        plug_in_id in text(), cookie_data in prop::collection::vec(any::<u8>(), 0..60),
        old_cookie in prop::option::of(cookie()), protocol_version in prop::option::of(text()),
    ) {
        let auth_cookies = vec![wsus::message::AuthorizationCookie { plug_in_id, cookie_data }];
        let request = Request::GetCookie(GetCookie { auth_cookies, old_cookie, protocol_version });
        let decoded = Request::decode(request.encode(SoapVersion::V11).as_bytes()).unwrap();
        prop_assert_eq!(decoded.1, request);
    }

    #[test]
    fn documents_are_answered_byte_for_byte(documents in prop::collection::vec("<[^\\x00]{0,6000}", 0..4)) {
        let response = Response::UpdateData(update_data(documents));
        let text = response.encode(SoapVersion::V11);
        let decoded = Response::decode(text.as_bytes(), Operation::GetUpdateData).unwrap().unwrap();
        prop_assert!(decoded == response);
    }

    #[test]
    fn configurations_are_answered_as_they_are(
        flags: [bool; 3], limits in prop::array::uniform5(0u32..i32::MAX as u32), anchor in text(),
        protocol_version in prop::option::of(text()), names in prop::collection::vec(text(), 0..4),
    ) {
        let response = Response::ConfigData(ConfigData {
            catalog_only_sync: flags[0],
            lazy_sync: flags[1],
            server_hosts_psf_files: flags[2],
            max_updates_per_request: limits[0],
            max_driver_sets_per_request: limits[1],
            max_computer_ids_per_request: limits[2],
            max_pnp_hardware_ids_per_request: limits[3],
            max_updates_per_decryption_request: limits[4],
            new_config_anchor: anchor,
            protocol_version,
            languages: names.into_iter().map(|name| Language { id: -1, short_name: name.clone(), long_name: name, enabled: flags[0] }).collect(),
        });
        let text = response.encode(SoapVersion::V12);
        let decoded = Response::decode(text.as_bytes(), Operation::GetConfigData).unwrap().unwrap();
        prop_assert_eq!(decoded, response);
    }

    #[test]
    fn other_lists_are_answered_as_they_are(anchor in text(), numbers in prop::collection::vec(any::<u128>(), 0..20)) {
        let revisions: Vec<_> = numbers.iter().copied().map(id).collect();
        let key = FileKey { digest: vec![1], key: Some(vec![2, 3]) };
        let keys = revisions.iter().map(|&id| RevisionKeys { id, keys: vec![key.clone()] }).collect();
        let deployments = Deployments {
            anchor: anchor.clone(),
            hidden_updates: revisions.iter().map(|id| id.update_id).collect(),
            dead_deployments: revisions.iter().map(|id| id.update_id.0).collect(),
            deployments: revisions.iter().map(|&revision| wsus::message::Deployment {
                revision,
                action: 0,
                admin_name: anchor.clone(),
                deadline: None,
                is_assigned: true,
                go_live_time: Some(jiff::Timestamp::UNIX_EPOCH),
                deployment_guid: revision.update_id.0,
                target_group_id: wsus::message::ALL_COMPUTERS,
                download_priority: 2,
            }).collect(),
            ..Deployments::default()
        };
        for response in [
            Response::RevisionList(RevisionList { anchor, revisions: revisions.clone() }),
            Response::RelatedRevisions(revisions),
            Response::DecryptionData(DecryptionData { revisions: keys }),
            Response::Deployments(deployments),
        ] {
            let text = response.encode(SoapVersion::V11);
            let decoded = Response::decode(text.as_bytes(), response.operation()).unwrap().unwrap();
            prop_assert_eq!(decoded, response);
        }
    }

    #[test]
    fn damage_gives_an_error_or_an_answer_but_no_panic(position in 0usize..20_000, value: u8) {
        let documents = ["<a>\r\n&amp;</a>".to_owned(), "<b/>".repeat(2_000)];
        let mut bytes = Response::UpdateData(update_data(documents)).encode(SoapVersion::V11).into_bytes();
        let position = position % bytes.len();
        bytes[position] = value;
        let _ = Response::decode(&bytes, Operation::GetUpdateData);
        let _ = Request::decode(&bytes);
    }

    #[test]
    fn noise_is_no_message(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Request::decode(&bytes).is_err());
        prop_assert!(Response::decode(&bytes, Operation::Ping).is_err());
    }
}
