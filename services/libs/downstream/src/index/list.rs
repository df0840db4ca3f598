//! Which revisions a filter selects.

use super::{Index, Listed, Since};
use catalog::RevisionId;
use catalog::document::ProtocolVersion;
use jiff::Timestamp;
use wsus::selection::{Candidate, Selection, with_bundled};

impl Index {
    /// The revisions that `selection` asks for, of what changed after `since` where its anchor counts, with all
    /// that they bundle and the updates that they require, in an order in which they can be imported.
    ///
    /// Of every update that is selected the newest revision is listed, and the one that is approved. What needs
    /// something that is not here is left out, and so is what a server of `protocol` cannot have. Categories and
    /// detectoids come with the configuration, as they do from every server, and are not repeated with the updates.
    pub fn list(
        &self,
        selection: &Selection,
        since: Since,
        protocol: ProtocolVersion,
    ) -> Vec<RevisionId> {
        if selection.is_nothing() {
            return Vec::new();
        }
        let can_have = |held: &Listed| held.deliverable && held.protocol <= protocol;
        let is_selected = |place: u32, held: &Listed| {
            let membership = &self.memberships[held.membership as usize];
            let is_newest = self.newest.get(&held.entry.id.update_id) == Some(&place);
            (is_newest || self.approved.contains(&place))
                && can_have(held)
                && selection.applies(&Candidate {
                    is_config: held.entry.is_config,
                    // The rules compare times; here positions tell what changed.
                    changed: match since.covers(held.since) {
                        true => Timestamp::MIN,
                        false => Timestamp::MAX,
                    },
                    categories: &membership.categories,
                    classifications: &membership.classifications,
                })
        };
        let places = (0_u32..).zip(&self.listed);
        let selected = places.filter(|(place, held)| is_selected(*place, held));
        let selected = selected.map(|(place, _)| place);
        let needed = |place: &u32| {
            let entry = &self.listed[*place as usize].entry;
            let needs = self.needs(entry).flatten();
            // Of what is selected all is here; configuration is listed by itself, where it is asked for.
            let more = needs.filter(|place| !self.listed[*place as usize].entry.is_config);
            more.collect::<Vec<u32>>()
        };
        let complete = with_bundled(selected, needed).into_iter();
        let entries = complete.map(|place| &self.listed[place as usize].entry);
        entries.map(|entry| entry.id).collect()
    }
}
