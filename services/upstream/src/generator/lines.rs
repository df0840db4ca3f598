//! Lines: the kinds of update that a product gets, and how often.
//!
//! An *offer* is what an administrator sees: a bundle with its members, or an update that stands alone.
//! Offers are numbered from 0. Each belongs to one line, and where the offer numbers lead through all lines
//! again and again in a fixed pattern, the predecessor of an offer in its line is found by arithmetic.

use catalog::UpdateId;
use catalog::well_known::{self as known, Named, PRODUCTS, Product};

/// How the updates of a line look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Monthly cumulative update of Windows: component based servicing.
    Cumulative,
    /// Anything that runs a program: Edge, .NET, SQL Server, tools.
    Program,
    /// Patches for Windows Installer: Office, Exchange, SharePoint.
    Patch,
    /// Definitions of Defender: several a day, with alternatives in the bundle.
    Definitions,
    /// Feature updates of Windows: few, with many large files and a licence.
    Upgrade,
    /// Drivers: stand alone.
    Driver,
}

/// One kind of update of one product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) product: Product,
    pub(super) classification: Named,
    pub(super) style: Style,
    /// What the title begins with.
    pub(super) title: &'static str,
    /// How many offers of each round belong to the line.
    weight: u32,
}

/// All lines, and which offer belongs to which.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// For each offer of a round: its line, and the how-manieth of that line in the round.
    round: Vec<(usize, u32)>,
    /// For each line, its offers in the round.
    places: Vec<Vec<u32>>,
}

/// How many offers of a line form one chain of supersedence: three years of months. Then the line goes on
/// with the next version of its product.
const CHAIN: u32 = 36;

/// Where an offer stands in its line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) line: Line,
    /// Which version of the product it is for, from 0.
    pub(super) version: u32,
    /// The offers that it supersedes: its predecessor, and sometimes that one's.
    pub(super) supersedes: [Option<u32>; 2],
}

impl Lines {
    pub(super) fn new() -> Self {
        let lines: Vec<Line> = PRODUCTS.iter().flat_map(|product| of(*product)).collect();
        let mut round: Vec<(u64, usize, u32)> = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            for rank in 0..line.weight {
                // Spreads the offers of a line evenly over the round.
                let position = (2 * u64::from(rank) + 1) * 1_000_000 / u64::from(line.weight);
                round.push((position, index, rank));
            }
        }
        round.sort_unstable();
        let mut places = vec![Vec::new(); lines.len()];
        for (offer, &(_, line, _)) in (0..).zip(&round) {
            places[line].push(offer);
        }
        let round = round.into_iter().map(|(_, line, rank)| (line, rank));
        Self {
            lines,
            round: round.collect(),
            places,
        }
    }

    /// Where an offer stands.
    pub(super) fn place(&self, offer: u32) -> Place {
        let length = u32::try_from(self.round.len()).unwrap_or(u32::MAX);
        let (line, rank) = self.round[(offer % length) as usize];
        let weight = self.lines[line].weight;
        let number = offer / length * weight + rank;
        let in_chain = number % CHAIN;
        let back = |steps: u32| {
            let number = number.checked_sub(steps).filter(|_| in_chain >= steps)?;
            let place = self.places[line][(number % weight) as usize];
            Some(number / weight * length + place)
        };
        let older = if number % 4 == 3 { back(2) } else { None };
        Place {
            line: self.lines[line],
            version: number / CHAIN,
            supersedes: [back(1), older],
        }
    }
}

/// The lines of a product.
fn of(product: Product) -> Vec<Line> {
    let line = |classification, style, title, weight| Line {
        product,
        classification,
        style,
        title,
        weight,
    };
    let (security, updates) = (known::SECURITY_UPDATES, known::UPDATES);
    if product.title == "Microsoft Defender Antivirus" {
        let definitions = "Security Intelligence Update for ";
        return vec![
            line(
                known::DEFINITION_UPDATES,
                Style::Definitions,
                definitions,
                20,
            ),
            line(updates, Style::Program, "Update for platform of ", 2),
        ];
    }
    if product.title.ends_with("drivers") {
        return vec![line(known::DRIVERS, Style::Driver, "", 14)];
    }
    if product.title.ends_with("Dynamic Update") {
        let title = "Setup Dynamic Update for ";
        return vec![line(known::CRITICAL_UPDATES, Style::Cumulative, title, 1)];
    }
    if product.family == known::FAMILY_WINDOWS.id {
        return windows(product, line);
    }
    if is_any(
        product.family,
        &[known::FAMILY_OFFICE, known::FAMILY_EXCHANGE],
    ) {
        return vec![
            line(security, Style::Patch, "Security Update for ", 3),
            line(updates, Style::Patch, "Update for ", 2),
            line(
                known::CRITICAL_UPDATES,
                Style::Patch,
                "Critical Update for ",
                1,
            ),
        ];
    }
    if product.family == known::FAMILY_SQL_SERVER.id {
        return vec![
            line(security, Style::Program, "Security Update for ", 2),
            line(
                known::UPDATE_ROLLUPS,
                Style::Program,
                "Cumulative Update package for ",
                2,
            ),
            line(known::SERVICE_PACKS, Style::Upgrade, "Service Pack for ", 1),
        ];
    }
    vec![
        line(security, Style::Program, "Security Update for ", 1),
        line(updates, Style::Program, "Update for ", 1),
        line(known::FEATURE_PACKS, Style::Program, "Feature Pack for ", 1),
    ]
}

fn windows(product: Product, line: impl Fn(Named, Style, &'static str, u32) -> Line) -> Vec<Line> {
    let (security, updates) = (known::SECURITY_UPDATES, known::UPDATES);
    if product.title == "Microsoft Edge" {
        return vec![
            line(security, Style::Program, "Security Update for ", 4),
            line(updates, Style::Program, "Feature Update for ", 2),
        ];
    }
    if product.title == "Microsoft Defender for Endpoint" {
        return vec![line(updates, Style::Program, "Update for ", 2)];
    }
    let is_client = matches!(
        product.title,
        "Windows 11" | "Windows 10, version 1903 and later"
    );
    let mut lines = vec![
        line(
            security,
            Style::Cumulative,
            "Cumulative Update for ",
            if is_client { 12 } else { 5 },
        ),
        line(
            updates,
            Style::Cumulative,
            "Cumulative Update Preview for ",
            2,
        ),
        line(
            security,
            Style::Program,
            "Cumulative Update for .NET Framework for ",
            2,
        ),
        line(
            known::CRITICAL_UPDATES,
            Style::Cumulative,
            "Servicing Stack Update for ",
            1,
        ),
        line(
            known::UPDATE_ROLLUPS,
            Style::Program,
            "Windows Malicious Software Removal Tool for ",
            1,
        ),
    ];
    if is_client {
        lines.push(line(
            known::UPGRADES,
            Style::Upgrade,
            "Feature update to ",
            1,
        ));
        lines.push(line(
            known::TOOLS,
            Style::Program,
            "Compatibility tool for ",
            1,
        ));
    }
    lines
}

fn is_any(id: UpdateId, families: &[Named]) -> bool {
    families.iter().any(|family| family.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_offer_supersedes_is_older_and_of_the_same_line() {
        let lines = Lines::new();
        let mut chained = 0;
        for offer in 0..20_000 {
            let place = lines.place(offer);
            for older in place.supersedes.into_iter().flatten() {
                assert!(older < offer);
                let before = lines.place(older);
                assert_eq!(before.version, place.version);
                assert_eq!(before.line.title, place.line.title);
                assert_eq!(before.line.product, place.line.product);
                chained += 1;
            }
        }
        assert!(chained > 15_000, "{chained}");
    }

    #[test]
    fn every_product_has_a_line() {
        let lines = Lines::new();
        for product in PRODUCTS {
            let has_line = lines.lines.iter().any(|line| line.product == product);
            assert!(has_line, "{}", product.title);
        }
    }
}
