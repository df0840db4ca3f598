//! Good messages to make bad ones of: one of each operation, and the recorded ones where they are at hand.

use catalog::{RevisionId, UpdateId};
use std::fs;
use testkit::shared_data;
use uuid::Uuid;
use wsus::message::{
    ALL_COMPUTERS, AuthConfig, AuthPlugIn, AuthorizationCookie, ConfigData, Cookie, DecryptionData,
    Deployment, Deployments, DownloadFiles, FileKey, FileUrl, GetAuthorizationCookie,
    GetConfigData, GetCookie, GetDeployments, GetRelatedRevisions, GetRevisionIdList,
    GetUpdateData, IdAndDelta, Language, LanguageAndDelta, Operation, Pong, Request, Response,
    RevisionFilter, RevisionKeys, RevisionList, ServerSyncUpdate, SoapVersion, TargetGroup,
    UpdateData,
};

fn id(number: u128) -> RevisionId {
    RevisionId::new(UpdateId::from_u128(number), 200)
}

fn cookie() -> Cookie {
    Cookie {
        expiration: "2026-10-04T20:33:26.654Z".parse().unwrap(),
        encrypted_data: vec![7; 73],
    }
}

pub fn requests() -> Vec<Request> {
    let cookie = Some(cookie());
    let updates = GetUpdateData {
        cookie: cookie.clone(),
        update_ids: vec![id(1), id(2)],
    };
    let delta = |n| IdAndDelta {
        id: UpdateId::from_u128(n),
        delta: true,
    };
    let filter = RevisionFilter {
        anchor: Some("9438,2026-10-04 16:09:27.371".into()),
        get_config: false,
        categories: Some(vec![delta(3), delta(4)]),
        classifications: Some(vec![delta(5)]),
        languages: vec![LanguageAndDelta {
            id: 1033,
            delta: false,
        }],
    };
    vec![
        Request::GetAuthConfig,
        Request::GetAuthorizationCookie(GetAuthorizationCookie {
            account_name: "dss.example".into(),
            account_guid: "6f1c2f6e-3f0b-4d3a-9b1e-0d2f6a1c5e12".into(),
        }),
        Request::GetCookie(GetCookie {
            auth_cookies: vec![AuthorizationCookie {
                plug_in_id: "DssTargeting".into(),
                cookie_data: vec![1; 73],
            }],
            old_cookie: cookie.clone(),
            protocol_version: Some("1.20".into()),
        }),
        Request::GetConfigData(GetConfigData {
            cookie: cookie.clone(),
            config_anchor: Some("1,2026-10-04 16:09:27.371".into()),
        }),
        Request::GetRevisionIdList(GetRevisionIdList {
            cookie: cookie.clone(),
            filter: Some(filter),
        }),
        Request::GetUpdateData(updates.clone()),
        Request::GetUpdateDecryptionData(updates),
        Request::GetDeployments(GetDeployments {
            cookie: cookie.clone(),
            deployment_anchor: Some("1,2026-10-04 16:09:27.371".into()),
            sync_anchor: Some("2,2026-10-04 16:09:27.371".into()),
        }),
        Request::DownloadFiles(DownloadFiles {
            cookie: cookie.clone(),
            file_digests: vec![vec![9; 20]],
        }),
        Request::GetRelatedRevisionsForUpdates(GetRelatedRevisions {
            cookie,
            update_ids: vec![UpdateId::from_u128(6)],
        }),
        Request::Ping { level: 1 },
    ]
}

pub fn answers() -> Vec<Response> {
    let time: jiff::Timestamp = "2026-10-04T20:33:26.654Z".parse().unwrap();
    let update = |n, document: String| ServerSyncUpdate {
        id: id(n),
        document,
        file_digests: vec![[5; 20]],
    };
    vec![
        Response::AuthConfig(AuthConfig {
            last_change: time,
            plug_ins: vec![AuthPlugIn {
                plug_in_id: "DssTargeting".into(),
                service_url: "DssAuthWebService/DssAuthWebService.asmx".into(),
                parameter: String::new(),
            }],
        }),
        Response::AuthorizationCookie(AuthorizationCookie {
            plug_in_id: "DssTargeting".into(),
            cookie_data: vec![1; 73],
        }),
        Response::Cookie(cookie()),
        Response::ConfigData(ConfigData {
            max_updates_per_request: 100,
            new_config_anchor: "1,2026-10-04 16:09:27.371".into(),
            protocol_version: Some("1.20".into()),
            languages: vec![Language {
                id: 1033,
                short_name: "en".into(),
                long_name: "English".into(),
                enabled: true,
            }],
            ..ConfigData::default()
        }),
        Response::RevisionList(RevisionList {
            anchor: "2,2026-10-04 16:09:27.371".into(),
            revisions: vec![id(1), id(2)],
        }),
        Response::UpdateData(UpdateData {
            // The second is long enough to be sent compressed.
            updates: vec![
                update(1, "<a>\r\n&amp;</a>".to_owned()),
                update(2, "<ä/>".repeat(3_000)),
            ],
            file_urls: vec![FileUrl {
                digest: vec![5; 20],
                mu_url: Some("http://mu.example/?a=1&b=2".into()),
                uss_url: None,
            }],
            unreadable: vec![],
        }),
        Response::DecryptionData(DecryptionData {
            revisions: vec![RevisionKeys {
                id: id(1),
                keys: vec![FileKey {
                    digest: vec![5; 20],
                    key: Some(vec![2; 16]),
                }],
            }],
        }),
        Response::Deployments(Deployments {
            anchor: "3,2026-10-04 16:09:27.371".into(),
            groups: vec![TargetGroup {
                id: ALL_COMPUTERS,
                parent_id: Uuid::nil(),
                name: "All Computers".into(),
                is_builtin: true,
            }],
            deployments: vec![Deployment {
                revision: id(1),
                action: 0,
                admin_name: "EXAMPLE\\admin".into(),
                deadline: None,
                is_assigned: true,
                go_live_time: Some(time),
                deployment_guid: Uuid::from_u128(8),
                target_group_id: ALL_COMPUTERS,
                download_priority: 2,
            }],
            dead_deployments: vec![Uuid::from_u128(9)],
            hidden_updates: vec![UpdateId::from_u128(10)],
            accepted_eulas: vec![Uuid::from_u128(11)],
        }),
        Response::DownloadFiles,
        Response::RelatedRevisions(vec![id(3)]),
        Response::Pong(Pong {
            success: true,
            services_time: time,
            services_name: "Server".into(),
            is_https: true,
        }),
    ]
}

/// The bodies of the recorded exchanges: `request.body` or `response.body`.
fn recorded(name: &str) -> Vec<String> {
    let Some(data) = shared_data::folder() else {
        return vec![];
    };
    let mut folders: Vec<_> = fs::read_dir(data.join("captures/exchanges"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let bodies = folders.iter().map(|folder| fs::read(folder.join(name)));
    bodies
        .map(|body| String::from_utf8(body.unwrap()).unwrap())
        .collect()
}

/// Whole requests, one of each operation in either version of SOAP, and the recorded ones.
pub fn request_texts() -> Vec<String> {
    let versions = [SoapVersion::V11, SoapVersion::V12].into_iter().cycle();
    let own = requests().into_iter().zip(versions);
    own.map(|(request, version)| request.encode(version))
        .chain(recorded("request.body"))
        .collect()
}

/// Whole answers with what they answer.
pub fn answer_texts() -> Vec<(Operation, String)> {
    let of = |text: &String| {
        let answers = |operation: &Operation| text.contains(&format!("<{operation}Response"));
        Operation::ALL.into_iter().find(answers)
    };
    let own = answers()
        .into_iter()
        .map(|answer| (answer.operation(), answer.encode(SoapVersion::V11)));
    let recorded = recorded("response.body").into_iter();
    own.chain(recorded.map(|text| (of(&text).unwrap_or(Operation::GetUpdateData), text)))
        .collect()
}
