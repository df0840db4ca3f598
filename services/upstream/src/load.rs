//! Fills a catalog: from the generator, from an exported package, or from a folder of documents.

use crate::generator::{Generator, GeneratorSettings};
use crate::source::{Body, Revision, ServedCatalog, State};
use catalog::category::{Category, CategoryTree};
use catalog::document::{self, Update};
use catalog::order::topological;
use catalog::relations::Relations;
use catalog::{RevisionId, codec};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use wsus::package::Package;

/// Largest document file that is read from a folder, in bytes.
const MAX_FILE_BYTES: u64 = document::MAX_DOCUMENT_BYTES as u64;

/// Why a catalog could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read.
    #[error("{} could not be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The package could not be read.
    #[error(transparent)]
    Package(#[from] wsus::package::Error),
    /// A document is not one.
    #[error("{place} is not an update document")]
    Document {
        /// Where it stands.
        place: String,
        /// Why.
        source: document::Error,
    },
    /// A document of another revision than the package says.
    #[error("the document of {listed} in the package says that it is {found}")]
    OtherRevision {
        /// Of which revision it should be.
        listed: RevisionId,
        /// Of which it is.
        found: RevisionId,
    },
    /// A document could not be compressed.
    #[error("{place} cannot be held")]
    Compress {
        /// Where it stands.
        place: String,
        /// Why.
        source: codec::Error,
    },
    /// A file is larger than any document.
    #[error("{} has {bytes} bytes, more than the {MAX_FILE_BYTES} that a document may have", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The folder holds no document.
    #[error("{} holds no file whose name ends in .xml", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

/// A generated catalog.
pub fn generated(settings: GeneratorSettings) -> ServedCatalog {
    let generator = Generator::new(settings);
    let recipes: Vec<_> = generator.recipes().collect();
    let conditions = recipes
        .iter()
        .filter(|recipe| generator.is_configuration(recipe))
        .filter_map(|recipe| document::parse(&generator.document(recipe)).ok())
        .collect::<Vec<Update>>();
    let tree = CategoryTree::from_updates(&conditions, "en");
    let revisions: Vec<Revision> = recipes
        .into_iter()
        .map(|recipe| Revision {
            relations: generator.relations(&recipe),
            is_config: generator.is_configuration(&recipe),
            changed: generator.created(&recipe),
            body: Body::Recipe(recipe),
        })
        .collect();
    let mut state = State::new(tree, HashMap::new(), Some(generator));
    for revision in revisions {
        state.add(revision);
    }
    ServedCatalog::new(state)
}

/// The catalog of an exported package (`wsusutil export`, WSUS-PROTOCOL section 8). A revision counts as
/// changed when it was published, since a package does not say when its server got it.
///
/// # Errors
/// The package cannot be read, or holds a document that is not one.
pub fn package(path: &Path) -> Result<ServedCatalog, Error> {
    let package = Package::open(path)?;
    let mut documents = Documents::default();
    let mut failed = None;
    package.read(
        |update, text| match documents.add(&text, &update.id.to_string()) {
            Ok(found) if found != update.id => {
                let listed = update.id;
                failed = Some(Error::OtherRevision { listed, found });
                ControlFlow::Break(())
            }
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    if let Some(error) = failed {
        return Err(error);
    }
    let addresses = package.files().iter();
    let addresses = addresses.filter_map(|file| Some((file.digest, file.url.clone()?)));
    Ok(documents.finish(addresses.collect()))
}

/// The catalog of a folder of update documents, one a file, whose names end in `.xml`. Content files may lie in a
/// folder `Content` in it, as in the content store of WSUS: [`ServedCatalog::offer_content`].
///
/// # Errors
/// The folder cannot be read, is empty, or holds a document that is not one.
pub fn directory(path: &Path) -> Result<ServedCatalog, Error> {
    let unreadable = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("xml"))
        {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    // So that the same folder gives the same catalog whatever order the file system has.
    files.sort();
    let mut documents = Documents::default();
    for file in files {
        let text = read(&file)?;
        documents.add(&text, &file.display().to_string())?;
    }
    Ok(documents.finish(HashMap::new()))
}

fn read(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    })
}

/// Documents from outside, gathered until all categories are known.
#[derive(Default)]
struct Documents {
    revisions: Vec<Revision>,
    categories: Vec<Category>,
}

impl Documents {
    /// Adds a document and returns which revision it is.
    fn add(&mut self, text: &str, place: &str) -> Result<RevisionId, Error> {
        let update = document::parse(text).map_err(|source| Error::Document {
            place: place.to_owned(),
            source,
        })?;
        let stored = codec::compress(text).map_err(|source| Error::Compress {
            place: place.to_owned(),
            source,
        })?;
        self.categories.extend(Category::from_update(&update, "en"));
        self.revisions.push(Revision {
            relations: Relations::from(&update),
            is_config: update.is_configuration(),
            changed: update.creation_date,
            body: Body::Stored(stored.into()),
        });
        Ok(update.id)
    }

    /// The catalog, in topological order.
    fn finish(self, addresses: HashMap<[u8; 20], String>) -> ServedCatalog {
        let relations: Vec<Relations> = self
            .revisions
            .iter()
            .map(|revision| revision.relations.clone())
            .collect();
        let mut revisions: Vec<Option<Revision>> = self.revisions.into_iter().map(Some).collect();
        let mut state = State::new(CategoryTree::new(self.categories), addresses, None);
        for place in topological(&relations) {
            if let Some(revision) = revisions.get_mut(place).and_then(Option::take) {
                state.add(revision);
            }
        }
        ServedCatalog::new(state)
    }
}

#[cfg(test)]
mod tests;
