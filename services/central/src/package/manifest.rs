//! The manifest of a package: what it is, and the digest of every block. It is what is signed.

use super::Error;
use super::format::{MAX_BLOCK_BYTES, MAX_MANIFEST_BYTES};
use super::piece::{MAX_FILES, MAX_PIECES_BYTES};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::packages::PackageMark;
use trust::package::SIGNATURE_LEN;
use trust::{HierarchyId, SignedStatement, Statement, StatementPublicKey};
use uuid::Uuid;

/// Most packages that one names as made before it. Whoever took in an older one last needs one with everything.
pub const MAX_EARLIER: usize = 200;
/// Bytes of the root of a catalog that tell packages apart.
const MARK_BYTES: usize = 8;
/// Most blocks of a package.
const MAX_BLOCKS: usize = 500_000;
/// Digits of a SHA-1.
const MAX_DIGITS: usize = 40;
/// Longest name of a site.
const MAX_SITE: usize = 64;

/// What a package is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// The hierarchy that made it.
    pub hierarchy: Uuid,
    /// Its top-level site.
    pub site: String,
    /// The public half of the key that signs, in hexadecimal.
    pub key: String,
    /// When it was made.
    pub made: Timestamp,
    /// The history that the positions belong to.
    pub epoch: Uuid,
    /// It holds what changed after this position; everything where it is 0.
    pub base: u64,
    /// How far it goes.
    pub position: u64,
    /// The signed statement of that position, in hexadecimal.
    pub statement: String,
    /// The packages of that history that were made before it, the newest last: whoever took one in that is none of
    /// these holds another history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<PackageMark>,
    /// What is in it.
    pub contents: Contents,
    /// Its blocks, in their order.
    pub blocks: Vec<Block>,
}

/// What is in a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Contents {
    /// Revisions.
    pub revisions: u64,
    /// Revisions that are gone.
    pub removals: u64,
    /// What was decided about updates; none where it was not asked for.
    pub approvals: Option<u64>,
    /// Whether the settings are in it.
    pub settings: bool,
    /// Update files; none where they were not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Carried>,
}

/// The update files in a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Carried {
    /// Which were asked for.
    pub kind: FilesKind,
    /// How many there are.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Which update files a package carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilesKind {
    /// The texts of licence terms.
    LicenceTerms,
    /// All that are needed where it was made.
    Content,
}

/// A block of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Block {
    /// What it holds.
    pub kind: BlockKind,
    /// Its bytes in the file.
    pub packed: u64,
    /// Its bytes when it is unpacked.
    pub unpacked: u64,
    /// BLAKE3 of its bytes in the file, in hexadecimal.
    pub digest: String,
    /// SHA-1 of the update file that it begins with, for people; none where it holds changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockKind {
    /// Changes of the catalog.
    Changes,
    /// Pieces of update files.
    Files,
}

fn altered(what: &'static str) -> Error {
    Error::altered(what)
}

/// Bytes in hexadecimal.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let places = (0..text.len()).step_by(2);
    places
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

/// What tells the package up to a statement from others.
pub(super) fn mark_of(statement: &Statement) -> PackageMark {
    PackageMark {
        position: statement.position,
        issued: statement.issued,
        root: to_hex(&statement.root[..MARK_BYTES]),
    }
}

impl Manifest {
    /// The bytes that are signed.
    ///
    /// # Errors
    /// When it is larger than a manifest may be.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let bytes = serde_json::to_vec(self).map_err(Error::altered)?;
        if bytes.len() as u64 > MAX_MANIFEST_BYTES || self.blocks.len() > MAX_BLOCKS {
            return Err(Error::TooLarge {
                size: bytes.len() as u64,
                most: MAX_MANIFEST_BYTES,
            });
        }
        Ok(bytes)
    }

    /// The manifest of bytes that the key in it signed, and the statement in it. Whose key that is, is for
    /// [`super::origin::judge`] to say.
    ///
    /// # Errors
    /// When anything of it was altered.
    pub fn open(bytes: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<(Self, Statement), Error> {
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|_| altered("its manifest cannot be read"))?;
        let key = manifest.key()?;
        if !key.signed_package(bytes, signature) {
            return Err(altered("its signature does not fit"));
        }
        if manifest.to_bytes()? != bytes {
            return Err(altered("its manifest is not in the one form that it has"));
        }
        let is_long = manifest.site.len() > MAX_SITE
            || manifest.blocks.len() > MAX_BLOCKS
            || manifest.earlier.len() > MAX_EARLIER;
        if is_long {
            return Err(altered("its manifest is longer than any can be"));
        }
        let statement = manifest.statement(&key)?;
        if manifest.base > manifest.position || i64::try_from(manifest.position).is_err() {
            return Err(altered("it ends before it begins"));
        }
        for block in &manifest.blocks {
            let most = match block.kind {
                BlockKind::Changes => MAX_BLOCK_BYTES,
                BlockKind::Files => MAX_PIECES_BYTES,
            };
            // What cannot be compressed grows a little.
            if block.unpacked > most || block.packed > most + most / 64 {
                return Err(altered("a block is larger than any can be"));
            }
            if block
                .file
                .as_ref()
                .is_some_and(|file| file.len() > MAX_DIGITS)
            {
                return Err(altered(
                    "the name of a file in it is longer than any can be",
                ));
            }
            if block.kind == BlockKind::Files && manifest.contents.files.is_none() {
                return Err(altered("it holds files that its manifest does not tell of"));
            }
        }
        if let Some(carried) = manifest.contents.files
            && carried.files > MAX_FILES
        {
            return Err(altered("it has more files than any package can have"));
        }
        Ok((manifest, statement))
    }

    /// The key that signs.
    ///
    /// # Errors
    /// When it is none.
    pub fn key(&self) -> Result<StatementPublicKey, Error> {
        self.key
            .parse()
            .map_err(|_| altered("the key in it is none"))
    }

    fn statement(&self, key: &StatementPublicKey) -> Result<Statement, Error> {
        let signed = from_hex(&self.statement)
            .and_then(|bytes| SignedStatement::from_bytes(&bytes).ok())
            .ok_or_else(|| altered("the statement in it is none"))?;
        let statement = signed
            .verify(key, HierarchyId(self.hierarchy))
            .map_err(Error::altered)?;
        if (statement.epoch, statement.position) != (self.epoch, self.position) {
            return Err(altered("the statement in it is of another position"));
        }
        Ok(statement.clone())
    }

    /// Whether everything is in it.
    pub fn is_full(&self) -> bool {
        self.base == 0
    }

    /// Bytes of its blocks in the file; none where that is no number.
    pub fn packed(&self) -> Option<u64> {
        self.blocks
            .iter()
            .try_fold(0_u64, |sum, block| sum.checked_add(block.packed))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use trust::Authority;

    pub fn authority(seed: u64) -> Authority {
        let mut random = StdRng::seed_from_u64(seed);
        let hierarchy = HierarchyId(Uuid::from_u128(seed.into()));
        Authority::create(hierarchy, Timestamp::UNIX_EPOCH, &mut random).unwrap()
    }

    /// The package up to a position, all of which were signed at the same time.
    pub fn mark(position: u64) -> PackageMark {
        PackageMark {
            position,
            issued: Timestamp::UNIX_EPOCH,
            root: "01".repeat(MARK_BYTES),
        }
    }

    pub fn manifest(authority: &Authority, base: u64, position: u64) -> Manifest {
        let epoch = Uuid::from_u128(77);
        let statement = authority.sign(Statement {
            hierarchy: authority.hierarchy(),
            epoch,
            position,
            items: 1,
            root: [1; 32],
            issued: Timestamp::UNIX_EPOCH,
            stale_after: Timestamp::UNIX_EPOCH,
        });
        Manifest {
            hierarchy: authority.hierarchy().0,
            site: "CAS".to_owned(),
            key: authority.statement_key().to_string(),
            made: Timestamp::UNIX_EPOCH,
            epoch,
            base,
            position,
            statement: to_hex(&statement.to_bytes()),
            earlier: (1..position).map(mark).collect(),
            contents: Contents::default(),
            blocks: vec![],
        }
    }

    fn open(authority: &Authority, manifest: &Manifest) -> Result<(Manifest, Statement), String> {
        let bytes = manifest.to_bytes().unwrap();
        let signature = authority.sign_package(&bytes);
        Manifest::open(&bytes, &signature).map_err(|error| error.to_string())
    }

    #[test]
    fn a_manifest_that_was_signed_opens() {
        let authority = authority(1);
        let expected = manifest(&authority, 0, 5);
        let (opened, statement) = open(&authority, &expected).unwrap();
        assert_eq!(opened, expected);
        assert_eq!(statement.position, 5);
    }

    #[test]
    fn what_is_signed_by_the_right_key_and_makes_no_sense_is_refused() {
        let (authority, other) = (authority(1), authority(2));
        let good = manifest(&authority, 0, 5);
        let check = |manifest: Manifest, expected: &str| {
            let error = open(&authority, &manifest).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        let blocks = vec![Block {
            kind: BlockKind::Changes,
            packed: 1,
            unpacked: u64::MAX,
            digest: String::new(),
            file: None,
        }];
        check(
            Manifest {
                base: 6,
                ..good.clone()
            },
            "before it begins",
        );
        check(
            Manifest {
                position: 6,
                ..good.clone()
            },
            "another position",
        );
        check(
            Manifest {
                statement: "5".into(),
                ..good.clone()
            },
            "is none",
        );
        check(
            Manifest {
                key: "é".repeat(32),
                ..good.clone()
            },
            "is none",
        );
        check(
            Manifest {
                blocks,
                ..good.clone()
            },
            "larger",
        );
        check(
            Manifest {
                key: other.statement_key().to_string(),
                ..good.clone()
            },
            "does not fit",
        );
        let hierarchy = other.hierarchy().0;
        check(Manifest { hierarchy, ..good }, "belongs to hierarchy");
    }

    #[test]
    fn any_other_byte_is_noticed() {
        let authority = authority(1);
        let bytes = manifest(&authority, 0, 5).to_bytes().unwrap();
        let signature = authority.sign_package(&bytes);
        for place in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[place] ^= 1;
            assert!(Manifest::open(&bad, &signature).is_err(), "{place}");
        }
        // White space is another form, also where it is signed.
        let spaced = [bytes.as_slice(), b" "].concat();
        let signature = authority.sign_package(&spaced);
        assert!(Manifest::open(&spaced, &signature).is_err());
    }
}
