//! How values look to people and to scripts. Pure: reports go in, text comes out.

pub mod json;
pub mod table;
pub mod text;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Who looks, and from where and when.
#[derive(Debug, Clone)]
pub struct View {
    /// The present.
    pub now: Timestamp,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    /// Whether colours are welcome.
    pub colour: bool,
    /// Columns of the terminal; nothing where lines may be of any length.
    pub width: Option<u16>,
}

impl View {
    /// The view of a person at this console now.
    pub fn of_process(console: &crate::console::Console) -> Self {
        let width = console.terminal.then(|| comfy_table::Table::new().width());
        Self {
            now: crate::now(),
            zone: TimeZone::system(),
            colour: console.colour,
            width: width.flatten(),
        }
    }
}
