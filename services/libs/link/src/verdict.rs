//! Whether a site may attach and pull, by what is known of it. The same at every site.

use crate::peer::KeyHash;
use catalog::PointId;
use store::authority::SiteRow;
use tonic::Status;

/// Why a site may not attach here, though its certificate is of this hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing is known of it.
    #[error("site {site} did not join below site {here}")]
    Unknown {
        /// The site.
        site: PointId,
        /// Where it wanted to attach.
        here: PointId,
    },
    /// It was removed.
    #[error("site {site} was removed from the hierarchy: it can join again with a new token")]
    Removed {
        /// The site.
        site: PointId,
    },
    /// It has another parent.
    #[error("site {site} belongs below {parent}, not below {here}")]
    Elsewhere {
        /// The site.
        site: PointId,
        /// Where it belongs.
        parent: PointId,
        /// Where it wanted to attach.
        here: PointId,
    },
    /// Another machine joined in its place.
    #[error(
        "site {site} joined again with another key, and this certificate is for its old one: it can \
         join again with a new token"
    )]
    OtherKey {
        /// The site.
        site: PointId,
    },
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        Self::permission_denied(refused.to_string())
    }
}

/// Decides whether `site`, whose certificate is for the key with this digest, may attach to `here`.
///
/// # Errors
/// Why it may not.
pub fn judge(
    row: Option<&SiteRow>,
    site: PointId,
    here: PointId,
    key_hash: &KeyHash,
) -> Result<(), Refused> {
    let Some(row) = row else {
        return Err(Refused::Unknown { site, here });
    };
    if row.removed.is_some() {
        return Err(Refused::Removed { site });
    }
    if row.parent != here {
        let parent = row.parent;
        return Err(Refused::Elsewhere { site, parent, here });
    }
    if row.key_hash != key_hash {
        return Err(Refused::OtherKey { site });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::SiteKind;
    use jiff::Timestamp;

    #[test]
    fn only_the_machine_that_joined_last_is_let_in_and_only_at_its_parent() {
        let code = |text: &str| text.parse::<PointId>().unwrap();
        let (site, here) = (code("PR1"), code("CAS"));
        let row = SiteRow {
            code: site,
            kind: SiteKind::Primary,
            parent: here,
            former_parents: Vec::new(),
            joined: Timestamp::UNIX_EPOCH,
            removed: None,
            key_hash: vec![1; 32],
        };
        let removed = SiteRow {
            removed: Some(Timestamp::UNIX_EPOCH),
            ..row.clone()
        };
        assert_eq!(judge(Some(&row), site, here, &[1; 32]), Ok(()));
        assert_eq!(
            judge(Some(&row), site, here, &[2; 32]),
            Err(Refused::OtherKey { site })
        );
        assert_eq!(
            judge(Some(&removed), site, here, &[1; 32]),
            Err(Refused::Removed { site })
        );
        assert_eq!(
            judge(None, site, here, &[1; 32]),
            Err(Refused::Unknown { site, here })
        );
        let (parent, here) = (here, code("PR2"));
        assert_eq!(
            judge(Some(&row), site, here, &[1; 32]),
            Err(Refused::Elsewhere { site, parent, here })
        );
    }
}
