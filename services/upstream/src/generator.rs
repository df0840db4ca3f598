//! Makes a catalog that looks like Microsoft's and follows from a seed: the same seed and size give the
//! same bytes, on every machine and in every version.
//!
//! Classifications, companies, families, products and architectures have their real identifiers; everything
//! else is invented. Shape and lengths follow what was measured on real catalogs (WSUS-PROTOCOL sections 5.7
//! and 9): bundles with members that carry the files, monthly chains of supersedence, titles in many
//! languages on some, a few documents of hundreds of kilobytes. Content files alone are small, so that they can be made.

mod condition;
mod language;
mod lines;
mod made;
mod parts;
mod random;
mod recipe;
mod rules;
mod software;
mod text;
mod xml;

#[cfg(test)]
mod tests;

pub(crate) use made::bytes_of;
pub use recipe::Recipe;

use catalog::document::CategoryType;
use catalog::relations::Relations;
use catalog::well_known::{CLASSIFICATIONS, FAMILIES, MICROSOFT, PRODUCTS};
use catalog::{RevisionId, UpdateId};
use condition::{Detects, Needs};
use jiff::{SignedDuration, Timestamp};
use lines::{Lines, Style};
use random::Random;
use recipe::{Offer, Subject};
use software::FIRST_REVISION;
use std::collections::HashSet;

/// What determines a generated catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneratorSettings {
    /// Another seed gives another catalog of the same shape.
    pub seed: u64,
    /// How many revisions of updates there are, exactly: bundles, their members, stand-alone updates and
    /// drivers. Categories and detectoids come on top.
    pub updates: u32,
}

/// When the oldest update was published, in seconds since 1970: 2016-01-12.
const OLDEST: i64 = 1_452_556_800;
/// When the newest update was published before the first change: 2025-12-09.
const NEWEST: i64 = 1_765_238_400;
/// There is one detectoid of product languages for so many updates, as long as there are languages.
const UPDATES_FOR_A_DETECTOID: usize = 8;
/// First step of the path of random numbers for an offer's history, and for a step of evolution.
const HISTORY: u64 = 6;
const EVOLUTION: u64 = 7;

/// A generated catalog, held as recipes.
#[derive(Debug)]
pub struct Generator {
    seed: u64,
    lines: Lines,
    detectoids: usize,
    offers: Vec<Offer>,
    /// How many steps of evolution were taken.
    generation: u64,
}

/// What one step of evolution changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The new revisions, in topological order.
    pub revisions: Vec<Recipe>,
    /// How many of them are of new updates.
    pub added: usize,
    /// How many are new revisions of updates that stay published.
    pub revised: usize,
    /// How many are new revisions that withdraw an update.
    pub expired: usize,
}

impl Generator {
    /// Lays the catalog out. No document is written yet.
    pub fn new(settings: GeneratorSettings) -> Self {
        let updates = usize::try_from(settings.updates).unwrap_or(usize::MAX);
        let mut this = Self {
            seed: settings.seed,
            lines: Lines::new(),
            detectoids: (Detects::BASE + updates / UPDATES_FOR_A_DETECTOID).min(Detects::MOST),
            offers: Vec::new(),
            generation: 0,
        };
        let mut left = settings.updates;
        while left > 0 {
            left -= 1 + this.add_offer(left - 1, Timestamp::UNIX_EPOCH);
        }
        this.write_history();
        this
    }

    /// The catalog as it is before any evolution, in topological order: categories, detectoids, updates with
    /// members before bundles.
    pub fn recipes(&self) -> impl Iterator<Item = Recipe> {
        let conditions = std::iter::once((Subject::Company, 101))
            .chain((0..CLASSIFICATIONS.len()).map(|index| (Subject::Classification(index), 100)))
            .chain((0..FAMILIES.len()).map(|index| (Subject::Family(index), 100)))
            .chain((0..PRODUCTS.len()).map(|index| (Subject::Product(index), 202)))
            .chain((0..self.detectoids).map(|number| (Subject::Detectoid(number), 101)));
        let created = seconds(OLDEST);
        let conditions = conditions.map(move |(subject, revision)| Recipe {
            subject,
            revision,
            created,
        });
        let offers = self.offers.iter().copied();
        conditions.chain(offers.flat_map(|offer| offer.recipes(published(offer))))
    }

    /// Which revision a recipe makes.
    pub fn id(&self, recipe: &Recipe) -> RevisionId {
        let id = match recipe.subject {
            Subject::Company => MICROSOFT.id,
            Subject::Classification(index) => CLASSIFICATIONS[index].id,
            Subject::Family(index) => FAMILIES[index].id,
            Subject::Product(index) => PRODUCTS[index].id,
            Subject::Detectoid(number) => self.detectoid_id(number),
            Subject::Software(offer, part) => self.software_id(offer.number, part),
        };
        RevisionId::new(id, recipe.revision)
    }

    /// When the revision was published.
    pub fn created(&self, recipe: &Recipe) -> Timestamp {
        recipe.created
    }

    /// Whether it is a category or a detectoid.
    pub fn is_configuration(&self, recipe: &Recipe) -> bool {
        !matches!(recipe.subject, Subject::Software(..))
    }

    /// What the document of a recipe has to do with others, without writing it.
    pub fn relations(&self, recipe: &Recipe) -> Relations {
        let id = self.id(recipe);
        let kind = match recipe.subject {
            Subject::Software(offer, part) => {
                let links = self.links(offer, part);
                let categories: Vec<UpdateId> = links.categories.into_iter().flatten().collect();
                let mut prerequisites = links.plain;
                prerequisites.extend(links.any_of.into_iter().flatten());
                prerequisites.extend_from_slice(&categories);
                return Relations {
                    id,
                    categories,
                    prerequisites,
                    bundled: links.bundled.into_iter().flatten().collect(),
                };
            }
            Subject::Detectoid(number) => return conditions(id, self.detectoid_needs(number)),
            Subject::Company => CategoryType::Company,
            Subject::Classification(_) => CategoryType::UpdateClassification,
            Subject::Family(_) => CategoryType::ProductFamily,
            Subject::Product(_) => CategoryType::Product,
        };
        conditions(id, Self::category_needs(id.update_id, kind))
    }

    /// Writes the document of a recipe. The same recipe always gives the same bytes.
    pub fn document(&self, recipe: &Recipe) -> String {
        let Recipe {
            subject,
            revision,
            created,
        } = *recipe;
        match subject {
            Subject::Company => self.company(revision, created),
            Subject::Classification(index) => self.classification(index, revision, created),
            Subject::Family(index) => self.family(index, revision, created),
            Subject::Product(index) => self.product(index, revision, created),
            Subject::Detectoid(number) => self.detectoid(number, revision, created),
            Subject::Software(offer, part) => self.software(offer, part, revision, created),
        }
    }

    /// Takes one step: about `percent` of the updates, counted in revisions, appear, are revised or are
    /// withdrawn at the time `at`; six in ten are new, three revised, one withdrawn, and at least one of
    /// each. What changes follows from the seed and the number of steps taken before.
    pub fn evolve(&mut self, percent: f64, at: Timestamp) -> Changes {
        self.generation += 1;
        let mut random = Random::new(self.seed, &[EVOLUTION, self.generation]);
        let total: usize = self.offers.iter().map(revisions).sum();
        let share = |tenths: usize| share_of(total, percent, tenths);
        let (to_add, to_revise, to_expire) = (share(6), share(3), share(1));
        let mut changes = Changes {
            revisions: Vec::new(),
            added: 0,
            revised: 0,
            expired: 0,
        };
        let known = self.offers.len();
        let mut changed = HashSet::new();
        // Bounded, because in a small catalog there may be nothing left to revise or to withdraw.
        for _ in 0..20 * (to_revise + to_expire) {
            let Ok(number) = usize::try_from(random.below(known as u64)) else {
                break;
            };
            let is_free = |offer: &&mut Offer| !offer.expired && !changed.contains(&number);
            let Some(offer) = self.offers.get_mut(number).filter(is_free) else {
                continue;
            };
            if changes.revised < to_revise {
                offer.revision = next_revision(offer.revision, &mut random);
                if random.chance(400) {
                    offer.member_revision = next_revision(offer.member_revision, &mut random);
                    changes.revised += revisions(offer);
                    changes.revisions.extend(offer.recipes(at));
                } else {
                    changes.revised += 1;
                    changes.revisions.push(offer.parent(at));
                }
            } else if changes.expired < to_expire {
                offer.revision += 1;
                offer.expired = true;
                changes.expired += 1;
                changes.revisions.push(offer.parent(at));
            } else {
                break;
            }
            changed.insert(number);
        }
        while changes.added < to_add {
            self.add_offer(u32::MAX, at);
            let Some(offer) = self.offers.last() else {
                break;
            };
            changes.added += revisions(offer);
            changes.revisions.extend(offer.recipes(at));
        }
        changes
    }

    /// Adds the next offer with at most `most` members, and returns how many it has.
    fn add_offer(&mut self, most: u32, released: Timestamp) -> u32 {
        let number = u32::try_from(self.offers.len()).unwrap_or(u32::MAX);
        let members = self.members(number).min(most);
        self.offers.push(Offer {
            number,
            members,
            revision: FIRST_REVISION,
            member_revision: FIRST_REVISION,
            expired: false,
            released,
        });
        members
    }

    /// Gives every offer its date, and some of them a history: revised, or withdrawn once superseded.
    fn write_history(&mut self) {
        let count = i64::try_from(self.offers.len()).unwrap_or(i64::MAX).max(1);
        let superseded: HashSet<u32> = (0..self.offers.len())
            .filter_map(|number| u32::try_from(number).ok())
            .flat_map(|number| self.lines.place(number).supersedes)
            .flatten()
            .collect();
        for offer in &mut self.offers {
            let path = [HISTORY, u64::from(offer.number)];
            let mut random = Random::new(self.seed, &path);
            offer.released = seconds(OLDEST + (NEWEST - OLDEST) / count * i64::from(offer.number));
            if random.chance(250) {
                offer.revision += 1 + u32::try_from(random.below(3)).unwrap_or(0);
            }
            let expires = match self.lines.place(offer.number).line.style {
                Style::Definitions => 600,
                Style::Cumulative | Style::Program | Style::Patch => 120,
                Style::Upgrade | Style::Driver => 60,
            };
            if superseded.contains(&offer.number) && random.chance(expires) {
                offer.expired = true;
                offer.revision += 1;
            }
        }
    }
}

/// When the present revision of an offer of the initial catalog was published.
fn published(offer: Offer) -> Timestamp {
    let days = i64::from(offer.revision.saturating_sub(FIRST_REVISION)) * 7;
    offer
        .released
        .checked_add(SignedDuration::from_hours(24 * days))
        .unwrap_or(offer.released)
}

fn conditions(id: RevisionId, needs: Needs) -> Relations {
    let mut prerequisites = needs.plain;
    prerequisites.extend(needs.parent);
    Relations {
        id,
        categories: needs.parent.into_iter().collect(),
        prerequisites,
        bundled: Vec::new(),
    }
}

/// How many revisions an offer has.
fn revisions(offer: &Offer) -> usize {
    1 + usize::try_from(offer.members).unwrap_or(0)
}

/// The number of the next revision: the next, or that of the next hundred.
fn next_revision(revision: u32, random: &mut Random) -> u32 {
    if random.chance(300) {
        revision / 100 * 100 + 100
    } else {
        revision + 1
    }
}

/// `tenths` tenths of `percent` of `total`, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a count of revisions needs no more precision, and is clamped to the count"
)]
fn share_of(total: usize, percent: f64, tenths: usize) -> usize {
    let share = total as f64 * percent.clamp(0.0, 100.0) / 100.0 * tenths as f64 / 10.0;
    (share.round() as usize).clamp(1, total.max(1))
}

fn seconds(since_1970: i64) -> Timestamp {
    Timestamp::from_second(since_1970).unwrap_or(Timestamp::UNIX_EPOCH)
}
