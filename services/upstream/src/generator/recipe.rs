//! Recipes: what has to be known to write one revision again.

use jiff::Timestamp;

/// What one revision of the generated catalog is made from. With the seed it determines the document,
/// so a catalog of a million revisions is held as recipes and each is written when somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    pub(super) subject: Subject,
    /// Revision number.
    pub(super) revision: u32,
    /// When this revision was published.
    pub(super) created: Timestamp,
}

/// What a recipe describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Company,
    Classification(usize),
    Family(usize),
    Product(usize),
    Detectoid(usize),
    Software(Offer, Part),
}

/// Which document of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The bundle, or the update that stands alone.
    Parent,
    /// A member of the bundle, from 0.
    Member(u32),
}

/// The state of an offer: what an administrator sees as one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    /// Its number, from 0.
    pub(super) number: u32,
    /// How many members its bundle has; 0 where it stands alone.
    pub(super) members: u32,
    /// The revision number of its parent.
    pub(super) revision: u32,
    /// The revision number of its members.
    pub(super) member_revision: u32,
    /// Whether it was withdrawn.
    pub(super) expired: bool,
    /// When it was first published, which its title tells.
    pub(super) released: Timestamp,
}

impl Offer {
    /// The recipes of all its documents, published at `created`: members before the parent, and members
    /// that others bundle before those, which is why the last comes first.
    pub(super) fn recipes(self, created: Timestamp) -> impl Iterator<Item = Recipe> {
        let members = (0..self.members)
            .rev()
            .map(move |member| self.member(member, created));
        members.chain([self.parent(created)])
    }

    pub(super) fn parent(self, created: Timestamp) -> Recipe {
        Recipe {
            subject: Subject::Software(self, Part::Parent),
            revision: self.revision,
            created,
        }
    }

    pub(super) fn member(self, member: u32, created: Timestamp) -> Recipe {
        Recipe {
            subject: Subject::Software(self, Part::Member(member)),
            revision: self.member_revision,
            created,
        }
    }
}
