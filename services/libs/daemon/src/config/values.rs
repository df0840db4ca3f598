//! Values as people write them: `90s`, `24h`, `4MiB`, a path, a secret.

use secrecy::{ExposeSecret, SecretString};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Longest period: ten years. What is longer is a slip of the hand.
const MAX_PERIOD_MS: u64 = 10 * 366 * DAY_MS;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Largest secret file, in bytes.
const MAX_SECRET: u64 = 64 * 1024;
/// Units of time, in milliseconds, largest first.
const PERIOD_UNITS: [(&str, u64); 5] = [
    ("d", DAY_MS),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
/// Units of size, in bytes.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

/// A text that is not the value that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a period.
    #[error(
        "{0:?} is not a period: write a number with ms, s, m, h or d, such as \"90s\" or \"1h30m\", at most ten years"
    )]
    Period(String),
    /// Not a size.
    #[error(
        "{0:?} is not a size: write a number with B, KiB, MiB, GiB or TiB (or KB, MB, GB, TB), such as \"4MiB\""
    )]
    ByteSize(String),
    /// A secret's file that cannot be used.
    #[error("the secret in {} cannot be read: {reason}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Number and unit at the start of `text`, and what follows.
fn quantity<'a>(text: &'a str, units: &[(&str, u64)]) -> Option<(u64, &'a str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let rest = text[digits..].trim_start();
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (unit, rest) = rest.split_at(letters);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some((number.checked_mul(*factor)?, rest.trim_start()))
}

/// A length of time, written `500ms`, `90s`, `10m`, `24h`, `7d` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::Period(shown(text));
        let (mut total, mut rest) = (0u64, text.trim());
        if rest.is_empty() {
            return Err(refuse());
        }
        while !rest.is_empty() {
            let (milliseconds, after) = quantity(rest, &PERIOD_UNITS).ok_or_else(refuse)?;
            total = total.checked_add(milliseconds).ok_or_else(refuse)?;
            rest = after;
        }
        if total > MAX_PERIOD_MS {
            return Err(refuse());
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in PERIOD_UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

/// A number of bytes, written `512KiB`, `4MiB`, `2GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match quantity(text.trim(), &SIZE_UNITS) {
            Some((bytes, "")) => Ok(Self(bytes)),
            Some(_) | None => Err(ValueError::ByteSize(shown(text))),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, factor): &(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        match SIZE_UNITS.into_iter().find(whole) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// Text in the file, checked by `FromStr`, written by `Display`.
macro_rules! as_text {
    ($($type:ty => $expected:literal),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}
as_text!(
    Period => "a period in quotes, such as \"90s\" or \"24h\"",
    ByteSize => "a size in quotes, such as \"4MiB\""
);

/// A path in the file. A relative one counts from the folder of the configuration file, not from where the
/// process was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigPath(PathBuf);

impl ConfigPath {
    /// A path for a default value.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The path, seen from `config_file`.
    pub fn resolve(&self, config_file: &Path) -> PathBuf {
        match config_file.parent() {
            Some(folder) => folder.join(&self.0),
            None => self.0.clone(),
        }
    }
}

/// A password or key: written as text, or better as `{ file = "/run/secrets/…" }`. Never shown.
#[derive(Clone)]
pub enum Secret {
    /// The secret itself.
    Inline(SecretString),
    /// The file that holds it; one line break at its end does not count.
    File(ConfigPath),
}

impl Secret {
    /// The secret, read now.
    pub fn load(&self, config_file: &Path) -> Result<SecretString, ValueError> {
        let path = match self {
            Self::Inline(secret) => return Ok(secret.clone()),
            Self::File(path) => path.resolve(config_file),
        };
        let refuse = |reason: String| ValueError::Secret {
            path: path.clone(),
            reason,
        };
        let mut text = String::new();
        std::fs::File::open(&path)
            .and_then(|file| file.take(MAX_SECRET + 1).read_to_string(&mut text))
            .map_err(|error| refuse(error.to_string()))?;
        let text = SecretString::from(text);
        if text.expose_secret().len() as u64 > MAX_SECRET {
            return Err(refuse(format!("it is larger than {MAX_SECRET} bytes")));
        }
        let line = text.expose_secret().trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Err(refuse("it is empty".to_owned()));
        }
        Ok(line.to_owned().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("hidden"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextOrFile;
        const EXPECTED: &str = "a secret in quotes, or { file = \"path\" }";

        impl<'de> Visitor<'de> for TextOrFile {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                if text.is_empty() {
                    return Err(E::custom("the secret is empty"));
                }
                Ok(Secret::Inline(text.to_owned().into()))
            }

            // The usual errors repeat the value; a password without quotes must not get into a log.
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom(format!("expected {EXPECTED}")))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom(format!("expected {EXPECTED}")))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let mut path = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key != "file" {
                        return Err(de::Error::unknown_field(&shown(&key), &["file"]));
                    }
                    path = Some(map.next_value::<ConfigPath>()?);
                }
                path.map(Secret::File)
                    .ok_or_else(|| de::Error::missing_field("file"))
            }
        }
        from.deserialize_any(TextOrFile)
    }
}
