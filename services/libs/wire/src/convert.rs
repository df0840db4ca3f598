//! From messages to values: every field that comes from another process is checked here, once.

use catalog::{PointId, SiteKind};
use jiff::Timestamp;
use uuid::Uuid;

/// A message that another process sent and that we cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field that has to be there is not.
    #[error("the field {field} is missing")]
    Missing {
        /// Name of the field in the proto file.
        field: &'static str,
    },
    /// A field has a value that our rules forbid.
    #[error("the field {field} is not usable: {why}")]
    Invalid {
        /// Name of the field in the proto file.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        tonic::Status::invalid_argument(error.to_string())
    }
}

fn invalid(field: &'static str, why: impl std::fmt::Display) -> Error {
    Error::Invalid {
        field,
        why: why.to_string(),
    }
}

/// A UUID from its 16 bytes.
///
/// # Errors
/// When there are not 16 bytes.
pub fn uuid(field: &'static str, bytes: &[u8]) -> Result<Uuid, Error> {
    Uuid::from_slice(bytes).map_err(|_| invalid(field, "a UUID has 16 bytes"))
}

/// A UUID that may be absent, which is written as no bytes.
///
/// # Errors
/// When there are neither 0 nor 16 bytes.
pub fn optional_uuid(field: &'static str, bytes: &[u8]) -> Result<Option<Uuid>, Error> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        uuid(field, bytes).map(Some)
    }
}

/// A digest or key of a fixed length.
///
/// # Errors
/// When the number of bytes differs.
pub fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes
        .try_into()
        .map_err(|_| invalid(field, format_args!("{N} bytes are expected")))
}

/// A site code, or a further software update point of a site: `PR1`, `PR1-2`.
///
/// # Errors
/// When the text is neither.
pub fn site_code(field: &'static str, text: &str) -> Result<PointId, Error> {
    text.parse().map_err(|error| invalid(field, error))
}

/// A site code that may be absent, which is written as an empty text.
///
/// # Errors
/// When the text is neither empty nor a site code.
pub fn optional_site_code(field: &'static str, text: &str) -> Result<Option<PointId>, Error> {
    if text.is_empty() {
        Ok(None)
    } else {
        site_code(field, text).map(Some)
    }
}

/// A site kind.
///
/// # Errors
/// When the text is none.
pub fn site_kind(field: &'static str, text: &str) -> Result<SiteKind, Error> {
    text.parse().map_err(|error| invalid(field, error))
}

/// A point in time.
///
/// # Errors
/// When it is outside the years that we can express.
pub fn timestamp(field: &'static str, value: &prost_types::Timestamp) -> Result<Timestamp, Error> {
    Timestamp::new(value.seconds, value.nanos).map_err(|error| invalid(field, error))
}

/// A point in time that may be absent.
///
/// # Errors
/// As [`timestamp`].
pub fn optional_timestamp(
    field: &'static str,
    value: Option<&prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Error> {
    value.map(|value| timestamp(field, value)).transpose()
}

/// A point in time as a message.
pub fn from_timestamp(value: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: value.as_second(),
        nanos: value.subsec_nanosecond(),
    }
}

/// A text of bounded length without control characters, fit for a log line or a table.
///
/// # Errors
/// When it is longer than `most` bytes, or holds a control character.
pub fn text(field: &'static str, value: String, most: usize) -> Result<String, Error> {
    if value.len() > most {
        return Err(invalid(field, format_args!("more than {most} bytes")));
    }
    if value.chars().any(char::is_control) {
        return Err(invalid(field, "it holds a control character"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_sixteen_bytes() {
        let id = Uuid::from_u128(9);
        assert_eq!(uuid("run", id.as_bytes()).unwrap(), id);
        assert!(uuid("run", &[1, 2]).is_err());
        assert_eq!(optional_uuid("run", &[]).unwrap(), None);
    }

    #[test]
    fn a_time_survives_the_wire() {
        let time: Timestamp = "2026-10-04T16:33:26.654Z".parse().unwrap();
        assert_eq!(timestamp("time", &from_timestamp(time)).unwrap(), time);
        let absurd = prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        };
        assert!(timestamp("time", &absurd).is_err());
    }

    #[test]
    fn a_text_is_one_bounded_line() {
        assert_eq!(text("version", "0.1.0".into(), 5).unwrap(), "0.1.0");
        for bad in ["0.1.00", "a\nb", "\u{1b}", "\0", "\u{85}"] {
            assert!(text("version", bad.into(), 5).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_names_the_field() {
        let error = site_code("parent", "too long").unwrap_err();
        assert!(error.to_string().contains("parent"), "{error}");
    }
}
