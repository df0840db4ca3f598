//! Whether a join token may be used. Pure.

use super::is_live;
use super::place::{is_as_invited, taken};
use catalog::{PointId, SiteKind, may_be_below};
use jiff::Timestamp;
use link::peer::KeyHash;
use store::authority::{JoinTokenRow, SiteRow};

/// What a join token may be used for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The site joins.
    First,
    /// The site that joined with it did not hear our answer.
    Again,
}

/// Who presents a join token, and what the database knows at that moment.
pub(super) struct Joining<'a> {
    pub(super) token: &'a JoinTokenRow,
    /// The site of the token, removed or not.
    pub(super) held: Option<&'a SiteRow>,
    /// The point that is the parent of who joins now, and its kind, if there is one.
    pub(super) parent: Option<(PointId, SiteKind)>,
    /// The site that was dialled.
    pub(super) via: PointId,
    pub(super) key_hash: &'a KeyHash,
    pub(super) now: Timestamp,
}

impl Joining<'_> {
    /// Whether the token may be used; the error says why not.
    pub(super) fn decide(&self) -> Result<Use, String> {
        let token = self.token;
        let by_this_key = token.key_hash.as_deref() == Some(self.key_hash);
        if token.used.is_some() && !by_this_key {
            return Err(format!(
                "the join token for site {} was used already: make a new one",
                token.site
            ));
        }
        if self.now >= token.expires {
            return Err(format!(
                "the join token for site {} expired at {}: make a new one",
                token.site, token.expires
            ));
        }
        if !token.parent.is_beside(self.via) {
            return Err(format!(
                "the join token is for a site below {}, but {} was dialled: use the address of {}",
                token.parent, self.via, token.parent
            ));
        }
        let fits = |(parent, kind)| may_be_below(token.site, token.kind, parent, kind);
        if !self.parent.is_some_and(fits) {
            return Err(format!(
                "site {} is no longer there to be the parent",
                token.parent
            ));
        }
        let held = self.held.filter(|held| is_live(held));
        if token.used.is_none() {
            return match held {
                Some(held) if !is_as_invited(held, token.kind, token.parent) => Err(taken(held)),
                Some(_) | None => Ok(Use::First),
            };
        }
        let same = held.is_some_and(|held| {
            is_as_invited(held, token.kind, token.parent) && held.key_hash == self.key_hash
        });
        if !same {
            return Err(format!(
                "the join token for site {0} was used already, and site {0} was removed or joined anew \
                 since: make a new one",
                token.site
            ));
        }
        Ok(Use::Again)
    }
}
