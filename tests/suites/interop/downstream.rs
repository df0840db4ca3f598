//! A downstream server that is written out request by request, and a site that serves it.

use catalog::{RevisionId, UpdateId};
use std::net::SocketAddr;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, Process, until};
use uuid::Uuid;
use wsus::fault::Fault;
use wsus::message::{
    AuthorizationCookie, Cookie, GetAuthorizationCookie, GetCookie, GetRevisionIdList,
    GetUpdateData, IdAndDelta, Operation, Request, Response, RevisionFilter, RevisionList,
    SoapVersion, UpdateData,
};

/// Arguments with which a site serves WSUS servers on a free port.
pub const SERVES: [&str; 2] = ["--wsus-listen", "127.0.0.1:0"];

/// Arguments of an upstream that generates so many updates.
pub fn generate(updates: u32) -> Vec<String> {
    let updates = updates.to_string();
    let arguments = ["--generate", &updates, "--seed", "7"];
    let arguments = arguments.into_iter().chain(["--evolve-percent", "30"]);
    arguments.map(str::to_owned).collect()
}

/// A hierarchy of one central site with a generated catalog that serves WSUS servers, synchronized.
pub async fn serving(updates: u32) -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(updates)).await;
    hierarchy
        .central_with(|launch| launch.with(SERVES[0]).with(SERVES[1]))
        .await;
    hierarchy.synchronize().await;
    served(&mut hierarchy, CENTRAL).await;
    hierarchy
}

/// Waits until a site serves the catalog that it verified last, and gives the position.
pub async fn served(hierarchy: &mut Hierarchy, site: &str) -> u64 {
    let position = hierarchy.site(site).await.unwrap().verified_position;
    let process = hierarchy.process(site);
    serves_position(process, position).await;
    position
}

async fn serves_position(process: &Process, position: u64) {
    until("the catalog is served", LONG, || {
        let errors = process.errors();
        let mut lines = errors.lines();
        let said = lines.any(|line| {
            line.contains("downstream servers get")
                && line
                    .split_whitespace()
                    .any(|word| word == format!("position={position}"))
        });
        std::future::ready(said.then_some(()).ok_or_else(|| format!("not {position}")))
    })
    .await;
}

/// Where a site serves WSUS servers.
pub async fn address(process: &mut Process) -> SocketAddr {
    const SAYS: &str = "serving WSUS servers on http://";
    let line = process.says(SAYS).await;
    let (_, address) = line.split_once(SAYS).unwrap();
    address.trim().parse().unwrap()
}

/// A downstream server.
pub struct Downstream {
    pub url: String,
    pub id: Uuid,
    pub name: String,
    pub http: reqwest::Client,
}

/// The path of a service, as Windows asks for it.
pub fn path_of(operation: Operation) -> &'static str {
    match operation == Operation::GetAuthorizationCookie {
        true => "//DssAuthWebService/DssAuthWebService.asmx",
        false => "//ServerSyncWebService/ServerSyncWebService.asmx",
    }
}

impl Downstream {
    pub async fn of(hierarchy: &mut Hierarchy, site: &str) -> Self {
        let address = address(hierarchy.process(site)).await;
        Self {
            url: format!("http://{address}"),
            id: Uuid::from_u128(0x6f1c_2f6e),
            name: "dss.example".to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Sends a request; status and body of the answer.
    pub async fn post(&self, path: &str, action: &str, body: Vec<u8>) -> (u16, String) {
        let answer = self
            .http
            .post(format!("{}{path}", self.url))
            .header("Content-Type", "text/xml; charset=utf-8")
            .header("SOAPAction", action)
            .body(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    }

    pub async fn ask(&self, request: Request) -> Result<Response, Fault> {
        let operation = request.operation();
        let body = request.encode(SoapVersion::V11).into_bytes();
        let path = path_of(operation);
        let (_, text) = self.post(path, &operation.soap_action(), body).await;
        let decoded = Response::decode(text.as_bytes(), operation);
        decoded.unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Authorization, and with it a session.
    pub async fn session(&self) -> Result<Cookie, Fault> {
        self.session_of("1.20", None).await
    }

    pub async fn authorization(&self) -> Result<AuthorizationCookie, Fault> {
        let request = Request::GetAuthorizationCookie(GetAuthorizationCookie {
            account_name: self.name.clone(),
            account_guid: self.id.to_string(),
        });
        let Response::AuthorizationCookie(cookie) = self.ask(request).await? else {
            panic!("another answer than that to the request")
        };
        Ok(cookie)
    }

    pub async fn session_of(
        &self,
        protocol: &str,
        old_cookie: Option<Cookie>,
    ) -> Result<Cookie, Fault> {
        let request = Request::GetCookie(GetCookie {
            auth_cookies: vec![self.authorization().await?],
            old_cookie,
            protocol_version: Some(protocol.to_owned()),
        });
        let Response::Cookie(cookie) = self.ask(request).await? else {
            panic!("another answer than that to the request")
        };
        Ok(cookie)
    }

    pub async fn list(
        &self,
        cookie: &Cookie,
        filter: RevisionFilter,
    ) -> Result<RevisionList, Fault> {
        let request = Request::GetRevisionIdList(GetRevisionIdList {
            cookie: Some(cookie.clone()),
            filter: Some(filter),
        });
        let Response::RevisionList(list) = self.ask(request).await? else {
            panic!("another answer than that to the request")
        };
        Ok(list)
    }

    pub async fn updates(&self, cookie: &Cookie, ids: &[RevisionId]) -> Result<UpdateData, Fault> {
        let request = Request::GetUpdateData(GetUpdateData {
            cookie: Some(cookie.clone()),
            update_ids: ids.to_vec(),
        });
        let Response::UpdateData(data) = self.ask(request).await? else {
            panic!("another answer than that to the request")
        };
        Ok(data)
    }
}

/// A filter for everything, after an anchor where one is given.
pub fn everything(get_config: bool, anchor: Option<&str>) -> RevisionFilter {
    RevisionFilter {
        anchor: anchor.map(str::to_owned),
        get_config,
        ..RevisionFilter::default()
    }
}

/// A filter for these products and classifications.
pub fn chosen(products: &[UpdateId], classifications: &[UpdateId]) -> RevisionFilter {
    let entries = |ids: &[UpdateId]| {
        let entry = |&id| IdAndDelta { id, delta: false };
        Some(ids.iter().map(entry).collect())
    };
    RevisionFilter {
        categories: entries(products),
        classifications: entries(classifications),
        ..RevisionFilter::default()
    }
}
