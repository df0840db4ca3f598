//! The client behind a proxy: a real one (tinyproxy), and one that does as it is told.

mod scripted;

use crate::support::{Clock, Memory, Served, client_settings, quick, serve, settings};
use axum::extract::Request;
use http::{HeaderMap, StatusCode};
use scripted::{Act, Scripted};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use testkit::door::{sentence, unfit};
use testkit::tinyproxy::{Rules, Tinyproxy};
use testkit::tls::serve_tls;
use tokio::task::JoinSet;
use wsus::client::{Client, Credentials, Error, MAX_ATTEMPTS, Proxy, ProxyTrouble};

const PASSWORD: &str = "hunter2";
/// `jane:hunter2` and `CORP\jane:hunter2`, as they are sent.
const ENCODED: [&str; 2] = ["amFuZTpodW50ZXIy", "Q09SUFxqYW5lOmh1bnRlcjI="];

/// A source over http or https that remembers the headers of requests.
struct Upstream {
    url: String,
    authority: Option<Vec<u8>>,
    heard: Arc<Mutex<Vec<HeaderMap>>>,
    _tasks: JoinSet<()>,
    _served: Option<Served>,
}

impl Upstream {
    async fn new(tls: bool) -> Self {
        let router = wsus::server::router(Arc::new(Memory::default()), settings(&Clock::new()));
        let heard = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let remember = Arc::clone(&heard);
        let router = router.layer(axum::middleware::map_request(move |request: Request| {
            remember.lock().unwrap().push(request.headers().clone());
            async { request }
        }));
        let mut tasks = JoinSet::new();
        let (url, authority, served) = if tls {
            let (url, authority) = serve_tls("an authority", router, &mut tasks).await;
            (url, Some(authority.into_bytes()), None)
        } else {
            let served = serve(router).await;
            (served.url.clone(), None, Some(served))
        };
        Self {
            url,
            authority,
            heard,
            _tasks: tasks,
            _served: served,
        }
    }

    /// A client of it that goes through a proxy.
    fn client(&self, proxy: Proxy) -> Result<Client, Error> {
        let mut settings = client_settings(&self.url, &Clock::new());
        settings.ca_file_pem.clone_from(&self.authority);
        settings.proxy = Some(proxy);
        Client::with_options(settings, quick())
    }

    async fn fails(&self, proxy: Proxy) -> Error {
        let client = self.client(proxy).unwrap();
        let error = client.config_data(None).await.unwrap_err();
        let text = sentence(&error);
        assert_eq!(unfit(&text), None);
        for shown in [text, format!("{error:?}")] {
            for secret in [PASSWORD, ENCODED[0], ENCODED[1]] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
        error
    }
}

fn at(address: SocketAddr) -> Proxy {
    Proxy {
        host: address.ip().to_string(),
        port: address.port(),
        credentials: None,
        allow_basic_authentication: false,
    }
}

fn signing_in(address: SocketAddr, user: &str, password: &str) -> Proxy {
    Proxy {
        credentials: Some(Credentials {
            user: user.to_owned(),
            domain: None,
            password: password.into(),
        }),
        allow_basic_authentication: true,
        ..at(address)
    }
}

#[track_caller]
fn trouble(error: &Error) -> &ProxyTrouble {
    let Error::Proxy { trouble, .. } = error else {
        panic!("not at the proxy: {error:?}");
    };
    trouble
}

/// What the client says, without the operation and the address that it begins with.
#[track_caller]
fn told(error: &Error) -> String {
    let text = error.to_string();
    let (_, told) = text.split_once(" failed: ").expect(&text);
    told.to_owned()
}

#[tokio::test]
async fn a_source_is_reached_through_a_proxy() {
    let Some(proxy) = Tinyproxy::start(&Rules::default()).await else {
        return;
    };
    let plain = Upstream::new(false).await;
    let client = plain.client(at(proxy.address())).unwrap();
    client.config_data(None).await.unwrap();
    let requests = proxy.requests();
    let whole = format!("POST {}/", plain.url);
    assert!(!requests.is_empty(), "{}", proxy.log());
    assert!(
        requests.iter().all(|line| line.starts_with(&whole)),
        "{requests:?}"
    );
    let passed_on = plain.heard.lock().unwrap()[0].contains_key("via");
    assert!(passed_on, "{:?}", plain.heard);

    let secret = Upstream::new(true).await;
    let client = secret.client(at(proxy.address())).unwrap();
    client.config_data(None).await.unwrap();
    let host = secret.url.strip_prefix("https://").unwrap();
    let tunnels = proxy.requests().split_off(requests.len());
    assert!(!tunnels.is_empty());
    let tunnel = format!("CONNECT {host} HTTP/1.1");
    assert!(tunnels.iter().all(|line| *line == tunnel), "{tunnels:?}");
}

#[tokio::test]
async fn a_user_signs_in_to_the_proxy_and_the_source_hears_nothing_of_it() {
    let Some(proxy) = Tinyproxy::start(&Rules::user("jane", PASSWORD)).await else {
        return;
    };
    for tls in [false, true] {
        let upstream = Upstream::new(tls).await;
        let jane = signing_in(proxy.address(), "jane", PASSWORD);
        let client = upstream.client(jane).unwrap();
        client.config_data(None).await.unwrap();
        for headers in upstream.heard.lock().unwrap().iter() {
            let names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
            assert!(
                !names.iter().any(|name| name.contains("authorization")),
                "{names:?}"
            );
            assert!(!format!("{headers:?}").contains(ENCODED[0]));
        }
    }
}

#[tokio::test]
async fn a_user_of_a_domain_signs_in_with_both() {
    const PAGE: &str = "HTTP/1.1 403 No\r\nServer: someproxy\r\nContent-Length: 0\r\n\r\n";
    let proxy = Scripted::new(|_| Act::Answer(PAGE)).await;
    let plain = Upstream::new(false).await;
    let mut jane = signing_in(proxy.address, "jane", PASSWORD);
    jane.credentials.as_mut().unwrap().domain = Some("CORP".into());
    plain.fails(jane).await;
    let head = proxy.heads().remove(0).to_lowercase();
    let expected = format!("proxy-authorization: basic {}", ENCODED[1]).to_lowercase();
    assert!(head.contains(&expected), "{head}");
}

#[tokio::test]
async fn a_wrong_password_is_said_once_and_not_shown() {
    let Some(proxy) = Tinyproxy::start(&Rules::user("jane", "another")).await else {
        return;
    };
    for tls in [false, true] {
        let before = proxy.requests().len();
        let upstream = Upstream::new(tls).await;
        let jane = signing_in(proxy.address(), "jane", PASSWORD);
        let error = upstream.fails(jane).await;
        let expected = format!(
            "the proxy {} refuses the user jane; check proxy.user, proxy.domain and the password",
            proxy.address()
        );
        assert_eq!(told(&error), expected);
        assert!(!error.is_transient());
        // Through a tunnel once more, because this proxy says 401 to a wrong password.
        let asked = proxy.requests().len() - before;
        assert_eq!(asked, if tls { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_user_that_is_refused_with_407_is_not_asked_for_twice() {
    const REFUSED: &str = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                           Content-Length: 0\r\nConnection: close\r\n\r\n";
    for tls in [false, true] {
        let proxy = Scripted::new(|_| Act::Answer(REFUSED)).await;
        let upstream = Upstream::new(tls).await;
        let jane = signing_in(proxy.address, "jane", PASSWORD);
        let error = upstream.fails(jane).await;
        assert!(
            matches!(trouble(&error), ProxyTrouble::RefusesUser { .. }),
            "{error}"
        );
        let said = proxy.heads().into_iter();
        let said = said.filter(|head| head.contains(ENCODED[0])).count();
        assert_eq!(said, 1);
    }
}

#[tokio::test]
async fn a_proxy_that_asks_for_a_user_is_told_with_the_settings() {
    let Some(proxy) = Tinyproxy::start(&Rules::user("jane", PASSWORD)).await else {
        return;
    };
    for tls in [false, true] {
        let upstream = Upstream::new(tls).await;
        let error = upstream.fails(at(proxy.address())).await;
        let expected = format!(
            "the proxy {} asks for a user; set proxy.user and the password, and allow basic \
             authentication (proxy.allow-basic-authentication)",
            proxy.address()
        );
        assert_eq!(told(&error), expected);
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_proxy_that_wants_another_kind_of_signing_in_is_told() {
    const NTLM: &str = "HTTP/1.1 407 Sign in\r\nProxy-Authenticate: Negotiate\r\n\
                        Proxy-Authenticate: NTLM\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for tls in [false, true] {
        let proxy = Scripted::new(|_| Act::Answer(NTLM)).await;
        let upstream = Upstream::new(tls).await;
        for chosen in [
            at(proxy.address),
            signing_in(proxy.address, "jane", PASSWORD),
        ] {
            let error = upstream.fails(chosen).await;
            let expected = format!(
                "the proxy {} lets users in by Negotiate, NTLM only, which Headwater does not have",
                proxy.address
            );
            assert!(told(&error).starts_with(&expected), "{error}");
            assert!(!error.is_transient());
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_where_the_password_may_not_go_in_the_clear() {
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let proxy = Scripted::new(|_| Act::Answer(BUSY)).await;
    let allowed = signing_in(proxy.address, "jane", PASSWORD);
    let quiet = Proxy {
        allow_basic_authentication: false,
        ..allowed.clone()
    };
    for tls in [false, true] {
        let upstream = Upstream::new(tls).await;
        let error = upstream.client(quiet.clone()).err().unwrap();
        assert!(matches!(error, Error::ProxyRefused(_)), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("NTLM") && text.contains("proxy.allow-basic-authentication"),
            "{text}"
        );
        assert_eq!(unfit(&text), None);
        assert!(!format!("{text}{error:?}").contains(PASSWORD));
    }
    assert_eq!(proxy.heads(), [""; 0]);
    // It would have heard of it.
    let upstream = Upstream::new(false).await;
    upstream.fails(allowed).await;
    assert_eq!(proxy.heads().len(), MAX_ATTEMPTS as usize);
}

#[tokio::test]
async fn a_proxy_that_is_down_is_named() {
    let Some(mut proxy) = Tinyproxy::start(&Rules::default()).await else {
        return;
    };
    proxy.stop();
    for tls in [false, true] {
        let upstream = Upstream::new(tls).await;
        let error = upstream.fails(at(proxy.address())).await;
        let expected = format!(
            "the proxy {} cannot be reached; check proxy.host and proxy.port, whether it runs, and the \
             firewall",
            proxy.address()
        );
        assert_eq!(told(&error), expected);
        assert!(error.is_transient());
        let causes = sentence(&error);
        assert!(causes.contains("refused"), "{causes}");
    }
}

#[tokio::test]
async fn a_proxy_whose_name_is_not_found_is_named() {
    for tls in [false, true] {
        let upstream = Upstream::new(tls).await;
        let mut nowhere = at("127.0.0.1:3128".parse().unwrap());
        nowhere.host = "proxy.invalid".to_owned();
        let error = upstream.fails(nowhere).await;
        assert_eq!(
            told(&error),
            "the proxy proxy.invalid:3128 is not found by its name; check proxy.host and the name \
             resolution of this machine"
        );
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_source_that_the_proxy_forbids_is_told_from_one_that_refuses() {
    let rules = Rules {
        forbidden: vec!["^localhost$".into(), r"^127\.0\.0\.1$".into()],
        ..Rules::default()
    };
    let Some(filter) = Tinyproxy::start(&rules).await else {
        return;
    };
    let rules = Rules {
        connect_ports: vec![443],
        ..Rules::default()
    };
    let Some(ports) = Tinyproxy::start(&rules).await else {
        return;
    };
    for (proxy, tls) in [(&filter, false), (&filter, true), (&ports, true)] {
        let upstream = Upstream::new(tls).await;
        let error = upstream.fails(at(proxy.address())).await;
        let expected = format!(
            "the proxy {} forbids the way to the server with status 403 Forbidden; have its filter \
             allow this address and port",
            proxy.address()
        );
        assert_eq!(told(&error), expected);
        assert!(!error.is_transient());
        assert!(upstream.heard.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_source_that_the_proxy_cannot_reach_is_told_and_tried_again() {
    let Some(proxy) = Tinyproxy::start(&Rules::default()).await else {
        return;
    };
    for tls in [false, true] {
        let mut upstream = Upstream::new(tls).await;
        let scheme = if tls { "https" } else { "http" };
        upstream.url = format!("{scheme}://source.invalid:8530");
        let before = proxy.requests().len();
        let error = upstream.fails(at(proxy.address())).await;
        let expected = format!(
            "the proxy {} answered with status 500 Internal Server Error: it cannot reach the server",
            proxy.address()
        );
        assert!(told(&error).starts_with(&expected), "{error}");
        assert!(error.is_transient());
        assert!(proxy.requests().len() - before >= MAX_ATTEMPTS as usize);
    }
}

#[tokio::test]
async fn what_fails_behind_the_proxy_is_not_put_on_it() {
    let Some(proxy) = Tinyproxy::start(&Rules::default()).await else {
        return;
    };
    let mut distrusted = Upstream::new(true).await;
    let mut tasks = JoinSet::new();
    let (_, other) = serve_tls("another authority", axum::Router::new(), &mut tasks).await;
    distrusted.authority = Some(other.into_bytes());
    let error = distrusted.fails(at(proxy.address())).await;
    assert!(matches!(error, Error::UnknownIssuer { .. }), "{error:?}");

    let away = || async { (StatusCode::SERVICE_UNAVAILABLE, "busy") };
    let served = serve(axum::Router::new().fallback(away)).await;
    let mut busy = Upstream::new(false).await;
    busy.url.clone_from(&served.url);
    let error = busy.fails(at(proxy.address())).await;
    let text = error.to_string();
    assert!(
        text.contains("status 503 Service Unavailable: the server is overloaded"),
        "{text}"
    );
    let through = format!("it came through the proxy {}", proxy.address());
    assert!(text.contains(&through), "{text}");
}

#[tokio::test]
async fn a_connection_that_the_proxy_drops_is_made_again() {
    const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n<soap:Envelope>";
    let Some(proxy) = Tinyproxy::start(&Rules::default()).await else {
        return;
    };
    let onward = proxy.address();
    for tls in [false, true] {
        let unsteady = Scripted::new(move |number| match number {
            0 => Act::HangUp,
            1 => Act::Answer(CUT),
            _ => Act::PassTo(onward),
        })
        .await;
        let upstream = Upstream::new(tls).await;
        let client = upstream.client(at(unsteady.address)).unwrap();
        client.config_data(None).await.unwrap();
        assert!(unsteady.heads().len() > 2);
    }
}

#[tokio::test]
async fn a_proxy_that_only_drops_connections_is_named() {
    let proxy = Scripted::new(|_| Act::HangUp).await;
    let plain = Upstream::new(false).await;
    let error = plain.fails(at(proxy.address)).await;
    let through = format!(" through the proxy {} failed: ", proxy.address);
    assert!(error.to_string().contains(&through), "{error}");
    assert!(told(&error).starts_with("the connection to the server broke"));
    assert_eq!(proxy.heads().len(), MAX_ATTEMPTS as usize);

    let secret = Upstream::new(true).await;
    let error = secret.fails(at(proxy.address)).await;
    assert_eq!(*trouble(&error), ProxyTrouble::BrokeOff);
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_named() {
    let proxy = Scripted::new(|_| Act::Silent).await;
    // From here on limits of time are reached at once.
    tokio::time::pause();
    let plain = Upstream::new(false).await;
    let error = plain.fails(at(proxy.address)).await;
    assert!(error.to_string().contains(&proxy.address.to_string()));
    let secret = Upstream::new(true).await;
    let error = secret.fails(at(proxy.address)).await;
    assert_eq!(*trouble(&error), ProxyTrouble::TooSlow);
    let expected = format!(
        "the proxy {} was not reached, or did not lead",
        proxy.address
    );
    assert!(told(&error).starts_with(&expected), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn what_is_no_proxy_is_told() {
    let secret = Upstream::new(true).await;
    let other = Scripted::new(|_| Act::Answer("SSH-2.0-OpenSSH_9.2\r\n")).await;
    let error = secret.fails(at(other.address)).await;
    assert_eq!(*trouble(&error), ProxyTrouble::NotHttp);

    let web = "HTTP/1.1 405 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let web = Scripted::new(move |_| Act::Answer(web)).await;
    let error = secret.fails(at(web.address)).await;
    let status = StatusCode::METHOD_NOT_ALLOWED;
    assert_eq!(*trouble(&error), ProxyTrouble::Unfit { status });
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_proxy_at_an_ipv6_address_is_used() {
    const PAGE: &str = "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    };
    let proxy = Scripted::on(listener, |_| Act::Answer(PAGE));
    let plain = Upstream::new(false).await;
    plain.fails(at(proxy.address)).await;
    let whole = format!("POST {}/", plain.url);
    assert!(proxy.heads()[0].starts_with(&whole), "{:?}", proxy.heads());
    let secret = Upstream::new(true).await;
    let error = secret.fails(at(proxy.address)).await;
    assert!(error.to_string().contains("the proxy [::1]:"), "{error}");
    assert!(
        proxy
            .heads()
            .last()
            .unwrap()
            .starts_with("CONNECT localhost:")
    );
}

/// Tells the process that this test starts where the source is.
const SOURCE: &str = "HEADWATER_TEST_SOURCE";

/// The environment of a process cannot be changed while it runs, so the test starts itself again.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "what this test is about is the environment"
)]
async fn the_proxy_of_the_environment_is_not_used() {
    if let Ok(url) = std::env::var(SOURCE) {
        let client = crate::support::client(&url, &Clock::new());
        client.config_data(None).await.unwrap();
        // What does ask the environment is led astray by it.
        let astray = reqwest::Client::builder().tls_certs_only([]);
        let astray = astray.build().unwrap().get("http://astray.invalid/");
        assert_eq!(astray.send().await.unwrap().status(), 404);
        return;
    }
    const PAGE: &str = "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let proxy = Scripted::new(|_| Act::Answer(PAGE)).await;
    let upstream = Upstream::new(false).await;
    let mut again = Command::new(std::env::current_exe().unwrap());
    let name = "proxy::the_proxy_of_the_environment_is_not_used";
    again.args(["--exact", name, "--nocapture"]);
    again.env(SOURCE, &upstream.url);
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        let address = format!("http://{}", proxy.address);
        again.env(name.to_uppercase(), &address).env(name, &address);
    }
    for name in ["no_proxy", "NO_PROXY", "REQUEST_METHOD"] {
        again.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || again.output());
    let output = output.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!upstream.heard.lock().unwrap().is_empty(), "{output:?}");
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].contains("astray.invalid"), "{heads:?}");
}
