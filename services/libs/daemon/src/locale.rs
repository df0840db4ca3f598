//! The locale of the server.

/// The locale that this process runs with, as the system says it: `LC_ALL`, else `LC_MESSAGES`, else `LANG`;
/// empty where none of them is set.
#[expect(
    clippy::disallowed_methods,
    reason = "these variables are the system's way of saying in which language it speaks"
)]
pub fn of_process() -> String {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(variable)
        .unwrap_or_default()
}
