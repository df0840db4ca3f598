//! The seam below the client: another network in place of the machine's.

use super::support::{Clock, client_settings, quick};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wsus::client::{
    Answer, Client, ClientOptions, Error, Exchange, ExchangeError, MAX_ATTEMPTS, Trouble,
};

/// A network on which nothing gets through.
#[derive(Debug)]
struct Dead {
    trouble: Trouble,
    asked: AtomicU32,
}

impl Exchange for Dead {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert_eq!(request.uri().host(), Some("wsus.example"));
        assert!(request.headers().contains_key("soapaction"));
        let error = ExchangeError::new(self.trouble, "the cable is cut");
        Box::pin(std::future::ready(Err(error)))
    }
}

async fn check(trouble: Trouble, expected: impl FnOnce(&Error) -> bool) {
    let clock = Clock::new();
    let dead = Arc::new(Dead {
        trouble,
        asked: AtomicU32::new(0),
    });
    let options = ClientOptions {
        exchange: Some(Arc::clone(&dead) as _),
        ..quick()
    };
    let settings = client_settings("http://wsus.example", &clock);
    let client = Client::with_options(settings, options).unwrap();
    let error = client.config_data(None).await.unwrap_err();
    assert!(expected(&error), "{error:?}");
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("the cable is cut"));
    assert_eq!(dead.asked.load(Ordering::SeqCst), MAX_ATTEMPTS);
}

#[tokio::test]
async fn what_is_wrong_with_another_network_is_told_and_tried_again_as_ever() {
    check(Trouble::TimedOut, |e| matches!(e, Error::TimedOut { .. })).await;
    let transport = |connecting| move |error: &Error| matches!(error, Error::Transport { connecting: held, .. } if *held == connecting);
    check(Trouble::Connecting, transport(true)).await;
    check(Trouble::Broken, transport(false)).await;
}
