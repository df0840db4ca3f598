//! The signed summary of the catalog at a position: what every site checks its copy against.

use crate::HierarchyId;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use jiff::Timestamp;
use std::fmt;
use uuid::Uuid;

/// Separates these signatures from all others that the key might ever make, and names the layout.
const DOMAIN: &[u8; 24] = b"headwater-statement-v1\0\0";
/// Length of the signed bytes: domain, hierarchy, epoch, position, items, root, two times.
const BODY: usize = DOMAIN.len() + 16 + 16 + 8 + 8 + 32 + 8 + 8;
/// Length of an encoded [`SignedStatement`], in bytes.
pub const SIGNED_STATEMENT_LEN: usize = BODY + 64;

/// The public half of a hierarchy's statement key (Ed25519).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatementPublicKey(pub [u8; 32]);

impl fmt::Debug for StatementPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the top-level site says about its catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The hierarchy whose catalog this is.
    pub hierarchy: HierarchyId,
    /// The log in which the position counts.
    pub epoch: Uuid,
    /// The last position that is covered.
    pub position: u64,
    /// How many live items there are.
    pub items: u64,
    /// The Merkle root over all live items.
    pub root: [u8; 32],
    /// When it was signed. Microseconds count, nanoseconds do not.
    pub issued: Timestamp,
    /// After this time a site that has met nothing newer warns that it may be cut off.
    pub stale_after: Timestamp,
}

/// A statement that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not the bytes of a statement.
    #[error("the statement is damaged or of an unknown version")]
    Malformed,
    /// The signature does not fit: altered on the way, or signed by another hierarchy.
    #[error("the statement was altered, or is not signed by this hierarchy's authority")]
    Signature,
    /// Signed by the right key for another hierarchy.
    #[error("the statement belongs to hierarchy {found}, this site to {own}")]
    OtherHierarchy {
        /// The hierarchy in the statement.
        found: HierarchyId,
        /// The hierarchy of this site.
        own: HierarchyId,
    },
    /// An older catalog than one that was already verified here.
    #[error("the statement is for position {offered}, but {held} was already verified here")]
    Older {
        /// The position in the statement.
        offered: u64,
        /// The position that this site verified before.
        held: u64,
    },
    /// Another catalog at a position that was already verified.
    #[error(
        "the statement names another catalog at position {position} than the one verified here"
    )]
    Fork {
        /// The position that both claim.
        position: u64,
    },
}

impl Statement {
    /// Whether a site that still holds this as its newest may have missed others.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now > self.stale_after
    }

    /// Checks that this may follow `held`, the newest statement verified here: within an epoch
    /// positions only grow, and one position has one catalog. Another epoch may follow at any
    /// position, if it was issued later: its position is then the lower one to be expected.
    /// The same statement may follow itself.
    pub fn may_follow(&self, held: &Statement) -> Result<(), StatementError> {
        if self.hierarchy != held.hierarchy {
            return Err(StatementError::OtherHierarchy {
                found: self.hierarchy,
                own: held.hierarchy,
            });
        }
        let older = if self.epoch == held.epoch {
            self.position < held.position
        } else {
            self.issued <= held.issued
        };
        if older {
            return Err(StatementError::Older {
                offered: self.position,
                held: held.position,
            });
        }
        let same_place = self.epoch == held.epoch && self.position == held.position;
        if same_place && (self.root, self.items) != (held.root, held.items) {
            return Err(StatementError::Fork {
                position: self.position,
            });
        }
        Ok(())
    }

    /// The bytes that are signed: fixed layout, numbers big-endian, times in microseconds of UNIX
    /// time. Two different statements never have the same bytes.
    fn body(&self) -> [u8; BODY] {
        let mut out = [0; BODY];
        let mut rest = out.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            head.copy_from_slice(bytes);
            rest = tail;
        };
        put(DOMAIN);
        put(self.hierarchy.0.as_bytes());
        put(self.epoch.as_bytes());
        put(&self.position.to_be_bytes());
        put(&self.items.to_be_bytes());
        put(&self.root);
        put(&self.issued.as_microsecond().to_be_bytes());
        put(&self.stale_after.as_microsecond().to_be_bytes());
        out
    }

    fn from_body(body: &[u8; BODY]) -> Option<Self> {
        let mut rest = body.strip_prefix(DOMAIN)?;
        let hierarchy = HierarchyId(Uuid::from_bytes(*take(&mut rest)?));
        let epoch = Uuid::from_bytes(*take(&mut rest)?);
        let position = u64::from_be_bytes(*take(&mut rest)?);
        let items = u64::from_be_bytes(*take(&mut rest)?);
        let root = *take(&mut rest)?;
        let mut time = || Timestamp::from_microsecond(i64::from_be_bytes(*take(&mut rest)?)).ok();
        Some(Self {
            hierarchy,
            epoch,
            position,
            items,
            root,
            issued: time()?,
            stale_after: time()?,
        })
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(head)
}

/// A statement with the signature of the hierarchy's statement key. Holding one proves nothing:
/// call [`SignedStatement::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStatement {
    statement: Statement,
    signature: [u8; 64],
}

impl SignedStatement {
    pub(crate) fn sign(mut statement: Statement, key: &SigningKey) -> Self {
        for time in [&mut statement.issued, &mut statement.stale_after] {
            *time = Timestamp::from_microsecond(time.as_microsecond())
                .expect("a timestamp cut to microseconds lies in the range of timestamps");
        }
        let signature = key.sign(&statement.body()).to_bytes();
        Self {
            statement,
            signature,
        }
    }

    /// The statement, if `key` signed it for `hierarchy`.
    pub fn verify(
        &self,
        key: &StatementPublicKey,
        hierarchy: HierarchyId,
    ) -> Result<&Statement, StatementError> {
        VerifyingKey::from_bytes(&key.0)
            .and_then(|key| {
                let signature = Signature::from_bytes(&self.signature);
                key.verify_strict(&self.statement.body(), &signature)
            })
            .map_err(|_| StatementError::Signature)?;
        if self.statement.hierarchy != hierarchy {
            return Err(StatementError::OtherHierarchy {
                found: self.statement.hierarchy,
                own: hierarchy,
            });
        }
        Ok(&self.statement)
    }

    /// What it claims, before it was verified: for choosing what to fetch, never for showing.
    pub fn claimed(&self) -> &Statement {
        &self.statement
    }

    /// The statement and its signature as bytes, for the wire and the database.
    pub fn to_bytes(&self) -> [u8; SIGNED_STATEMENT_LEN] {
        let mut out = [0; SIGNED_STATEMENT_LEN];
        out[..BODY].copy_from_slice(&self.statement.body());
        out[BODY..].copy_from_slice(&self.signature);
        out
    }

    /// Reads what [`SignedStatement::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StatementError> {
        let (body, signature) = bytes.split_first_chunk().ok_or(StatementError::Malformed)?;
        Ok(Self {
            statement: Statement::from_body(body).ok_or(StatementError::Malformed)?,
            signature: signature
                .try_into()
                .map_err(|_| StatementError::Malformed)?,
        })
    }
}

#[cfg(test)]
mod tests;
