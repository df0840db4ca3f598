use super::*;
use link::dial::Io;
use link::site::BoxFuture;

/// A parent that takes no connection.
struct Silence;

impl Connector for Silence {
    fn connect(&self, _: String, _: u16) -> BoxFuture<'static, std::io::Result<Box<dyn Io>>> {
        Box::pin(std::future::pending())
    }
}

/// The settings of a site that has not joined yet.
fn settings(directory: &std::path::Path) -> Settings {
    let ambient = Ambient::system();
    let invitation = trust::token::Invitation {
        hierarchy: trust::HierarchyId(ambient.new_id()),
        site: "PR1".parse().unwrap(),
        kind: catalog::SiteKind::Primary,
        parent: "CAS".parse().unwrap(),
        expires: ambient.now(),
        authority_pin: trust::AuthorityPin::of(b"an authority"),
    };
    let token = trust::JoinToken::new(invitation, &mut ambient.new_rng()).encode();
    let command = Command {
        site: link::settings::SiteFlags {
            data_dir: Some(directory.into()),
            ..Default::default()
        },
        parent: Some("https://cas.invalid:8540".into()),
        join_token: Some(secrecy::ExposeSecret::expose_secret(&token).to_owned()),
        ..Command::default()
    };
    Settings::load(command).unwrap()
}

#[tokio::test]
async fn a_site_that_is_still_joining_ends_at_once_when_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let shutdown = Shutdown::new();
    let start = run(
        &settings,
        None::<(TcpListener, SocketAddr)>,
        Arc::new(Silence),
        Ambient::system(),
        shutdown.token().clone(),
    );
    let mut ending = pin!(shutdown.clone().wait(Signals::install().unwrap(), DRAIN));
    let told = async {
        tokio::task::yield_now().await;
        shutdown.request();
    };
    let (started, ()) = tokio::join!(unless_it_ends(start, ending.as_mut()), told);
    assert_eq!(started.err(), Some(Exit::Drained));
}

#[tokio::test]
async fn a_start_that_comes_first_is_what_counts() {
    let mut ending = pin!(std::future::pending());
    assert_eq!(unless_it_ends(async { 7 }, ending.as_mut()).await, Ok(7));
}
