//! The stored form of an expiry: a byte for the version, then fields as in `catalog::header`.

use super::Expiry;
use crate::{UpdateId, millisecond};
use jiff::Timestamp;
use prost::Message as _;
use uuid::Uuid;

/// The first byte of a record. A later form that this version must not read has another.
const VERSION: u8 = 1;

/// Bytes that are no record of an expiry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There are no bytes.
    #[error("the expiry of an update is empty")]
    Empty,
    /// A version that this one does not know.
    #[error(
        "the expiry of an update has form {0}, which this version does not know: update Headwater"
    )]
    UnknownVersion(u8),
    /// The bytes do not say what a record says.
    #[error("the expiry of an update is malformed: {0}")]
    Malformed(String),
}

impl Expiry {
    /// The record's bytes. The same record always has the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let encoded = Encoded {
            since: millisecond::cut(self.since).as_millisecond(),
            by: self.by.0.as_bytes().to_vec(),
        };
        let mut bytes = vec![VERSION];
        bytes.extend(encoded.encode_to_vec());
        bytes
    }

    /// The record of its bytes.
    ///
    /// # Errors
    /// When the bytes are none that [`Expiry::to_bytes`] makes, or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let bad = |what: &str| RecordError::Malformed(what.to_owned());
        let (&version, fields) = bytes.split_first().ok_or(RecordError::Empty)?;
        if version != VERSION {
            return Err(RecordError::UnknownVersion(version));
        }
        let encoded =
            Encoded::decode(fields).map_err(|error| RecordError::Malformed(error.to_string()))?;
        Ok(Self {
            since: Timestamp::from_millisecond(encoded.since).map_err(|_| bad("time"))?,
            by: Uuid::from_slice(&encoded.by)
                .map(UpdateId)
                .map_err(|_| bad("a GUID's length"))?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Encoded {
    #[prost(int64, tag = "1")]
    since: i64,
    #[prost(bytes, tag = "2")]
    by: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_reads_its_own_bytes(
            since in Timestamp::MIN.as_millisecond()..=millisecond::cut(Timestamp::MAX).as_millisecond(),
            by: u128,
        ) {
            let record = Expiry {
                since: Timestamp::from_millisecond(since).unwrap(),
                by: UpdateId::from_u128(by),
            };
            prop_assert_eq!(Expiry::from_bytes(&record.to_bytes()), Ok(record));
        }

        #[test]
        fn foreign_bytes_are_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop(Expiry::from_bytes(&bytes));
        }
    }

    #[test]
    fn what_is_no_record_is_told() {
        assert_eq!(Expiry::from_bytes(&[]), Err(RecordError::Empty));
        let later = RecordError::UnknownVersion(2);
        assert_eq!(Expiry::from_bytes(&[2, 8, 1]), Err(later));
        let error = Expiry::from_bytes(&[VERSION, 8, 1]).unwrap_err();
        assert!(error.to_string().contains("GUID"), "{error}");
    }
}
