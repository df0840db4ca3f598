//! Writing a package (WSUS-PROTOCOL 8.2): the list and the documents grow beside each other, because the list
//! stands first in the cabinet and is known last.

use super::{Error, MANIFEST, METADATA, PackageFile, PackageInfo, PackageUpdate};
use crate::language;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

/// Most bytes that a cabinet holds, unpacked: 65,535 blocks of 32 KiB.
pub const MAX_CABINET_BYTES: u64 = 65_535 * (32 << 10);
/// What genuine packages leave free in their header for a signature.
const RESERVE: usize = 6_144;
/// Version of the format.
const FORMAT_VERSION: &str = "1.0";
/// Protocol version of the servers that make such packages today.
const PROTOCOL_VERSION: &str = "1.20";
const BYTE_ORDER_MARK: &str = "\u{feff}";

impl PackageInfo {
    /// What a server that has all languages says of itself.
    pub fn of_all_languages(server_id: uuid::Uuid, creation_time: jiff::Timestamp) -> Self {
        Self {
            server_id,
            creation_time,
            format_version: FORMAT_VERSION.to_owned(),
            protocol_version: PROTOCOL_VERSION.to_owned(),
            languages: language::all(),
        }
    }
}

/// Three places where a package grows; nothing of them is needed afterwards.
#[derive(Debug)]
pub struct Scratch<F> {
    /// For the files that updates name.
    pub files: F,
    /// For the updates.
    pub updates: F,
    /// For the documents.
    pub documents: F,
}

/// Writes a package: [`Writer::add`] each revision, what it needs before it, then [`Writer::finish`].
pub struct Writer<F: Write> {
    info: PackageInfo,
    files: BufWriter<F>,
    updates: BufWriter<F>,
    documents: BufWriter<F>,
    /// Files that are named already.
    named: HashSet<[u8; 20]>,
    bytes: u64,
    most_bytes: u64,
    revisions: u64,
}

impl<F: Read + Write + Seek> Writer<F> {
    /// A package with nothing in it.
    pub fn new(info: PackageInfo, scratch: Scratch<F>) -> Self {
        Self {
            info,
            files: BufWriter::new(scratch.files),
            updates: BufWriter::new(scratch.updates),
            documents: BufWriter::new(scratch.documents),
            named: HashSet::new(),
            bytes: 0,
            most_bytes: MAX_CABINET_BYTES,
            revisions: 0,
        }
    }

    /// The same with less room, for tests.
    pub fn with_room(mut self, most_bytes: u64) -> Self {
        self.most_bytes = most_bytes.min(MAX_CABINET_BYTES);
        self
    }

    /// How many revisions were added.
    pub fn revisions(&self) -> u64 {
        self.revisions
    }

    /// Adds a revision. `files` are those of it whose address or name is known; one that was named by another
    /// revision is not named again.
    ///
    /// # Errors
    /// When the package becomes larger than a cabinet can be, or cannot be written.
    pub fn add(
        &mut self,
        update: &PackageUpdate,
        files: &[PackageFile],
        document: &str,
    ) -> Result<(), Error> {
        let mut list = String::new();
        for file in files {
            if !self.named.insert(file.digest) {
                continue;
            }
            let _ = write!(list, "<File Digest=\"{}\"", STANDARD.encode(file.digest));
            attribute(&mut list, "MUUrl", file.url.as_deref().unwrap_or_default());
            attribute(&mut list, "Name", file.name.as_deref().unwrap_or_default());
            list.push_str("/>");
        }
        let entry = entry(update);
        let length = document.encode_utf16().count();
        let head = format!(
            "{},{:08x},{length:08x},",
            update.id.update_id, update.id.revision
        );
        let added = list.len() + entry.len() + head.len() + document.len() + 2;
        self.bytes += added as u64;
        if self.bytes > self.most_bytes {
            return Err(Error::TooLarge {
                revisions: self.revisions,
            });
        }
        self.files.write_all(list.as_bytes()).map_err(unwritable)?;
        self.updates
            .write_all(entry.as_bytes())
            .map_err(unwritable)?;
        for part in [head.as_bytes(), document.as_bytes(), b"\r\n"] {
            self.documents.write_all(part).map_err(unwritable)?;
        }
        self.revisions += 1;
        Ok(())
    }

    /// Packs everything into a cabinet.
    ///
    /// # Errors
    /// When the package is larger than a cabinet can be, or cannot be written.
    pub fn finish<W: Write + Seek>(self, into: W) -> Result<W, Error> {
        let head = head(&self.info);
        let tail = "</Updates></ExportPackage>";
        let between = "</Files><Updates>";
        let fixed = head.len() + between.len() + tail.len();
        if self.bytes + fixed as u64 > self.most_bytes {
            return Err(Error::TooLarge {
                revisions: self.revisions,
            });
        }
        let mut files = rewound(self.files)?;
        let mut updates = rewound(self.updates)?;
        let mut documents = rewound(self.documents)?;
        let mut builder = cab::CabinetBuilder::new();
        builder.set_reserve_data(vec![0; RESERVE]);
        let folder = builder.add_folder(cab::CompressionType::MsZip);
        folder.add_file(MANIFEST);
        folder.add_file(METADATA);
        let mut cabinet = builder.build(into).map_err(unwritable)?;
        let mut list = true;
        while let Some(mut member) = cabinet.next_file().map_err(unwritable)? {
            match std::mem::replace(&mut list, false) {
                true => {
                    member.write_all(head.as_bytes()).map_err(unwritable)?;
                    io::copy(&mut files, &mut member).map_err(unwritable)?;
                    member.write_all(between.as_bytes()).map_err(unwritable)?;
                    io::copy(&mut updates, &mut member).map_err(unwritable)?;
                    member.write_all(tail.as_bytes()).map_err(unwritable)?;
                }
                false => {
                    io::copy(&mut documents, &mut member).map_err(unwritable)?;
                }
            }
        }
        cabinet.finish().map_err(unwritable)
    }
}

fn unwritable(source: io::Error) -> Error {
    Error::Write { source }
}

fn rewound<F: Read + Write + Seek>(grown: BufWriter<F>) -> Result<BufReader<F>, Error> {
    let mut grown = grown
        .into_inner()
        .map_err(|error| unwritable(error.into_error()))?;
    grown.seek(SeekFrom::Start(0)).map_err(unwritable)?;
    Ok(BufReader::new(grown))
}

/// Everything before the first file.
fn head(info: &PackageInfo) -> String {
    let mut head = String::from(BYTE_ORDER_MARK);
    head.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?><ExportPackage");
    attribute(&mut head, "ServerID", &info.server_id.to_string());
    let time = info
        .creation_time
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    attribute(&mut head, "CreationTime", &time);
    attribute(&mut head, "FormatVersion", &info.format_version);
    attribute(&mut head, "ProtocolVersion", &info.protocol_version);
    head.push_str("><Languages>");
    for language in &info.languages {
        head.push_str("<Language");
        attribute(&mut head, "Id", &language.id.to_string());
        attribute(&mut head, "ShortName", &language.short_name);
        attribute(&mut head, "LongName", &language.long_name);
        attribute(
            &mut head,
            "Enabled",
            if language.enabled { "1" } else { "0" },
        );
        head.push_str("/>");
    }
    head.push_str("</Languages><Files>");
    head
}

/// A revision in the list.
fn entry(update: &PackageUpdate) -> String {
    let mut entry = String::from("<Update");
    attribute(&mut entry, "UpdateId", &update.id.update_id.to_string());
    attribute(
        &mut entry,
        "RevisionNumber",
        &update.id.revision.to_string(),
    );
    entry.push('>');
    let digests = update
        .file_digests
        .iter()
        .map(|digest| STANDARD.encode(digest));
    list(&mut entry, "Files", "File", "Digest", digests);
    let ids = update.categories.iter().map(ToString::to_string);
    list(&mut entry, "Categories", "Category", "Value", ids);
    let ids = update.classifications.iter().map(ToString::to_string);
    list(
        &mut entry,
        "Classifications",
        "Classification",
        "Value",
        ids,
    );
    entry.push_str("</Update>");
    entry
}

fn list(
    out: &mut String,
    name: &str,
    of: &str,
    attribute_name: &str,
    values: impl Iterator<Item = String>,
) {
    let _ = write!(out, "<{name}>");
    for value in values {
        let _ = write!(out, "<{of}");
        attribute(out, attribute_name, &value);
        out.push_str("/>");
    }
    let _ = write!(out, "</{name}>");
}

/// Appends an attribute. What a parser would make blanks of is written as a reference.
fn attribute(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, " {name}=\"");
    for c in value.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests;
