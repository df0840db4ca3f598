//! Who is signed in. A session lives in memory and holds what the person signed in with, an access token or a client
//! certificate, which every call presents: taken back, it opens nothing any more.

use crate::Dashboard;
use crate::api::Api;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::header;
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use trust::{PersonCertificate, Role};

/// People who are signed in at a time; the one who did nothing for the longest makes room.
const MAX_SESSIONS: usize = 1000;
/// Sessions of one person at a time.
const MAX_SESSIONS_OF_ONE: usize = 50;
/// How long a session lives in which nothing is asked for. A page that is left open keeps asking.
const IDLE: SignedDuration = SignedDuration::from_hours(12);
/// Bytes of the secret in the cookie.
const SECRET: usize = 32;
/// The cookie; its prefix makes browsers take it over TLS for this host alone.
pub const COOKIE: &str = "__Host-headwater";

/// The header with which the script of an open page asks for it anew.
const REFRESH: &str = "x-headwater-refresh";

type Key = [u8; 32];

/// What a person signed in with.
#[derive(Clone)]
pub enum Credential {
    /// An access token.
    Token(SecretString),
    /// The client certificate of the connection.
    Certificate(PersonCertificate),
}

struct Session {
    credential: Credential,
    name: String,
    role: Role,
    used: Timestamp,
    note: Option<Note>,
}

/// What is said once, on the next page.
#[derive(Debug, Clone)]
pub struct Note {
    /// Whether something went wrong.
    pub bad: bool,
    /// What is said.
    pub text: String,
}

/// All sessions of this process.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Key, Session>>);

fn key(secret: &str) -> Key {
    *blake3::hash(secret.as_bytes()).as_bytes()
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Session>> {
        // Every change is one insertion or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session; what the cookie has to hold.
    pub fn begin(
        &self,
        (name, role): (String, Role),
        credential: Credential,
        now: Timestamp,
        rng: &mut impl rand::Rng,
    ) -> String {
        let mut bytes = [0; SECRET];
        rng.fill_bytes(&mut bytes);
        let secret = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        let mut all = self.all();
        all.retain(|_, session| now.duration_since(session.used) < IDLE);
        let oldest = |all: &HashMap<Key, Session>, of: Option<&str>| {
            let candidates = all.iter();
            let candidates = candidates.filter(|(_, held)| of.is_none_or(|name| held.name == name));
            candidates
                .min_by_key(|(_, held)| held.used)
                .map(|(key, _)| *key)
        };
        if all.values().filter(|held| held.name == name).count() >= MAX_SESSIONS_OF_ONE
            && let Some(oldest) = oldest(&all, Some(&name))
        {
            all.remove(&oldest);
        }
        if all.len() >= MAX_SESSIONS
            && let Some(oldest) = oldest(&all, None)
        {
            all.remove(&oldest);
        }
        let session = Session {
            credential,
            name,
            role,
            used: now,
            note: None,
        };
        all.insert(key(&secret), session);
        secret
    }

    /// Ends a session.
    pub fn end(&self, secret: &str) {
        self.all().remove(&key(secret));
    }
}

/// A person who is signed in.
pub struct Person {
    /// Whose access token it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The admin API, as this person may use it.
    pub api: Api,
    /// The script of an open page asks, and shows no notes.
    pub refreshing: bool,
    secret: String,
}

impl Person {
    /// Whether the person may do what needs a role.
    pub fn may(&self, needed: Role) -> bool {
        self.role.may(needed)
    }

    /// Says something on the person's next page.
    pub fn note(&self, dashboard: &Dashboard, bad: bool, text: impl Into<String>) {
        if let Some(session) = dashboard.sessions.all().get_mut(&key(&self.secret)) {
            session.note = Some(Note {
                bad,
                text: text.into(),
            });
        }
    }

    /// What is to be said on this page, once.
    pub fn take_note(&self, dashboard: &Dashboard) -> Option<Note> {
        let mut all = dashboard.sessions.all();
        all.get_mut(&key(&self.secret))?.note.take()
    }

    /// Ends the session.
    pub fn leave(&self, dashboard: &Dashboard) {
        dashboard.sessions.end(&self.secret);
    }
}

/// The secret of the cookie that a browser sent.
fn secret_of(parts: &Parts) -> Option<&str> {
    let cookies = parts.headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

impl FromRequestParts<Dashboard> for Person {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        dashboard: &Dashboard,
    ) -> Result<Self, Self::Rejection> {
        let to_login = || {
            let wanted = parts.uri.path_and_query();
            let wanted = wanted.map_or("/", |wanted| wanted.as_str());
            // What a form asked for cannot be asked for again by an address.
            let wanted = if parts.method == http::Method::GET {
                wanted
            } else {
                "/"
            };
            crate::pages::login::asked_to_sign_in(wanted)
        };
        let secret = secret_of(parts).ok_or_else(to_login)?;
        let now = dashboard.ambient.now();
        let mut all = dashboard.sessions.all();
        let session = all.get_mut(&key(secret)).ok_or_else(to_login)?;
        if now.duration_since(session.used) >= IDLE {
            all.remove(&key(secret));
            return Err(to_login());
        }
        // A cookie alone is not the person: the connection has to show the certificate that the session began with.
        if let Credential::Certificate(held) = &session.credential
            && parts.extensions.get::<PersonCertificate>() != Some(held)
        {
            return Err(to_login());
        }
        session.used = now;
        let api = Api::new(dashboard.api.clone(), &session.credential)
            .map_err(|_| Redirect::to("/login").into_response())?;
        Ok(Self {
            name: session.name.clone(),
            role: session.role,
            api,
            refreshing: parts.headers.contains_key(REFRESH),
            secret: secret.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn begin(sessions: &Sessions, name: &str, second: i64, rng: &mut StdRng) -> String {
        let now = Timestamp::from_second(second).unwrap();
        let who = (name.to_owned(), Role::Viewer);
        let token = Credential::Token(SecretString::from("hwa1.x"));
        sessions.begin(who, token, now, rng)
    }

    #[test]
    fn sessions_are_bounded_and_the_idle_ones_go() {
        let (sessions, mut rng) = (Sessions::default(), StdRng::seed_from_u64(1));
        let first = begin(&sessions, "first", 0, &mut rng);
        for number in 0..2 * MAX_SESSIONS {
            begin(&sessions, &format!("{number}"), 1, &mut rng);
        }
        assert_eq!(sessions.all().len(), MAX_SESSIONS);
        assert!(!sessions.all().contains_key(&key(&first)));
        begin(&sessions, "late", IDLE.as_secs() + 2, &mut rng);
        assert_eq!(sessions.all().len(), 1);
    }

    #[test]
    fn one_token_does_not_sign_out_everybody_else() {
        let (sessions, mut rng) = (Sessions::default(), StdRng::seed_from_u64(1));
        let first = begin(&sessions, "first", 0, &mut rng);
        for second in 0..200 {
            begin(&sessions, "script", second, &mut rng);
        }
        assert_eq!(sessions.all().len(), 1 + MAX_SESSIONS_OF_ONE);
        assert!(sessions.all().contains_key(&key(&first)));
    }
}
