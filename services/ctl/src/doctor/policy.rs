//! Which policies a Windows client has to have so that it gets its updates from the update server of its
//! site: the update service's location, the signed-content policy, and automatic updates.

use super::registry::{Data, Values};
use serde::Serialize;
use tonic::transport::Uri;

/// The key of the Windows Update policies.
pub const KEY: &str = r"HKLM\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate";
/// The key of the policies about automatic updates.
pub const AU_KEY: &str = r"HKLM\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate\AU";

/// Who installs updates on the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum InstalledBy {
    /// The Configuration Manager client; Windows must not do it by itself
    #[default]
    ConfigurationManager,
    /// Windows, by its own automatic updates
    Windows,
}

/// A value of the registry that a client has to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Name of the group policy, below Computer Configuration, Administrative Templates, Windows Components,
    /// Windows Update.
    pub policy: &'static str,
    /// State of the group policy, and its option.
    pub state: String,
    /// Key of the registry.
    pub key: &'static str,
    /// Name of the value.
    pub name: &'static str,
    /// What it has to be.
    pub value: Data,
    /// Whether it may be missing, because that means the same.
    pub may_be_missing: bool,
    /// What it is good for.
    pub why: &'static str,
}

/// How a client's value compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "found", content = "value")]
pub enum Verdict {
    /// It is as it has to be.
    Good,
    /// It is not set.
    Missing,
    /// It is something else.
    Other(Data),
}

impl Verdict {
    /// Whether nothing has to be done.
    pub fn is_good(&self) -> bool {
        *self == Self::Good
    }
}

impl Policy {
    /// Name of the value with the part of its key that is below [`KEY`].
    pub fn short_name(&self) -> String {
        let below = self.key.strip_prefix(KEY).unwrap_or(self.key);
        format!("{below}\\{}", self.name)
            .trim_start_matches('\\')
            .to_owned()
    }

    /// Compares with the values of a client.
    pub fn judge(&self, values: &Values) -> Verdict {
        match values.get(self.key, self.name) {
            None if self.may_be_missing => Verdict::Good,
            None => Verdict::Missing,
            Some(held) if held.is_same_setting(&self.value) => Verdict::Good,
            Some(held) => Verdict::Other(held.clone()),
        }
    }
}

/// The address of an update server as clients want it: without a slash at its end.
///
/// # Errors
/// When it is not the address of a server.
pub fn update_server(text: &str) -> Result<String, String> {
    let refused = || {
        format!(
            "{text:?} is not the address of an update server: use http://HOST:8530 or https://HOST:8531"
        )
    };
    let uri: Uri = text.parse().map_err(|_| refused())?;
    let scheme = uri.scheme_str().filter(|s| matches!(*s, "http" | "https"));
    let authority = uri.authority().filter(|a| !a.as_str().contains('@'));
    let (Some(scheme), Some(authority), "" | "/", None) =
        (scheme, authority, uri.path(), uri.query())
    else {
        return Err(refused());
    };
    Ok(format!("{scheme}://{authority}"))
}

/// The policies of the clients of an update server, in the order in which they are looked at.
pub fn of_clients(update_server: &str, installed_by: InstalledBy) -> Vec<Policy> {
    const LOCATION: &str = "Specify intranet Microsoft update service location";
    const SOURCES: &str = "Specify source service for specific classes of Windows Updates";
    const AUTOMATIC: &str = "Configure Automatic Updates";
    let server = || Data::Text(update_server.to_owned());
    let policy = |policy, state: &str, key, name, value, why| Policy {
        policy,
        state: state.to_owned(),
        key,
        name,
        value,
        may_be_missing: false,
        why,
    };
    let mut policies = vec![
        policy(
            LOCATION,
            "Enabled: the update service for detecting updates",
            KEY,
            "WUServer",
            server(),
            "where clients look for updates",
        ),
        policy(
            LOCATION,
            "Enabled: the intranet statistics server",
            KEY,
            "WUStatusServer",
            server(),
            "where clients report to",
        ),
        policy(
            LOCATION,
            "Enabled",
            AU_KEY,
            "UseWUServer",
            Data::Number(1),
            "without it the two above are ignored",
        ),
        policy(
            "Allow signed updates from an intranet Microsoft update service location",
            "Enabled",
            KEY,
            "AcceptTrustedPublisherCerts",
            Data::Number(1),
            "updates that your organisation signs, such as third-party ones, install",
        ),
    ];
    for name in [
        "SetPolicyDrivenUpdateSourceForFeatureUpdates",
        "SetPolicyDrivenUpdateSourceForQualityUpdates",
        "SetPolicyDrivenUpdateSourceForDriverUpdates",
        "SetPolicyDrivenUpdateSourceForOtherUpdates",
    ] {
        policies.push(policy(
            SOURCES,
            "Enabled: Windows Server Update Services",
            KEY,
            name,
            Data::Number(1),
            "clients of Windows 10 2004 and later do not go round the update server",
        ));
    }
    policies.push(policy(
        SOURCES,
        "Enabled",
        AU_KEY,
        "UseUpdateClassPolicySource",
        Data::Number(1),
        "without it the four above are ignored",
    ));
    match installed_by {
        InstalledBy::ConfigurationManager => policies.push(policy(
            AUTOMATIC,
            "Disabled",
            AU_KEY,
            "NoAutoUpdate",
            Data::Number(1),
            "Windows does not install beside Configuration Manager",
        )),
        InstalledBy::Windows => {
            policies.push(Policy {
                may_be_missing: true,
                ..policy(
                    AUTOMATIC,
                    "Enabled",
                    AU_KEY,
                    "NoAutoUpdate",
                    Data::Number(0),
                    "Windows installs by itself",
                )
            });
            policies.push(policy(
                AUTOMATIC,
                "Enabled: 4, download and schedule the installation",
                AU_KEY,
                "AUOptions",
                Data::Number(4),
                "approved updates install without anybody signed in",
            ));
        }
    }
    policies.push(Policy {
        may_be_missing: true,
        ..policy(
            "Remove access to use all Windows Update features",
            "Not configured",
            KEY,
            "DisableWindowsUpdateAccess",
            Data::Number(0),
            "it would stop the update agent of some versions of Windows",
        )
    });
    policies
}

#[cfg(test)]
mod tests {
    use super::super::registry;
    use super::*;

    const SERVER: &str = "https://wsus.example:8531";

    #[test]
    fn an_update_server_is_a_host_and_a_port() {
        assert_eq!(
            update_server("https://wsus:8531/"),
            Ok("https://wsus:8531".into())
        );
        for text in [
            "wsus",
            "ftp://wsus",
            "http://u@wsus",
            "http://wsus/x",
            "http://",
        ] {
            let error = update_server(text).unwrap_err();
            assert!(error.contains("http://HOST:8530"), "{error}");
        }
    }

    /// What is common to both files, as Microsoft documents it: the policies below WindowsUpdate.
    const WINDOWS_UPDATE: &str = r#"Windows Registry Editor Version 5.00

[HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate]
"WUServer"="https://wsus.example:8531"
"WUStatusServer"="https://wsus.example:8531"
"AcceptTrustedPublisherCerts"=dword:00000001
"SetPolicyDrivenUpdateSourceForFeatureUpdates"=dword:00000001
"SetPolicyDrivenUpdateSourceForQualityUpdates"=dword:00000001
"SetPolicyDrivenUpdateSourceForDriverUpdates"=dword:00000001
"SetPolicyDrivenUpdateSourceForOtherUpdates"=dword:00000001
"DisableWindowsUpdateAccess"=dword:00000000

[HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate\AU]
"UseWUServer"=dword:00000001
"UseUpdateClassPolicySource"=dword:00000001
"#;

    #[test]
    fn the_registry_files_are_these() {
        for (by, automatic_updates) in [
            // Configure Automatic Updates: disabled.
            (
                InstalledBy::ConfigurationManager,
                "\"NoAutoUpdate\"=dword:00000001\n",
            ),
            // Enabled, with option 4: auto download and schedule the install.
            (
                InstalledBy::Windows,
                "\"NoAutoUpdate\"=dword:00000000\n\"AUOptions\"=dword:00000004\n",
            ),
        ] {
            let expected = format!("{WINDOWS_UPDATE}{automatic_updates}").replace('\n', "\r\n");
            assert_eq!(registry::file(&of_clients(SERVER, by)), expected);
        }
    }

    #[test]
    fn each_value_stands_under_the_name_of_its_group_policy() {
        const SOURCES: &str = "Specify source service for specific classes of Windows Updates";
        const LOCATION: &str = "Specify intranet Microsoft update service location";
        const SIGNED: &str =
            "Allow signed updates from an intranet Microsoft update service location";
        let policies = of_clients(SERVER, InstalledBy::Windows);
        let told: Vec<(&str, String)> = policies
            .iter()
            .map(|policy| (policy.policy, policy.short_name()))
            .collect();
        let expected = [
            (LOCATION, "WUServer"),
            (LOCATION, "WUStatusServer"),
            (LOCATION, r"AU\UseWUServer"),
            (SIGNED, "AcceptTrustedPublisherCerts"),
            (SOURCES, "SetPolicyDrivenUpdateSourceForFeatureUpdates"),
            (SOURCES, "SetPolicyDrivenUpdateSourceForQualityUpdates"),
            (SOURCES, "SetPolicyDrivenUpdateSourceForDriverUpdates"),
            (SOURCES, "SetPolicyDrivenUpdateSourceForOtherUpdates"),
            (SOURCES, r"AU\UseUpdateClassPolicySource"),
            ("Configure Automatic Updates", r"AU\NoAutoUpdate"),
            ("Configure Automatic Updates", r"AU\AUOptions"),
            (
                "Remove access to use all Windows Update features",
                "DisableWindowsUpdateAccess",
            ),
        ]
        .map(|(policy, name)| (policy, name.to_owned()));
        assert_eq!(told, expected);
    }

    #[test]
    fn a_client_that_took_our_file_over_is_good() {
        for by in [InstalledBy::ConfigurationManager, InstalledBy::Windows] {
            let policies = of_clients(SERVER, by);
            let values = registry::read(&registry::file(&policies));
            for policy in &policies {
                assert_eq!(policy.judge(&values), Verdict::Good, "{}", policy.name);
            }
        }
    }

    #[test]
    fn what_is_missing_and_what_is_other_is_told() {
        let policies = of_clients(SERVER, InstalledBy::Windows);
        let exported = "[HKEY_LOCAL_MACHINE\\Software\\Policies\\Microsoft\\Windows\\WindowsUpdate]\r\n\
                        \"wuserver\"=\"HTTPS://WSUS.example:8531/\"\r\n\
                        \"WUStatusServer\"=\"http://old:8530\"\r\n\
                        \"DisableWindowsUpdateAccess\"=dword:00000001\r\n";
        let values = registry::read(exported);
        let verdict = |name: &str| {
            let policy = policies.iter().find(|policy| policy.name == name).unwrap();
            policy.judge(&values)
        };
        assert_eq!(verdict("WUServer"), Verdict::Good);
        let other = Data::Text("http://old:8530".into());
        assert_eq!(verdict("WUStatusServer"), Verdict::Other(other));
        assert_eq!(verdict("UseWUServer"), Verdict::Missing);
        assert_eq!(verdict("NoAutoUpdate"), Verdict::Good);
        let other = Verdict::Other(Data::Number(1));
        assert_eq!(verdict("DisableWindowsUpdateAccess"), other);
    }
}
