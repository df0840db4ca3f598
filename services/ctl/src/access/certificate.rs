//! Issuing client certificates for people.

use super::Role;
use crate::connection::{Client, explain, question};
use crate::console::Console;
use crate::render::{View, text};
use anyhow::{Context as _, bail};
use daemon::secret_file;
use hierarchy::time;
use secrecy::ExposeSecret as _;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trust::SiteKey;
use trust::authority::MAX_REQUEST;
use wire::v1::IssueCertificateRequest;

#[derive(Debug, clap::Args)]
pub(super) struct Issue {
    /// Whose it is: letters, digits, dots, hyphens and underscores
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may do
    #[arg(long, value_enum, default_value = "viewer")]
    role: Role,
    /// How long it is good, for example 8h or 90d; 366d at most
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = crate::sync::length_of_time)]
    valid: Duration,
    /// A certificate request in PEM, for a key that is elsewhere; the certificate is printed
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "out",
        conflicts_with = "out"
    )]
    csr: Option<PathBuf>,
    /// Make the key here, and put NAME.key.pem and NAME.cert.pem into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Where key and certificate go.
struct Files {
    key: PathBuf,
    certificate: PathBuf,
}

impl Files {
    /// The files of a name in a folder; none of them may be there.
    fn new(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if name.is_empty() || name.starts_with('.') || !plain {
            bail!(
                "{name:?} cannot be the name of a file: use letters, digits, dots, hyphens and underscores"
            );
        }
        let files = Self {
            key: folder.join(format!("{name}.key.pem")),
            certificate: folder.join(format!("{name}.cert.pem")),
        };
        for file in [&files.key, &files.certificate] {
            if file.exists() {
                bail!(
                    "{} is there already: take it away first, or name another folder",
                    file.display()
                );
            }
        }
        Ok(files)
    }
}

fn request_of(file: &Path) -> anyhow::Result<String> {
    let named = || format!("reading the certificate request {}", file.display());
    let size = std::fs::metadata(file).with_context(named)?.len();
    if size > MAX_REQUEST as u64 {
        bail!(
            "the certificate request {} is larger than {MAX_REQUEST} bytes",
            file.display()
        );
    }
    std::fs::read_to_string(file).with_context(named)
}

/// Issues one.
///
/// # Errors
/// When the site refuses, or a file cannot be read or written.
pub(super) async fn issue(console: &Console, client: &Client, issue: Issue) -> anyhow::Result<()> {
    let files = match &issue.out {
        Some(folder) => Some(Files::new(folder, &issue.name)?),
        None => None,
    };
    let (key, request) = match &issue.csr {
        Some(file) => (None, request_of(file)?),
        None => {
            let key = SiteKey::generate()?;
            let request = key.csr_pem()?;
            (Some(key), request)
        }
    };
    let role = trust::Role::from(issue.role).name();
    let request = question(IssueCertificateRequest {
        name: issue.name.clone(),
        role: role.to_owned(),
        valid_seconds: issue.valid.as_secs().max(1),
        certificate_request: request,
    });
    let answer = client.people().issue_certificate(request).await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, "issuing a client certificate"))?
        .into_inner();
    let chain = &answer.certificate_chain;
    if let (Some(files), Some(key)) = (&files, &key) {
        secret_file::write(&files.key, key.to_secret_pem().expose_secret())?;
        std::fs::write(&files.certificate, chain)
            .with_context(|| format!("writing {}", files.certificate.display()))?;
    }
    let expires = time(answer.expires.as_ref());
    if console.json {
        let path = |path: &PathBuf| path.display().to_string();
        return console.json_line(&json!({
            "name": issue.name, "role": role, "expires": expires, "serial": answer.serial,
            "certificate_chain": chain,
            "key_file": files.as_ref().map(|files| path(&files.key)),
            "certificate_file": files.as_ref().map(|files| path(&files.certificate)),
        }));
    }
    match &files {
        Some(files) => console.line(format!(
            "{} and {} are written. The key is a secret: whoever has it is {} here.",
            files.key.display(),
            files.certificate.display(),
            issue.name
        ))?,
        None => console.verbatim(chain)?,
    }
    let view = View::of_process(console);
    let until = expires.map_or_else(String::new, |end| {
        format!(" until {}", text::date_and_time(end, &view))
    });
    console.remark(format!(
        "{} is {role} at {}{until}; headwater access revoke {} ends it at once.",
        issue.name, client.server, issue.name
    ));
    Ok(())
}
