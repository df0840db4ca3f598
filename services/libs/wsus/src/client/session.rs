//! The session with the upstream server: authorization, cookie, renewal (WSUS-PROTOCOL 2.2, 3.5).

use super::transport::Transport;
use super::{ClientSettings, Error, PROTOCOL_VERSION};
use crate::fault::ErrorCode;
use crate::message::{
    AuthorizationCookie, Cookie, GetAuthorizationCookie, GetCookie, Request, Response,
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use tokio::sync::Mutex;
use uuid::Uuid;

/// A cookie that ends sooner than this is renewed before it is used.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(2);

/// Path of the authorization service where the server does not name one.
const DEFAULT_AUTH_PATH: &str = "DssAuthWebService/DssAuthWebService.asmx";

/// The session, shared by all calls of a client. One call at a time opens or renews it, the others wait
/// for that.
pub(super) struct Session {
    account_name: String,
    account_guid: Uuid,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Raised with each new cookie, so that of several calls that fail with the same cookie only the
    /// first drops it.
    generation: u64,
    authorization: Option<AuthorizationCookie>,
    cookie: Option<Cookie>,
}

impl Session {
    pub fn new(settings: ClientSettings) -> Self {
        Self {
            account_name: settings.account_name,
            account_guid: settings.account_guid,
            clock: settings.clock,
            state: Mutex::default(),
        }
    }

    /// A valid cookie and its generation.
    pub async fn cookie(&self, transport: &Transport) -> Result<(Cookie, u64), (Error, u64)> {
        let mut state = self.state.lock().await;
        let soon = (self.clock)().saturating_add(RENEW_BEFORE);
        let soon = soon.unwrap_or(Timestamp::MAX);
        if let Some(cookie) = state.cookie.as_ref().filter(|c| c.expiration > soon) {
            return Ok((cookie.clone(), state.generation));
        }
        let opened = self.open(&mut state, transport).await;
        match opened {
            Ok(cookie) => {
                state.generation += 1;
                state.cookie = Some(cookie.clone());
                Ok((cookie, state.generation))
            }
            Err(error) => Err((error, state.generation)),
        }
    }

    /// Forgets the session, unless it was opened again since `generation`.
    pub async fn drop_generation(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation {
            state.authorization = None;
            state.cookie = None;
        }
    }

    async fn open(&self, state: &mut State, transport: &Transport) -> Result<Cookie, Error> {
        let old = state.cookie.take();
        if let Some(authorization) = state.authorization.clone() {
            match exchange_for_session(transport, authorization, old.clone()).await {
                Err(error)
                    if matches!(
                        error.fault_code(),
                        Some(ErrorCode::InvalidAuthorizationCookie | ErrorCode::InvalidCookie)
                    ) =>
                {
                    state.authorization = None;
                }
                result => {
                    if result.is_err() {
                        state.cookie = old;
                    }
                    return result;
                }
            }
        }
        let authorization = self.authorize(transport).await?;
        let cookie = exchange_for_session(transport, authorization.clone(), None).await?;
        state.authorization = Some(authorization);
        tracing::debug!(url = transport.root(), expires = %cookie.expiration, "session opened");
        Ok(cookie)
    }

    async fn authorize(&self, transport: &Transport) -> Result<AuthorizationCookie, Error> {
        let response = transport.exchange(Request::GetAuthConfig).await?;
        let Response::AuthConfig(config) = response else {
            return Err(transport.unexpected(&response));
        };
        let path = config
            .plug_ins
            .first()
            .map(|plug_in| plug_in.service_url.as_str())
            .filter(|path| !path.is_empty())
            .unwrap_or(DEFAULT_AUTH_PATH);
        let request = Request::GetAuthorizationCookie(GetAuthorizationCookie {
            account_name: self.account_name.clone(),
            account_guid: self.account_guid.hyphenated().to_string(),
        });
        let response = transport.exchange_at(path, request).await?;
        let Response::AuthorizationCookie(cookie) = response else {
            return Err(transport.unexpected(&response));
        };
        Ok(cookie)
    }
}

async fn exchange_for_session(
    transport: &Transport,
    authorization: AuthorizationCookie,
    old_cookie: Option<Cookie>,
) -> Result<Cookie, Error> {
    let request = Request::GetCookie(GetCookie {
        auth_cookies: vec![authorization],
        old_cookie,
        protocol_version: Some(PROTOCOL_VERSION.to_owned()),
    });
    let response = transport.exchange(request).await?;
    let Response::Cookie(cookie) = response else {
        return Err(transport.unexpected(&response));
    };
    Ok(cookie)
}
