//! Which sites a demo has.

use hierarchy::Hierarchy;

/// Code of the central site.
pub const TOP: &str = "CAS";
/// What the third character of a code may be. `N` is left out: PRN is reserved.
const NAMES: &[u8] = b"123456789ABCDEFGHIJKLMOPQRSTUVWXYZ";
/// Most sites of one kind: as many as there are names.
pub const MOST_SITES: i64 = 34;

/// A site below the central one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its code.
    pub code: String,
    /// Its kind.
    pub kind: &'static str,
    /// Code of its parent.
    pub parent: String,
}

/// The sites below the central one, primary sites first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The sites.
    pub sites: Vec<Site>,
}

impl Plan {
    /// Primary sites PR1, PR2, …, and secondary sites SE1, SE2, … spread over them.
    pub fn new(primaries: u8, secondaries: u8) -> Self {
        let code = |prefix, name: &u8| format!("{prefix}{}", char::from(*name));
        let primary_codes: Vec<_> = NAMES
            .iter()
            .take(primaries.into())
            .map(|name| code("PR", name))
            .collect();
        let primaries = primary_codes.iter().map(|code| Site {
            code: code.clone(),
            kind: "primary",
            parent: TOP.to_owned(),
        });
        let parents = primary_codes.iter().cycle();
        let secondaries = NAMES.iter().take(secondaries.into()).zip(parents);
        let secondaries = secondaries.map(|(name, parent)| Site {
            code: code("SE", name),
            kind: "secondary",
            parent: parent.clone(),
        });
        Self {
            sites: primaries.chain(secondaries).collect(),
        }
    }

    /// The sites that may start at the same time, parents first.
    pub fn tiers(&self) -> Vec<Vec<Site>> {
        let (primaries, secondaries) = self
            .sites
            .iter()
            .cloned()
            .partition(|site| site.parent == TOP);
        vec![primaries, secondaries]
    }

    /// Sites that did not join yet, or are not connected.
    pub fn missing(&self, hierarchy: &Hierarchy) -> Vec<&str> {
        let codes = self.sites.iter().map(|site| site.code.as_str());
        codes
            .filter(|code| {
                let site = hierarchy.site(code);
                site.is_none_or(|site| hierarchy.cut_off_at(site).is_some())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::three_tiers;

    #[test]
    fn secondary_sites_are_spread_over_the_primary_sites() {
        let plan = Plan::new(2, 3);
        let shown: Vec<_> = plan
            .sites
            .iter()
            .map(|site| format!("{}<{}", site.code, site.parent))
            .collect();
        assert_eq!(
            shown,
            ["PR1<CAS", "PR2<CAS", "SE1<PR1", "SE2<PR2", "SE3<PR1"]
        );
        assert_eq!(
            plan.tiers().iter().map(Vec::len).collect::<Vec<_>>(),
            [2, 3]
        );
    }

    #[test]
    fn the_largest_demo_has_site_codes_for_all() {
        let plan = Plan::new(34, 34);
        let codes: std::collections::BTreeSet<_> =
            plan.sites.iter().map(|site| &site.code).collect();
        assert_eq!(codes.len(), 68);
        assert!(!codes.contains(&"PRN".to_owned()));
    }

    #[test]
    fn a_site_is_missing_until_its_whole_way_up_is_connected() {
        let plan = Plan::new(2, 3);
        let mut hierarchy = three_tiers();
        assert_eq!(plan.missing(&hierarchy), ["SE3"]);
        let mut site = hierarchy.site("PR2").unwrap().clone();
        site.connected = false;
        hierarchy.absorb(vec![site]);
        assert_eq!(plan.missing(&hierarchy), ["PR2", "SE2", "SE3"]);
    }
}
