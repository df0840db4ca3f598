//! Cookies: what the server wants to remember of a downstream server, sealed and given to that server.
//! Nothing is stored here.
//!
//! A cookie proves only that this server issued it: anyone can get one (WSUS-PROTOCOL 1.3).

use catalog::document::ProtocolVersion;
use jiff::Timestamp;
use uuid::Uuid;

/// What a cookie is for. One kind is not accepted in the place of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Authorization, to be exchanged for a session.
    Authorization = 1,
    /// A session.
    Session = 2,
}

/// What a cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claims {
    /// The downstream server it was issued to.
    pub account: Uuid,
    /// The identity of the catalog that issued it.
    pub server: Uuid,
    /// When it ends.
    pub expires: Timestamp,
    /// The protocol version that the downstream server announced; zeros in an authorization.
    pub protocol: ProtocolVersion,
}

/// Why a cookie is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Not sealed by this server, or of the other kind.
    Invalid,
    /// Its time is over.
    Expired,
}

const BODY: usize = 1 + 16 + 16 + 8 + 4 + 4;
const SEAL: usize = blake3::OUT_LEN;

/// Seals and opens cookies.
#[derive(Clone)]
pub(super) struct Sealer {
    key: [u8; 32],
}

impl Sealer {
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The bytes of a cookie.
    pub fn seal(&self, kind: Kind, claims: &Claims) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BODY + SEAL);
        bytes.push(kind as u8);
        bytes.extend_from_slice(claims.account.as_bytes());
        bytes.extend_from_slice(claims.server.as_bytes());
        bytes.extend_from_slice(&claims.expires.as_millisecond().to_le_bytes());
        bytes.extend_from_slice(&claims.protocol.major.to_le_bytes());
        bytes.extend_from_slice(&claims.protocol.minor.to_le_bytes());
        let seal = blake3::keyed_hash(&self.key, &bytes);
        bytes.extend_from_slice(seal.as_bytes());
        bytes
    }

    /// What sealed bytes say, if they were sealed with our key, for this purpose, and are still valid.
    pub fn open(&self, kind: Kind, bytes: &[u8], now: Timestamp) -> Result<Claims, Refused> {
        let (body, seal) = bytes.split_at_checked(BODY).ok_or(Refused::Invalid)?;
        let seal: [u8; SEAL] = seal.try_into().map_err(|_| Refused::Invalid)?;
        // The comparison of two `Hash` takes the same time wherever they differ.
        if blake3::keyed_hash(&self.key, body) != blake3::Hash::from_bytes(seal) {
            return Err(Refused::Invalid);
        }
        let (fixed, rest) = body.split_at(BODY - 16);
        let (expires, protocol) = rest.split_first_chunk::<8>().ok_or(Refused::Invalid)?;
        let expires = Timestamp::from_millisecond(i64::from_le_bytes(*expires))
            .map_err(|_| Refused::Invalid)?;
        let (major, minor) = protocol.split_first_chunk::<4>().ok_or(Refused::Invalid)?;
        let minor = minor.try_into().map_err(|_| Refused::Invalid)?;
        if fixed[0] != kind as u8 {
            return Err(Refused::Invalid);
        }
        if expires <= now {
            return Err(Refused::Expired);
        }
        Ok(Claims {
            account: Uuid::from_slice(&fixed[1..17]).map_err(|_| Refused::Invalid)?,
            server: Uuid::from_slice(&fixed[17..33]).map_err(|_| Refused::Invalid)?,
            expires,
            protocol: ProtocolVersion {
                major: u32::from_le_bytes(*major),
                minor: u32::from_le_bytes(minor),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            account: Uuid::from_u128(1),
            server: Uuid::from_u128(2),
            expires: "2026-01-01T00:00:00Z".parse().unwrap(),
            protocol: ProtocolVersion {
                major: 1,
                minor: 20,
            },
        }
    }

    const BEFORE: &str = "2025-12-31T23:59:59Z";

    #[test]
    fn a_cookie_says_what_was_sealed_until_it_expires() {
        let sealer = Sealer::new([7; 32]);
        let bytes = sealer.seal(Kind::Session, &claims());
        let open = |now: &str| sealer.open(Kind::Session, &bytes, now.parse().unwrap());
        assert_eq!(open(BEFORE), Ok(claims()));
        assert_eq!(open("2026-01-01T00:00:00Z"), Err(Refused::Expired));
    }

    #[test]
    fn any_change_breaks_the_seal() {
        let sealer = Sealer::new([7; 32]);
        let bytes = sealer.seal(Kind::Session, &claims());
        let now = BEFORE.parse().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(
                sealer.open(Kind::Session, &changed, now),
                Err(Refused::Invalid)
            );
            assert_eq!(
                sealer.open(Kind::Session, &bytes[..at], now),
                Err(Refused::Invalid)
            );
        }
        let other = Sealer::new([8; 32]);
        assert_eq!(
            other.open(Kind::Session, &bytes, now),
            Err(Refused::Invalid)
        );
    }

    #[test]
    fn an_authorization_is_no_session() {
        let sealer = Sealer::new([7; 32]);
        let bytes = sealer.seal(Kind::Authorization, &claims());
        let now = BEFORE.parse().unwrap();
        assert_eq!(
            sealer.open(Kind::Session, &bytes, now),
            Err(Refused::Invalid)
        );
    }
}
