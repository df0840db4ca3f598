//! `package.xml`.

use super::bounded::Bounded;
use super::{Error, MANIFEST, MAX_UPDATES};
use crate::message::Language;
use crate::xml::{MAX_DEPTH, parse_date_time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalog::{Problem, RevisionId, UpdateId};
use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::io::BufRead;
use uuid::Uuid;

/// A language of the server that made a package.
pub type PackageLanguage = Language;

/// Most categories, classifications or files of one update, and most languages.
const MAX_ENTRIES: usize = 100_000;

/// Most files in one package.
const MAX_FILES: usize = 16_000_000;

/// Longest URL or file name.
const MAX_TEXT_BYTES: usize = 8 << 10;

/// Longest tag, text or comment: as many attributes as are read, each as long as it may be.
const MAX_PIECE_BYTES: usize = 1 << 20;

/// Where a package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageInfo {
    /// GUID of the server that made it.
    pub server_id: Uuid,
    /// When it was made.
    pub creation_time: Timestamp,
    /// Version of the format; `1.0` so far.
    pub format_version: String,
    /// Protocol version of the server, such as `1.20`.
    pub protocol_version: String,
    /// Languages of the server.
    pub languages: Vec<PackageLanguage>,
}

/// A content file that a package names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// Its SHA-1.
    pub digest: [u8; 20],
    /// Its address at Microsoft Update.
    pub url: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// An update that a package lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageUpdate {
    /// The revision.
    pub id: RevisionId,
    /// SHA-1 of its content files.
    pub file_digests: Vec<[u8; 20]>,
    /// Its categories.
    pub categories: Vec<UpdateId>,
    /// Its classifications.
    pub classifications: Vec<UpdateId>,
}

/// What `package.xml` holds.
pub(super) struct Manifest {
    pub info: PackageInfo,
    pub files: Vec<PackageFile>,
    pub updates: Vec<PackageUpdate>,
}

/// Reads `package.xml` to its end. Names are matched in any case, unknown ones passed over.
pub(super) fn read(input: impl BufRead) -> Result<Manifest, Error> {
    let mut reader = Reader::from_reader(Bounded::new(input, MAX_PIECE_BYTES));
    reader.config_mut().expand_empty_elements = true;
    let mut builder = Builder::default();
    let mut buffer = Vec::new();
    let mut depth = 0;
    loop {
        buffer.clear();
        reader.get_mut().begin();
        let event = reader.read_event_into(&mut buffer);
        let position = reader.buffer_position();
        let refuse = |problem: String| Error::Manifest {
            position,
            // It may quote names and values of the file.
            problem: Problem::new(problem).to_string(),
        };
        match event {
            Ok(Event::Start(start)) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(refuse(format!(
                        "elements are nested deeper than {MAX_DEPTH}"
                    )));
                }
                builder.start(&start).map_err(refuse)?;
            }
            Ok(Event::End(end)) => {
                depth -= 1;
                builder.end(end.local_name().as_ref()).map_err(refuse)?;
            }
            Ok(Event::DocType(_)) => {
                return Err(refuse("a document type declaration is not allowed".into()));
            }
            Ok(Event::Eof) if depth > 0 => {
                return Err(refuse("the file ends in the middle".into()));
            }
            Ok(Event::Eof) => return builder.finish().map_err(refuse),
            Ok(_) => {}
            Err(quick_xml::Error::Io(_)) if reader.get_ref().is_over() => {
                return Err(refuse(format!(
                    "a tag or text is longer than {MAX_PIECE_BYTES} bytes"
                )));
            }
            Err(quick_xml::Error::Io(source)) => {
                return Err(Error::Member {
                    member: MANIFEST,
                    source: std::io::Error::new(source.kind(), source.to_string()),
                });
            }
            Err(error) => return Err(refuse(error.to_string())),
        }
    }
}

#[derive(Default)]
struct Builder {
    info: Option<PackageInfo>,
    languages: Vec<PackageLanguage>,
    files: Vec<PackageFile>,
    updates: Vec<PackageUpdate>,
    /// The update that is being read.
    current: Option<PackageUpdate>,
}

/// The attributes of an element, unescaped.
struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn of(start: &BytesStart<'_>) -> Result<Self, String> {
        const MOST: usize = 64;
        let mut attributes = Vec::new();
        for attribute in start.attributes().with_checks(false).take(MOST) {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let name = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
            let raw = std::str::from_utf8(&attribute.value)
                .map_err(|_| format!("the attribute {name} is not UTF-8"))?;
            if raw.len() > MAX_TEXT_BYTES {
                return Err(format!(
                    "the attribute {name} is longer than {MAX_TEXT_BYTES} bytes"
                ));
            }
            let value = quick_xml::escape::unescape(raw).map_err(|error| error.to_string())?;
            attributes.push((name, value.into_owned()));
        }
        Ok(Self(attributes))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn parse<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
        let value = self
            .get(name)
            .ok_or_else(|| format!("the attribute {name} is missing"))?;
        parse(value.trim()).ok_or_else(|| {
            let shown: String = value.chars().take(64).collect();
            format!("the attribute {name} holds {shown:?}")
        })
    }
}

fn guid(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

fn sha1(text: &str) -> Option<[u8; 20]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// Adds to a list that has an end.
fn push<T>(list: &mut Vec<T>, item: T, limit: usize, what: &str) -> Result<(), String> {
    if list.len() >= limit {
        return Err(format!("there are more than {limit} {what}"));
    }
    list.push(item);
    Ok(())
}

impl Builder {
    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        let name = start.local_name();
        let is = |expected: &str| name.as_ref().eq_ignore_ascii_case(expected.as_bytes());
        if is("ExportPackage") {
            if self.info.is_some() {
                return Err("there is an ExportPackage inside another".into());
            }
            let attributes = Attributes::of(start)?;
            self.info = Some(PackageInfo {
                server_id: attributes.parse("ServerID", guid)?,
                creation_time: attributes.parse("CreationTime", parse_date_time)?,
                format_version: attributes.get("FormatVersion").unwrap_or_default().into(),
                protocol_version: attributes.get("ProtocolVersion").unwrap_or_default().into(),
                languages: vec![],
            });
        } else if self.info.is_none() {
            return Err("the document does not start with ExportPackage".into());
        } else if is("Language") {
            let attributes = Attributes::of(start)?;
            let language = Language {
                id: attributes.parse("Id", |text| text.parse().ok())?,
                short_name: attributes.get("ShortName").unwrap_or_default().into(),
                long_name: attributes.get("LongName").unwrap_or_default().into(),
                enabled: attributes.parse("Enabled", boolean)?,
            };
            push(&mut self.languages, language, MAX_ENTRIES, "languages")?;
        } else if is("Update") {
            if self.current.is_some() {
                return Err("there is an Update inside another".into());
            }
            let attributes = Attributes::of(start)?;
            let id = attributes.parse("UpdateId", guid)?;
            let revision =
                |text: &str| text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok());
            let revision = attributes.parse("RevisionNumber", revision)?;
            self.current = Some(PackageUpdate {
                id: RevisionId::new(UpdateId(id), revision),
                file_digests: vec![],
                categories: vec![],
                classifications: vec![],
            });
        } else if is("File") {
            let attributes = Attributes::of(start)?;
            let digest = attributes.parse("Digest", sha1)?;
            match &mut self.current {
                Some(update) => push(&mut update.file_digests, digest, MAX_ENTRIES, "files")?,
                None => {
                    let text = |name| attributes.get(name).filter(|t| !t.is_empty());
                    let file = PackageFile {
                        digest,
                        url: text("MUUrl").map(str::to_owned),
                        name: text("Name").map(str::to_owned),
                    };
                    push(&mut self.files, file, MAX_FILES, "files")?;
                }
            }
        } else if let Some(update) = &mut self.current {
            let list = if is("Category") {
                &mut update.categories
            } else if is("Classification") {
                &mut update.classifications
            } else {
                return Ok(());
            };
            let id = Attributes::of(start)?.parse("Value", guid)?;
            push(list, UpdateId(id), MAX_ENTRIES, "categories of one update")?;
        }
        Ok(())
    }

    fn end(&mut self, name: &[u8]) -> Result<(), String> {
        if !name.eq_ignore_ascii_case(b"Update") {
            return Ok(());
        }
        match self.current.take() {
            Some(update) => push(&mut self.updates, update, MAX_UPDATES, "updates"),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Manifest, String> {
        let mut info = self
            .info
            .ok_or("the document does not start with ExportPackage")?;
        info.languages = self.languages;
        Ok(Manifest {
            info,
            files: self.files,
            updates: self.updates,
        })
    }
}
