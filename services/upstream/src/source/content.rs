//! Where the content files of a document can be downloaded.

use catalog::document::Update;
use std::collections::HashMap;
use wsus::message::FileUrl;

/// Addresses by SHA-1, as a package gives them.
pub(crate) type Addresses = HashMap<[u8; 20], String>;

/// The addresses of all files of `update`, each under its SHA-1 and, where known, under its SHA-256. A file
/// that has no address in `known` gets one of the form that Microsoft Update uses.
pub(super) fn file_urls(update: &Update, known: &Addresses) -> Vec<FileUrl> {
    let mut urls = Vec::new();
    let month = update.creation_date.strftime("%Y/%m").to_string();
    let files = update.files.iter();
    let files = files.map(|file| (file.sha1, file.sha256, file.name.as_str()));
    let licences = update.eula_files.iter();
    let licences = licences.map(|file| (file.sha1, file.sha256, file.name.as_str()));
    for (sha1, sha256, name) in files.chain(licences) {
        let address = match known.get(&sha1) {
            Some(address) => address.clone(),
            None => invented(&month, name, &sha1),
        };
        let digests = std::iter::once(sha1.to_vec()).chain(sha256.map(|sha256| sha256.to_vec()));
        urls.extend(digests.map(|digest| FileUrl {
            digest,
            mu_url: Some(address.clone()),
            uss_url: None,
        }));
    }
    urls
}

fn invented(month: &str, name: &str, sha1: &[u8; 20]) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "bin"));
    let digest: String = sha1.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "http://download.windowsupdate.com/c/msdownload/update/software/updt/{month}/{stem}_{digest}.{extension}"
    )
}
