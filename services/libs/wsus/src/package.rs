//! Packages of `wsusutil export` (WSUS-PROTOCOL 8.2), read and written: a cabinet with `package.xml`, the list of
//! what is in it, and `metadata.txt`, the update documents.
//!
//! [`Writer`] writes one. A package is read in two sequential passes and never held as a whole: [`Package::open`] reads the list,
//! [`Package::read`] the documents.

mod bounded;
mod manifest;
mod metadata;
mod unpacked;
mod write;

pub use manifest::{PackageFile, PackageInfo, PackageLanguage, PackageUpdate};
pub use write::{MAX_CABINET_BYTES, Scratch, Writer};

use crate::blob::{Guarded, guarded};
use catalog::RevisionId;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use unpacked::Unpacked;

/// The list of what is in a package.
const MANIFEST: &str = "package.xml";
/// The update documents.
const METADATA: &str = "metadata.txt";

/// Most updates in one package.
pub const MAX_UPDATES: usize = 4_000_000;

/// Largest `package.xml` that is read.
const MAX_MANIFEST_BYTES: u64 = 2 << 30;

/// Why a package cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("{path} cannot be opened")]
    Open {
        /// The package.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another format of package.
    #[error(
        "{path} is a package of the form .xml.gz, which is not read here: export again, naming a package \
         that ends in .cab"
    )]
    Gzip {
        /// The package.
        path: PathBuf,
    },
    /// Not a package.
    #[error("{path} is not a package of wsusutil export: {reason}")]
    NotAPackage {
        /// The package.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A member cannot be unpacked.
    #[error("{member} cannot be read; the package is truncated or damaged, copy it again")]
    Member {
        /// Name of the member.
        member: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `package.xml` is not what it should be.
    #[error("package.xml is not valid at byte {position}: {problem}")]
    Manifest {
        /// Byte offset.
        position: u64,
        /// What is wrong.
        problem: String,
    },
    /// A record of `metadata.txt` is not what it should be.
    #[error("metadata.txt, record {record}{}: {problem}", of(.id))]
    Record {
        /// Number of the record, from 1.
        record: usize,
        /// Its revision, where that could be read.
        id: Option<RevisionId>,
        /// What is wrong.
        problem: String,
    },
    /// More than a cabinet can hold.
    #[error(
        "the catalog is larger than the 2 GB that a .cab package can hold ({revisions} revisions fit into \
         this one): export it as .hwpkg, which has no such limit"
    )]
    TooLarge {
        /// Revisions that had room.
        revisions: u64,
    },
    /// The package cannot be written.
    #[error("the package cannot be written")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Revisions of `package.xml` without a document.
    #[error(
        "metadata.txt ends without {count} of the revisions in package.xml, the first of them {first}"
    )]
    MissingRecords {
        /// How many.
        count: usize,
        /// The first.
        first: RevisionId,
    },
}

fn of(id: &Option<RevisionId>) -> String {
    id.map(|id| format!(" ({id})")).unwrap_or_default()
}

/// A package whose list has been read.
pub struct Package {
    path: PathBuf,
    metadata_member: String,
    info: PackageInfo,
    files: Vec<PackageFile>,
    updates: Vec<PackageUpdate>,
    index: HashMap<RevisionId, usize>,
}

impl Package {
    /// Opens a package and reads `package.xml`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut cabinet = open_cabinet(path)?;
        let manifest_member = member(path, &cabinet, MANIFEST)?;
        let metadata_member = member(path, &cabinet, METADATA)?;
        let room = unpacked::room(path)?.min(MAX_MANIFEST_BYTES);
        let reader = open_member(&mut cabinet, &manifest_member, MANIFEST)?;
        let reader = BufReader::new(Unpacked::new(reader, room));
        let manifest = manifest::read(reader)?;
        let mut index = HashMap::with_capacity(manifest.updates.len());
        for (at, update) in manifest.updates.iter().enumerate() {
            if index.insert(update.id, at).is_some() {
                return Err(Error::NotAPackage {
                    path: path.to_owned(),
                    reason: format!("package.xml lists {} twice", update.id),
                });
            }
        }
        Ok(Self {
            path: path.to_owned(),
            metadata_member,
            info: manifest.info,
            files: manifest.files,
            updates: manifest.updates,
            index,
        })
    }

    /// Where the package comes from.
    pub fn info(&self) -> &PackageInfo {
        &self.info
    }

    /// The content files that its updates name, and where to download them. Their content is not in a
    /// package.
    pub fn files(&self) -> &[PackageFile] {
        &self.files
    }

    /// Its updates, in the order of `package.xml`.
    pub fn updates(&self) -> &[PackageUpdate] {
        &self.updates
    }

    /// Reads the documents one after the other, in the order of `metadata.txt`, which in packages of
    /// Windows puts what an update needs before it. `visit` may stop early.
    ///
    /// # Errors
    /// A record that cannot be read, that `package.xml` does not list, or that occurs twice; and, at the
    /// end, revisions of `package.xml` that had no record. What was visited before is good.
    pub fn read(
        &self,
        mut visit: impl FnMut(&PackageUpdate, String) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut cabinet = open_cabinet(&self.path)?;
        let reader = open_member(&mut cabinet, &self.metadata_member, METADATA)?;
        let reader = Unpacked::new(reader, unpacked::room(&self.path)?);
        let mut records = metadata::Records::new(BufReader::with_capacity(64 << 10, reader));
        let mut seen = vec![false; self.updates.len()];
        while let Some((id, document)) = records.next()? {
            let refuse = |problem: &str| Error::Record {
                record: records.count(),
                id: Some(id),
                problem: problem.to_owned(),
            };
            let Some(&at) = self.index.get(&id) else {
                return Err(refuse("package.xml does not list this revision"));
            };
            if std::mem::replace(&mut seen[at], true) {
                return Err(refuse("there was a record of this revision before"));
            }
            if visit(&self.updates[at], document).is_break() {
                return Ok(());
            }
        }
        let mut missing = self.updates.iter().zip(&seen).filter(|(_, seen)| !**seen);
        match missing.next() {
            None => Ok(()),
            Some((first, _)) => Err(Error::MissingRecords {
                count: 1 + missing.count(),
                first: first.id,
            }),
        }
    }
}

type Cabinet = cab::Cabinet<BufReader<File>>;

fn open_cabinet(path: &Path) -> Result<Cabinet, Error> {
    let unreadable = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut magic = [0; 4];
    let not_a_package = |reason: String| Error::NotAPackage {
        path: path.to_owned(),
        reason,
    };
    match file.read_exact(&mut magic) {
        Ok(()) if magic.starts_with(&[0x1F, 0x8B]) => {
            return Err(Error::Gzip {
                path: path.to_owned(),
            });
        }
        Ok(()) if &magic == b"MSCF" => {}
        Ok(()) => return Err(not_a_package("it is not a cabinet file".into())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(not_a_package(
                "it is empty, as exports of more than 2 GB to .cab are".into(),
            ));
        }
        Err(error) => return Err(unreadable(error)),
    }
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    guarded(|| cab::Cabinet::new(BufReader::new(file)))
        .unwrap_or_else(|| Err(damaged()))
        .map_err(|error| not_a_package(error.to_string()))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the cabinet file is damaged")
}

/// Finds a member, in any case of its name.
fn member(path: &Path, cabinet: &Cabinet, name: &'static str) -> Result<String, Error> {
    const SHOWN: usize = 5;
    const SHOWN_CHARS: usize = 40;
    let names = || {
        cabinet
            .folder_entries()
            .flat_map(|folder| folder.file_entries())
            .map(|file| file.name())
    };
    let found = names().find(|member| member.eq_ignore_ascii_case(name));
    found.map(str::to_owned).ok_or_else(|| {
        let present: Vec<String> = names()
            .take(SHOWN)
            .map(|name| name.chars().take(SHOWN_CHARS).collect())
            .collect();
        Error::NotAPackage {
            path: path.to_owned(),
            reason: format!("there is no {name} in it, but {present:?}"),
        }
    })
}

fn open_member<'a>(
    cabinet: &'a mut Cabinet,
    name: &str,
    member: &'static str,
) -> Result<Guarded<cab::FileReader<'a, BufReader<File>>>, Error> {
    let reader = guarded(|| cabinet.read_file(name)).unwrap_or_else(|| Err(damaged()));
    reader
        .map(Guarded::new)
        .map_err(|source| Error::Member { member, source })
}

#[cfg(test)]
mod tests;
