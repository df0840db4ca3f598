//! Where files lie when nobody says where.

use std::path::PathBuf;

/// Name of our folder below the folders of the system or of the user.
const NAME: &str = "headwater";

/// What the place of a user's files depends on.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// Whether it is the system's administrator, who runs services.
    pub is_root: bool,
    /// `XDG_DATA_HOME`, where that is set.
    pub data_home: Option<PathBuf>,
    /// `HOME`, where that is set.
    pub home: Option<PathBuf>,
}

impl User {
    /// The user that this process runs as.
    #[expect(
        clippy::disallowed_methods,
        reason = "these variables are the system's way of saying where a user's files lie"
    )]
    pub fn of_process() -> Self {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        Self {
            is_root: is_root(),
            data_home: path("XDG_DATA_HOME"),
            home: path("HOME"),
        }
    }

    /// The data directory of this user's site: `/var/lib/headwater` for root, otherwise below
    /// `$XDG_DATA_HOME` or `~/.local/share`. As the XDG specification has it, a path that is not
    /// absolute counts as not set. Without a home, a folder below the present one.
    pub fn data_dir(&self) -> PathBuf {
        if self.is_root {
            return PathBuf::from("/var/lib").join(NAME);
        }
        let absolute = |path: &Option<PathBuf>| path.clone().filter(|path| path.is_absolute());
        let home = || absolute(&self.home).map(|home| home.join(".local/share"));
        absolute(&self.data_home)
            .or_else(home)
            .unwrap_or_default()
            .join(NAME)
    }
}

/// The data directory of a site when none is named: [`User::data_dir`] of this process.
pub fn default_data_dir() -> PathBuf {
    User::of_process().data_dir()
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

/// Name of this machine, as the log shows it.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir(is_root: bool, data_home: Option<&str>, home: Option<&str>) -> PathBuf {
        User {
            is_root,
            data_home: data_home.map(PathBuf::from),
            home: home.map(PathBuf::from),
        }
        .data_dir()
    }

    #[test]
    fn data_lies_where_the_system_has_it() {
        let check = |dir: PathBuf, expected| assert_eq!(dir, PathBuf::from(expected));
        check(
            data_dir(true, Some("/x"), Some("/root")),
            "/var/lib/headwater",
        );
        check(data_dir(false, Some("/x"), Some("/home/a")), "/x/headwater");
        check(
            data_dir(false, Some("x"), Some("/home/a")),
            "/home/a/.local/share/headwater",
        );
        check(
            data_dir(false, None, Some("/home/a")),
            "/home/a/.local/share/headwater",
        );
        check(data_dir(false, None, None), "headwater");
    }
}
