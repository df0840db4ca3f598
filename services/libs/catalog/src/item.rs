//! The items of the replicated catalog: what has a place in the hierarchy's log and in its digests.

use crate::{RevisionId, UpdateId};
use std::fmt;
use uuid::Uuid;

/// Kind byte of a revision's key.
const KIND_REVISION: u8 = 1;
/// Kind byte of the settings' key, which is nothing else.
const KIND_SETTINGS: u8 = 2;
/// Kind byte of an approval's key.
const KIND_APPROVAL: u8 = 3;
/// Kind byte of the key of an expiry.
const KIND_EXPIRY: u8 = 4;

/// Number of buckets that the items of a catalog are spread over (DESIGN section 3).
pub const BUCKETS: usize = 65_536;

/// A digest: 32 bytes of BLAKE3.
pub type Digest = [u8; 32];

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKey {
    /// A published revision of an update, category or detectoid.
    Revision(RevisionId),
    /// The settings that concern every site. There is one such item.
    Settings,
    /// What was decided about an update ([`crate::approval::Record`]).
    Approval(UpdateId),
    /// That the supersedence rules expired an update ([`crate::expiry::Expiry`]).
    Expiry(UpdateId),
}

/// Bytes that are no item key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A kind that this version does not know.
    #[error(
        "the catalog holds an item of kind {0}, which this version does not know: update Headwater"
    )]
    UnknownKind(u8),
    /// A length that does not fit the kind.
    #[error("an item key of {0} bytes is malformed")]
    Malformed(usize),
}

impl ItemKey {
    /// The key's bytes: the kind, then what identifies the item, in an order that keeps the
    /// revisions of an update together.
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Revision(id) => {
                let mut bytes = Vec::with_capacity(21);
                bytes.push(KIND_REVISION);
                bytes.extend_from_slice(id.update_id.0.as_bytes());
                bytes.extend_from_slice(&id.revision.to_be_bytes());
                bytes
            }
            Self::Settings => vec![KIND_SETTINGS],
            Self::Approval(id) => subject(KIND_APPROVAL, id).to_vec(),
            Self::Expiry(id) => subject(KIND_EXPIRY, id).to_vec(),
        }
    }

    /// The key of its bytes.
    ///
    /// # Errors
    /// When the bytes are none that [`ItemKey::to_bytes`] makes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(bytes.len());
        let (&kind, rest) = bytes.split_first().ok_or_else(malformed)?;
        match kind {
            KIND_SETTINGS if rest.is_empty() => return Ok(Self::Settings),
            KIND_SETTINGS => return Err(malformed()),
            KIND_REVISION | KIND_APPROVAL | KIND_EXPIRY => {}
            unknown => return Err(KeyError::UnknownKind(unknown)),
        }
        let (guid, rest) = rest.split_at_checked(16).ok_or_else(malformed)?;
        let update_id = UpdateId(Uuid::from_slice(guid).map_err(|_| malformed())?);
        if kind != KIND_REVISION {
            return match (kind, rest) {
                (KIND_APPROVAL, []) => Ok(Self::Approval(update_id)),
                (KIND_EXPIRY, []) => Ok(Self::Expiry(update_id)),
                _ => Err(malformed()),
            };
        }
        let revision: [u8; 4] = rest.try_into().map_err(|_| malformed())?;
        Ok(Self::Revision(RevisionId::new(
            update_id,
            u32::from_be_bytes(revision),
        )))
    }

    /// The revision that the key is about, if it is about one.
    pub const fn revision(self) -> Option<RevisionId> {
        match self {
            Self::Revision(id) => Some(id),
            Self::Settings | Self::Approval(_) | Self::Expiry(_) => None,
        }
    }

    /// The bucket of the item: the first 16 bits of the BLAKE3 of what the item is about. All
    /// revisions of an update share a bucket, so that one index serves the digests and the lookups.
    pub fn bucket(self) -> u16 {
        match self {
            Self::Revision(id) => bucket_of_update(id.update_id),
            Self::Settings => bucket_of_subject(&[KIND_SETTINGS]),
            Self::Approval(id) => bucket_of(KIND_APPROVAL, id),
            Self::Expiry(id) => bucket_of(KIND_EXPIRY, id),
        }
    }
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(id) => write!(f, "revision {id}"),
            Self::Settings => f.write_str("settings"),
            Self::Approval(id) => write!(f, "approval of {id}"),
            Self::Expiry(id) => write!(f, "expiry of {id}"),
        }
    }
}

/// The bucket in which all revisions of an update lie.
pub fn bucket_of_update(update_id: UpdateId) -> u16 {
    bucket_of(KIND_REVISION, update_id)
}

fn bucket_of(kind: u8, update_id: UpdateId) -> u16 {
    bucket_of_subject(&subject(kind, update_id))
}

fn bucket_of_subject(subject: &[u8]) -> u16 {
    let digest = blake3::hash(subject);
    let bytes = digest.as_bytes();
    u16::from_be_bytes([bytes[0], bytes[1]])
}

/// What an item is about: its kind and the update.
fn subject(kind: u8, update_id: UpdateId) -> [u8; 17] {
    let mut subject = [kind; 17];
    subject[1..].copy_from_slice(update_id.0.as_bytes());
    subject
}

/// Where the keys of what is no revision begin, and where they end (not included): what lists revisions
/// passes over these. Keys of kinds that are not known are not among them.
pub const fn keys_beside_revisions() -> ([u8; 1], [u8; 1]) {
    ([KIND_REVISION + 1], [KIND_EXPIRY + 1])
}

/// Where the keys of all expiries begin, and where they end (not included).
pub const fn expiry_keys() -> ([u8; 1], [u8; 1]) {
    ([KIND_EXPIRY], [KIND_EXPIRY + 1])
}

/// Where the keys of all approvals begin, and where they end (not included).
pub const fn approval_keys() -> ([u8; 1], [u8; 1]) {
    ([KIND_APPROVAL], [KIND_APPROVAL + 1])
}

/// The first and the last key that a revision of an update can have, both included.
pub fn revision_key_range(update_id: UpdateId) -> (Vec<u8>, Vec<u8>) {
    let key = |revision| ItemKey::Revision(RevisionId::new(update_id, revision)).to_bytes();
    (key(0), key(u32::MAX))
}

/// The digest of an item: over its key, its header and its document in the stored form. It covers
/// every byte that a site stores and hands on, so no site has to decompress in order to verify.
pub fn item_digest(key: &[u8], header: &[u8], document: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"headwater item 1\0");
    for part in [key, header, document] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The digest of an update document as it was published, before compression.
pub fn document_digest(document: &str) -> Digest {
    *blake3::hash(document.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn revision(guid: u128, revision: u32) -> ItemKey {
        ItemKey::Revision(RevisionId::new(UpdateId::from_u128(guid), revision))
    }

    #[test]
    fn revisions_of_an_update_share_a_bucket_and_stand_together() {
        let keys = [revision(5, 1), revision(5, 200), revision(5, u32::MAX)];
        assert!(keys.iter().all(|key| key.bucket() == keys[0].bucket()));
        let (first, last) = revision_key_range(UpdateId::from_u128(5));
        for key in keys {
            let bytes = key.to_bytes();
            assert!(first <= bytes && bytes <= last);
        }
        assert!(revision(6, 0).to_bytes() > last);
    }

    #[test]
    fn an_approval_stands_apart_from_the_revisions() {
        let update = UpdateId::from_u128(5);
        let key = ItemKey::Approval(update);
        assert_eq!(key.to_bytes().len(), 17);
        assert_eq!(key.to_string(), format!("approval of {update}"));
        assert_ne!(key.bucket(), revision(5, 1).bucket());
        let (first, end) = keys_beside_revisions();
        let within = |key: ItemKey| {
            let bytes = key.to_bytes();
            bytes.as_slice() >= first.as_slice() && bytes.as_slice() < end.as_slice()
        };
        assert!(within(ItemKey::Settings));
        assert!(within(key) && within(ItemKey::Approval(UpdateId::from_u128(u128::MAX))));
        assert!(!within(revision(0, 0)) && !within(revision(u128::MAX, u32::MAX)));
        assert_eq!(key.revision(), None);
        let expiry = ItemKey::Expiry(update);
        assert_eq!(expiry.to_string(), format!("expiry of {update}"));
        assert!(within(expiry) && within(ItemKey::Expiry(UpdateId::from_u128(u128::MAX))));
        assert_ne!(expiry.bucket(), key.bucket());
        assert_eq!(expiry.revision(), None);
        let (first, end) = expiry_keys();
        let bytes = expiry.to_bytes();
        assert!(bytes.as_slice() >= first.as_slice() && bytes.as_slice() < end.as_slice());
        assert!(key.to_bytes().as_slice() < first.as_slice());
    }

    #[test]
    fn a_digest_knows_where_its_parts_end() {
        assert_ne!(item_digest(b"ab", b"c", b""), item_digest(b"a", b"bc", b""));
        assert_ne!(item_digest(b"a", b"b", b""), item_digest(b"a", b"", b"b"));
    }

    #[test]
    fn foreign_bytes_are_no_key() {
        assert_eq!(ItemKey::from_bytes(&[]), Err(KeyError::Malformed(0)));
        assert_eq!(ItemKey::from_bytes(&[9]), Err(KeyError::UnknownKind(9)));
        assert!(ItemKey::from_bytes(&[KIND_REVISION; 20]).is_err());
        assert!(ItemKey::from_bytes(&[KIND_REVISION; 22]).is_err());
        assert_eq!(ItemKey::from_bytes(&[KIND_SETTINGS]), Ok(ItemKey::Settings));
        assert!(ItemKey::from_bytes(&[KIND_SETTINGS; 2]).is_err());
        assert!(ItemKey::from_bytes(&[KIND_APPROVAL; 16]).is_err());
        assert!(ItemKey::from_bytes(&[KIND_APPROVAL; 18]).is_err());
        assert!(ItemKey::from_bytes(&[KIND_EXPIRY; 18]).is_err());
    }

    proptest! {
        #[test]
        fn a_key_reads_its_own_bytes(guid: u128, number: u32) {
            let key = revision(guid, number);
            prop_assert_eq!(ItemKey::from_bytes(&key.to_bytes()).unwrap(), key);
            for key in [ItemKey::Approval(UpdateId::from_u128(guid)), ItemKey::Expiry(UpdateId::from_u128(guid))] {
                prop_assert_eq!(ItemKey::from_bytes(&key.to_bytes()).unwrap(), key);
            }
        }
    }
}
