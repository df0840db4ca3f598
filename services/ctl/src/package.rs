//! `import` and `export`: a catalog in a file, for sites that no network reaches.

pub mod export;
pub mod import;
mod log_file;
mod steps;

/// How a package of Headwater's own format is named.
const OWN: &str = "hwpkg";
/// How one of wsusutil is named.
const WSUSUTIL: &str = "cab";

/// What a name of a package says of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Own,
    Wsusutil,
    Gzip,
    Other,
}

fn named(file: &std::path::Path) -> Named {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some(OWN) => Named::Own,
        Some(WSUSUTIL) => Named::Wsusutil,
        Some("gz") => Named::Gzip,
        _ => Named::Other,
    }
}
