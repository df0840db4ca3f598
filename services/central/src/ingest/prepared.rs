//! A document made ready to be stored.

use catalog::document::Update;
use catalog::header::{FileLocation, RevisionHeader};
use catalog::{RevisionId, UpdateId, codec, document};
use std::collections::HashMap;
use store::log::MAX_HEADER_BYTES;

/// A revision that can be stored.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) id: RevisionId,
    pub(crate) header: RevisionHeader,
    /// The document in its stored form.
    pub(crate) stored: Vec<u8>,
    /// Length of the document in bytes.
    pub(crate) bytes: usize,
    /// What it names as prerequisites, categories among them.
    pub(crate) prerequisites: Vec<UpdateId>,
}

impl Prepared {
    /// Makes a document ready. `urls` says where its files can be had, by their SHA-1.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    pub(crate) fn new(
        id: RevisionId,
        text: &str,
        urls: &HashMap<[u8; 20], String>,
    ) -> Result<Self, String> {
        let update = document::parse(text).map_err(|error| error.to_string())?;
        if update.id != id {
            return Err(format!("its document says that it is {}", update.id));
        }
        let header = header(text, &update, urls);
        if header.to_bytes().len() > MAX_HEADER_BYTES {
            return Err(format!(
                "what it says of its files and bundles is longer than {MAX_HEADER_BYTES} bytes"
            ));
        }
        Ok(Self {
            id,
            header,
            stored: codec::compress(text).map_err(|error| error.to_string())?,
            bytes: text.len(),
            prerequisites: update.prerequisite_ids().collect(),
        })
    }
}

/// The header of a document. `urls` says where its files can be had, by their SHA-1.
pub(crate) fn header(
    text: &str,
    update: &Update,
    urls: &HashMap<[u8; 20], String>,
) -> RevisionHeader {
    let digests = update
        .files
        .iter()
        .map(|file| file.sha1)
        .chain(update.eula_files.iter().map(|file| file.sha1));
    let locations = digests
        .filter_map(|sha1| {
            urls.get(&sha1).map(|url| FileLocation {
                sha1,
                mu_url: url.clone(),
            })
        })
        .collect();
    RevisionHeader::new(text, update, locations)
}
