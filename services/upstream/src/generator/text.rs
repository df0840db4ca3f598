//! Titles and descriptions of software updates.

use super::lines::{Place, Style};
use super::random::Random;
use super::recipe::Offer;

/// How to remove an update, as real updates say it, with its line ends.
pub(super) const UNINSTALL_NOTES: &str = "This software update can be removed by selecting View installed \
updates in the Programs and Features Control Panel.\r\n\r\nA restart may be required.";

const DESCRIPTIONS: [&str; 5] = [
    "Install this update to resolve issues in Windows. For a complete listing of the issues that are \
     included in this update, see the associated Microsoft Knowledge Base article for more information. \
     After you install this item, you may have to restart your computer.",
    "A security issue has been identified in a Microsoft software product that could affect your system. \
     You can help protect your system by installing this update from Microsoft. For a complete listing of \
     the issues that are included in this update, see the associated Microsoft Knowledge Base article.",
    "Microsoft has released an update that resolves vulnerabilities & improves reliability. This update \
     contains stability and performance improvements.",
    "This update addresses the \"quality improvements\" listed in the article.\r\n\r\nKnown issues:\r\n\
     - Devices with <custom> images may need the servicing stack update first.\r\n- None other.",
    "Install this update to revise the files that are used to detect viruses, spyware, and other \
     potentially unwanted software. Once you have installed this item, it cannot be removed.",
];

/// What an update says about itself in English.
pub(super) fn description(random: &mut Random, place: &Place) -> &'static str {
    match place.line.style {
        Style::Definitions => DESCRIPTIONS[4],
        Style::Cumulative | Style::Program | Style::Patch | Style::Upgrade | Style::Driver => {
            random.pick::<&str>(&DESCRIPTIONS[..4])
        }
    }
}

/// The vendors of drivers: the companies that Microsoft's own documentation invents.
pub(super) const VENDORS: [&str; 6] = [
    "Contoso",
    "Fabrikam",
    "Northwind",
    "Litware",
    "Proseware",
    "Tailspin",
];

/// The classes of drivers.
pub(super) const CLASSES: [&str; 8] = [
    "Net",
    "Display",
    "Media",
    "Bluetooth",
    "System",
    "Firmware",
    "Printer",
    "HIDClass",
];

/// The English title of an update.
pub(super) fn title(place: &Place, offer: Offer, kb: u32, seed: u64) -> String {
    let mut random = Random::new(seed, &[]);
    let line = &place.line;
    let product = line.product.title;
    let month = offer.released.strftime("%Y-%m");
    match line.style {
        Style::Cumulative => {
            // A product that goes on for years counts its versions; each has a chain of its own.
            let counts = matches!(product, "Windows 11" | "Windows 10, version 1903 and later");
            let version = if counts {
                format!(
                    " Version {}H{}",
                    19 + place.version / 2 % 40,
                    1 + place.version % 2
                )
            } else {
                String::new()
            };
            format!(
                "{month} {}{product}{version} for x64-based Systems (KB{kb})",
                line.title
            )
        }
        Style::Definitions => format!(
            "{}{product} - KB2267602 (Version 1.{}.{}.0) - Current Channel (Broad)",
            line.title,
            400 + offer.number / 1000,
            offer.number % 1000
        ),
        Style::Driver => format!(
            "{} - {} - {}.{}.{}.{}",
            random.pick(&VENDORS),
            random.pick(&CLASSES),
            random.between(1, 31),
            random.below(100),
            random.below(1000),
            random.below(10_000)
        ),
        Style::Upgrade => format!(
            "{}{product}, version {}H2 (KB{kb})",
            line.title,
            19 + place.version
        ),
        // A few real titles begin with blanks or a line end.
        Style::Program if kb.is_multiple_of(211) => {
            format!(" {}{product} (KB{kb})\r\n", line.title)
        }
        Style::Program | Style::Patch => format!("{}{product} (KB{kb})", line.title),
    }
}
