//! Tokens that people copy and paste: one word of ASCII, with a checksum that recognises a word that
//! was cut off or mistyped before anything is sent anywhere.

use crate::{AuthorityPin, HierarchyId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::{PointId, SiteKind};
use jiff::Timestamp;
use rand::CryptoRng;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use std::fmt;
use uuid::Uuid;

const JOIN_PREFIX: &str = "hwj1.";
const ACCESS_PREFIX: &str = "hwa1.";
const JOIN_LEN: usize = 16 + 3 + 1 + 3 + 8 + 32 + 32;
const ACCESS_LEN: usize = 3 + 32 + 32;
const CHECKSUM_LEN: usize = 4;
/// Longest word that is looked at, in bytes, blanks included.
const MAX_WORD: usize = 1024;

/// A word that is not the token that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Cut off, mistyped, or of a version that this program does not know.
    #[error("the {0} token is incomplete or mistyped: copy the whole word again")]
    Incomplete(&'static str),
    /// The other kind of token.
    #[error("this is the token of a {found}, not of a {wanted}")]
    WrongKind {
        /// What was asked for.
        wanted: &'static str,
        /// What was given.
        found: &'static str,
    },
}

/// The random part of a token. `Debug` hides it.
struct TokenSecret(SecretBox<[u8; 32]>);

impl TokenSecret {
    fn new(bytes: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    fn random(rng: &mut impl CryptoRng) -> Self {
        Self(SecretBox::init_with_mut(|bytes: &mut [u8; 32]| {
            rng.fill_bytes(bytes);
        }))
    }

    fn hash(&self, purpose: &str) -> TokenHash {
        TokenHash(blake3::derive_key(purpose, self.0.expose_secret()).into())
    }
}

impl Clone for TokenSecret {
    fn clone(&self) -> Self {
        Self::new(*self.0.expose_secret())
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}

impl PartialEq for TokenSecret {
    fn eq(&self, other: &Self) -> bool {
        // BLAKE3 hashes compare in constant time.
        self.hash("headwater token equality") == other.hash("headwater token equality")
    }
}

/// What is stored of a token: the token cannot be found from it. Compares in constant time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenHash(blake3::Hash);

impl TokenHash {
    /// The hash as bytes, for the database.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// A hash from the database.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes.into())
    }
}

/// The one-time token with which a new site joins: made by the top-level site, typed at the new one.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinToken {
    /// The hierarchy to join.
    pub hierarchy: HierarchyId,
    /// The code that the new site will have.
    pub site: PointId,
    /// What the new site will be.
    pub kind: SiteKind,
    /// The site below which it joins.
    pub parent: PointId,
    /// The time after which the token is worth nothing, in whole seconds.
    pub expires: Timestamp,
    /// By which the new site recognises the hierarchy that it speaks to.
    pub authority_pin: AuthorityPin,
    secret: TokenSecret,
}

/// What a join token is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Invitation {
    /// The hierarchy to join.
    pub hierarchy: HierarchyId,
    /// The code that the new site will have.
    pub site: PointId,
    /// What the new site will be.
    pub kind: SiteKind,
    /// The site below which it joins.
    pub parent: PointId,
    /// The time after which the token is worth nothing; parts of a second are cut off.
    pub expires: Timestamp,
    /// The authority of the hierarchy.
    pub authority_pin: AuthorityPin,
}

impl JoinToken {
    /// Makes a token with a new secret.
    pub fn new(invitation: Invitation, rng: &mut impl CryptoRng) -> Self {
        let Invitation {
            hierarchy,
            site,
            kind,
            parent,
            expires,
            authority_pin,
        } = invitation;
        Self {
            hierarchy,
            site,
            kind,
            parent,
            expires: Timestamp::from_second(expires.as_second()).unwrap_or(expires),
            authority_pin,
            secret: TokenSecret::random(rng),
        }
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires
    }

    /// What the top-level site stores of it.
    pub fn secret_hash(&self) -> TokenHash {
        self.secret.hash("headwater join token secret v1")
    }

    /// The word to copy: `hwj1.` and 132 characters of A-Z, a-z, 0-9, `-` and `_`.
    pub fn encode(&self) -> SecretString {
        let mut out = Vec::with_capacity(JOIN_LEN + CHECKSUM_LEN);
        out.extend(self.hierarchy.0.as_bytes());
        out.extend(point_code(self.site));
        out.push(kind_code(self.kind));
        out.extend(point_code(self.parent));
        out.extend(self.expires.as_second().to_be_bytes());
        out.extend(self.authority_pin.0);
        out.extend(self.secret.0.expose_secret());
        seal(JOIN_PREFIX, out)
    }

    /// Reads a pasted word. Blanks and line breaks in it do not matter.
    pub fn decode(word: &str) -> Result<Self, TokenError> {
        let refuse = || TokenError::Incomplete("join");
        let bytes: [u8; JOIN_LEN] = open(word, Kind::Join)?;
        let mut rest = bytes.as_slice();
        Self::read(&mut rest).ok_or_else(refuse)
    }

    fn read(rest: &mut &[u8]) -> Option<Self> {
        Some(Self {
            hierarchy: HierarchyId(Uuid::from_bytes(take(rest)?)),
            site: site(rest)?,
            kind: kind_from_code(take::<1>(rest)?[0])?,
            parent: site(rest)?,
            expires: Timestamp::from_second(i64::from_be_bytes(take(rest)?)).ok()?,
            authority_pin: AuthorityPin(take(rest)?),
            secret: TokenSecret::new(take(rest)?),
        })
    }
}

/// The token with which a person or script uses a site's admin API.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessToken {
    /// The site that made it: the token is shown to no other site.
    pub site: PointId,
    /// By which the person's program recognises the hierarchy that it speaks to.
    pub authority_pin: AuthorityPin,
    secret: TokenSecret,
}

impl AccessToken {
    /// Makes a token with a new secret.
    pub fn new(site: PointId, authority_pin: AuthorityPin, rng: &mut impl CryptoRng) -> Self {
        Self {
            site,
            authority_pin,
            secret: TokenSecret::random(rng),
        }
    }

    /// What the site stores of it, and looks it up by.
    pub fn hash(&self) -> TokenHash {
        self.secret.hash("headwater access token secret v1")
    }

    /// The word to copy: `hwa1.` and 95 characters of A-Z, a-z, 0-9, `-` and `_`.
    pub fn encode(&self) -> SecretString {
        let mut out = Vec::with_capacity(ACCESS_LEN + CHECKSUM_LEN);
        out.extend(point_code(self.site));
        out.extend(self.authority_pin.0);
        out.extend(self.secret.0.expose_secret());
        seal(ACCESS_PREFIX, out)
    }

    /// Reads a pasted word. Blanks and line breaks in it do not matter.
    pub fn decode(word: &str) -> Result<Self, TokenError> {
        let bytes: [u8; ACCESS_LEN] = open(word, Kind::Access)?;
        let mut rest = bytes.as_slice();
        Self::read(&mut rest).ok_or(TokenError::Incomplete("access"))
    }

    fn read(rest: &mut &[u8]) -> Option<Self> {
        Some(Self {
            site: site(rest)?,
            authority_pin: AuthorityPin(take(rest)?),
            secret: TokenSecret::new(take(rest)?),
        })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Join,
    Access,
}

fn seal(prefix: &str, mut payload: Vec<u8>) -> SecretString {
    let sum = checksum(prefix, &payload);
    payload.extend(sum);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(&payload)).into()
}

fn open<const N: usize>(word: &str, kind: Kind) -> Result<[u8; N], TokenError> {
    let (name, prefix, wanted, other, found) = match kind {
        Kind::Join => ("join", JOIN_PREFIX, "new site", ACCESS_PREFIX, "person"),
        Kind::Access => ("access", ACCESS_PREFIX, "person", JOIN_PREFIX, "new site"),
    };
    let incomplete = || TokenError::Incomplete(name);
    if word.len() > MAX_WORD {
        return Err(incomplete());
    }
    let word: String = word.split_ascii_whitespace().collect();
    if word.starts_with(other) {
        return Err(TokenError::WrongKind { wanted, found });
    }
    let text = word.strip_prefix(prefix).ok_or_else(incomplete)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| incomplete())?;
    let (payload, sum) = bytes.split_first_chunk::<N>().ok_or_else(incomplete)?;
    if sum == checksum(prefix, payload) {
        Ok(*payload)
    } else {
        Err(incomplete())
    }
}

/// Against slips of the hand, not against attackers: those do not know the secret anyway.
fn checksum(prefix: &str, payload: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(prefix.as_bytes()).update(payload);
    let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
    [a, b, c, d]
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

/// The three letters of the site; the number of the point, less one, stands in the bits that ASCII leaves
/// free. A first point is its site's code, as in tokens that were made before there were others.
fn point_code(point: PointId) -> [u8; 3] {
    let site = point.site();
    let mut code = [0; 3];
    code.copy_from_slice(site.as_str().as_bytes());
    for (bit, letter) in code.iter_mut().enumerate() {
        *letter |= ((point.number() - 1) >> bit & 1) << 7;
    }
    code
}

fn site(rest: &mut &[u8]) -> Option<PointId> {
    let mut code = take::<3>(rest)?;
    let mut number = 1;
    for (bit, letter) in code.iter_mut().enumerate() {
        number += (*letter >> 7) << bit;
        *letter &= 0x7f;
    }
    PointId::new(std::str::from_utf8(&code).ok()?.parse().ok()?, number)
}

const fn kind_code(kind: SiteKind) -> u8 {
    match kind {
        SiteKind::Central => 1,
        SiteKind::Primary => 2,
        SiteKind::Secondary => 3,
    }
}

const fn kind_from_code(code: u8) -> Option<SiteKind> {
    match code {
        1 => Some(SiteKind::Central),
        2 => Some(SiteKind::Primary),
        3 => Some(SiteKind::Secondary),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
