//! The stored form of a decision: a byte for the version, then fields as in `catalog::header`.

use super::{AcceptedLicence, Approval, Cause, Record};
use crate::millisecond;
use jiff::Timestamp;
use prost::Message as _;
use uuid::Uuid;

/// The first byte of a record. A later form that this version must not read has another.
const VERSION: u8 = 1;

/// Bytes that are no record of a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There are no bytes.
    #[error("the approval of an update is empty")]
    Empty,
    /// A version that this one does not know.
    #[error(
        "the approval of an update has form {0}, which this version does not know: update Headwater"
    )]
    UnknownVersion(u8),
    /// The bytes do not say what a record says.
    #[error("the approval of an update is malformed: {0}")]
    Malformed(String),
}

impl Record {
    /// The record's bytes. The same record always has the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (cause, name) = match &self.cause {
            Cause::Person(name) => (1, name.as_str()),
            Cause::Rule(name) => (2, name.as_str()),
            Cause::NewRevision => (3, ""),
            Cause::ExpiredByPublisher => (4, ""),
            Cause::Cleanup => (5, ""),
        };
        let encoded = Encoded {
            approval: match self.approval {
                Approval::NotApproved => 1,
                Approval::Detection => 2,
                Approval::Install { .. } => 3,
                Approval::Removal { .. } => 4,
                Approval::Declined => 5,
            },
            deadline: self
                .approval
                .deadline()
                .map(|deadline| millisecond::cut(deadline).as_millisecond()),
            revision: self.revision,
            cause,
            name: name.to_owned(),
            changed_at: millisecond::cut(self.changed_at).as_millisecond(),
            accepted_licence: self
                .accepted_licence
                .as_ref()
                .map(|licence| EncodedLicence {
                    terms: licence.terms.as_bytes().to_vec(),
                    person: licence.person.clone(),
                    at: millisecond::cut(licence.at).as_millisecond(),
                }),
        };
        let mut bytes = vec![VERSION];
        bytes.extend(encoded.encode_to_vec());
        bytes
    }

    /// The record of its bytes.
    ///
    /// # Errors
    /// When the bytes are none that [`Record::to_bytes`] makes, or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let bad = |what: &str| RecordError::Malformed(what.to_owned());
        let (&version, fields) = bytes.split_first().ok_or(RecordError::Empty)?;
        if version != VERSION {
            return Err(RecordError::UnknownVersion(version));
        }
        let encoded =
            Encoded::decode(fields).map_err(|error| RecordError::Malformed(error.to_string()))?;
        let deadline = encoded
            .deadline
            .map(|deadline| Timestamp::from_millisecond(deadline).map_err(|_| bad("deadline")))
            .transpose()?;
        let approval = match (encoded.approval, deadline) {
            (1, None) => Approval::NotApproved,
            (2, None) => Approval::Detection,
            (3, deadline) => Approval::Install { deadline },
            (4, deadline) => Approval::Removal { deadline },
            (5, None) => Approval::Declined,
            (1 | 2 | 5, Some(_)) => return Err(bad("a deadline for what has none")),
            _ => return Err(bad("kind of approval")),
        };
        let cause = match (encoded.cause, encoded.name) {
            (1, name) => Cause::Person(name),
            (2, name) => Cause::Rule(name),
            (3, name) if name.is_empty() => Cause::NewRevision,
            (4, name) if name.is_empty() => Cause::ExpiredByPublisher,
            (5, name) if name.is_empty() => Cause::Cleanup,
            (3..=5, _) => return Err(bad("a name for what has none")),
            _ => return Err(bad("who decided")),
        };
        Ok(Self {
            approval,
            revision: encoded.revision,
            cause,
            changed_at: Timestamp::from_millisecond(encoded.changed_at)
                .map_err(|_| bad("time of the decision"))?,
            accepted_licence: encoded
                .accepted_licence
                .map(|licence| {
                    Ok(AcceptedLicence {
                        terms: Uuid::from_slice(&licence.terms)
                            .map_err(|_| bad("a GUID's length"))?,
                        person: licence.person,
                        at: Timestamp::from_millisecond(licence.at)
                            .map_err(|_| bad("time of the acceptance"))?,
                    })
                })
                .transpose()?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Encoded {
    #[prost(uint32, tag = "1")]
    approval: u32,
    #[prost(int64, optional, tag = "2")]
    deadline: Option<i64>,
    #[prost(uint32, tag = "3")]
    revision: u32,
    #[prost(uint32, tag = "4")]
    cause: u32,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int64, tag = "6")]
    changed_at: i64,
    #[prost(message, optional, tag = "7")]
    accepted_licence: Option<EncodedLicence>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EncodedLicence {
    #[prost(bytes = "vec", tag = "1")]
    terms: Vec<u8>,
    #[prost(string, tag = "2")]
    person: String,
    #[prost(int64, tag = "3")]
    at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_time() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.as_millisecond()..=millisecond::cut(Timestamp::MAX).as_millisecond())
            .prop_map(|time| Timestamp::from_millisecond(time).unwrap())
    }

    fn any_approval() -> impl Strategy<Value = Approval> {
        let deadline = || proptest::option::of(any_time());
        prop_oneof![
            Just(Approval::NotApproved),
            Just(Approval::Detection),
            deadline().prop_map(|deadline| Approval::Install { deadline }),
            deadline().prop_map(|deadline| Approval::Removal { deadline }),
            Just(Approval::Declined),
        ]
    }

    fn any_cause() -> impl Strategy<Value = Cause> {
        prop_oneof![
            ".{0,20}".prop_map(Cause::Person),
            ".{0,20}".prop_map(Cause::Rule),
            Just(Cause::NewRevision),
            Just(Cause::ExpiredByPublisher),
            Just(Cause::Cleanup),
        ]
    }

    proptest! {
        #[test]
        fn a_record_reads_its_own_bytes(
            approval in any_approval(), revision: u32, cause in any_cause(), changed_at in any_time(),
            accepted in proptest::option::of((any::<u128>(), ".{0,20}", any_time())),
        ) {
            let accepted_licence = accepted.map(|(terms, person, at)| AcceptedLicence {
                terms: Uuid::from_u128(terms),
                person,
                at,
            });
            let record = Record { approval, revision, cause, changed_at, accepted_licence };
            prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record));
        }

        #[test]
        fn foreign_bytes_are_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop(Record::from_bytes(&bytes));
        }
    }

    #[test]
    fn a_record_of_a_later_version_is_not_guessed_at() {
        assert_eq!(Record::from_bytes(&[]), Err(RecordError::Empty));
        assert_eq!(
            Record::from_bytes(&[2, 8, 1]),
            Err(RecordError::UnknownVersion(2))
        );
    }

    #[test]
    fn a_deadline_or_a_name_where_none_can_be_is_refused() {
        for (fields, said) in [
            (vec![8, 2, 16, 1, 32, 3], "a deadline"),
            (vec![8, 1, 32, 3, 42, 1, b'x'], "a name"),
            (vec![8, 6, 32, 3], "kind of approval"),
            (vec![32, 3], "kind of approval"),
            (vec![8, 1, 32, 6], "who decided"),
            (vec![8, 1, 32, 3, 58, 3, 10, 1, 0], "a GUID"),
        ] {
            let error = Record::from_bytes(&[vec![VERSION], fields].concat()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
