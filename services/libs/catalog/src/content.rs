//! Content files: what an update installs from, and the texts of licences. A file is known everywhere by its
//! SHA-1; how long it is and what its SHA-256 is, the signed catalog says.

use crate::document::Update;
use crate::header::FileLocation;
use std::fmt;
use std::str::FromStr;

/// Longest extension that a name in a content store keeps, without the dot.
const MAX_EXTENSION: usize = 16;
/// Longest content file that is fetched: 1 TiB, many times what any update has. A document may claim any length.
pub const MAX_FILE_BYTES: u64 = 1 << 40;

/// What a content file is known by: its SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub [u8; 20]);

/// 40 upper-case hexadecimal digits.
impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not 40 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a content file: it has 40 hexadecimal digits, the file's SHA-1")]
pub struct NotAContentId;

impl FromStr for ContentId {
    type Err = NotAContentId;

    fn from_str(text: &str) -> Result<Self, NotAContentId> {
        let digits = text.as_bytes();
        if digits.len() != 40 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NotAContentId);
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotAContentId)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotAContentId)?;
        }
        Ok(Self(bytes))
    }
}

/// A content file as the catalog describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFile {
    /// SHA-1 of the content: what the file is known by.
    pub sha1: [u8; 20],
    /// SHA-256 of the content, where the catalog gives it.
    pub sha256: Option<[u8; 32]>,
    /// Length in bytes.
    pub size: u64,
    /// Name to have when installing. Gives the stored file its extension and nothing else.
    pub name: String,
    /// Where the update's source has it; the top-level site fetches it from there.
    pub url: Option<String>,
}

impl ContentFile {
    /// What it is known by.
    pub fn id(&self) -> ContentId {
        ContentId(self.sha1)
    }

    /// Its extension in a content store, with the dot, in lower case; empty where the name has none that a
    /// store can keep.
    pub fn extension(&self) -> String {
        let extension = self.name.rsplit_once('.').map_or("", |(_, after)| after);
        let fits = (1..=MAX_EXTENSION).contains(&extension.len())
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match fits {
            true => format!(".{}", extension.to_ascii_lowercase()),
            false => String::new(),
        }
    }

    /// Its folder in a content store: the last two digits of its name, in upper case.
    pub fn folder(&self) -> String {
        let [.., last] = self.sha1;
        format!("{last:02X}")
    }

    /// Its name in a content store: its SHA-1 in upper case, and the extension.
    pub fn stored_name(&self) -> String {
        format!("{}{}", self.id(), self.extension())
    }

    /// The files of a document, with the addresses that its header has for them.
    pub fn of_update(update: &Update, locations: &[FileLocation]) -> Vec<Self> {
        let files = update.files.iter();
        files
            .map(|file| Self {
                sha1: file.sha1,
                sha256: file.sha256,
                size: file.size,
                name: file.name.clone(),
                url: address(locations, &file.sha1),
            })
            .collect()
    }

    /// The texts of the licence of a document, with the addresses that its header has for them.
    pub fn of_licence(update: &Update, locations: &[FileLocation]) -> Vec<Self> {
        let files = update.eula_files.iter();
        files
            .map(|file| Self {
                sha1: file.sha1,
                sha256: file.sha256,
                size: file.size,
                name: file.name.clone(),
                url: address(locations, &file.sha1),
            })
            .collect()
    }
}

fn address(locations: &[FileLocation], sha1: &[u8; 20]) -> Option<String> {
    let location = locations.iter().find(|location| location.sha1 == *sha1);
    location.map(|location| location.mu_url.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> ContentFile {
        let mut sha1 = [0xab; 20];
        sha1[19] = 0x0c;
        ContentFile {
            sha1,
            sha256: None,
            size: 1,
            name: name.to_owned(),
            url: None,
        }
    }

    #[test]
    fn it_lies_where_wsus_would_have_it() {
        let file = file("Windows-KB5-x64.CAB");
        assert_eq!(file.folder(), "0C");
        assert_eq!(
            file.stored_name(),
            "ABABABABABABABABABABABABABABABABABABAB0C.cab"
        );
    }

    #[test]
    fn a_name_gives_no_more_than_an_extension() {
        for (name, extension) in [
            ("a.psf", ".psf"),
            ("a.tar.gz", ".gz"),
            ("a", ""),
            ("a.", ""),
            ("../../etc/passwd", ""),
            ("a.b/../../c", ""),
            ("a.e\0e", ""),
            ("a.0123456789abcdefg", ""),
        ] {
            assert_eq!(file(name).extension(), extension, "{name:?}");
        }
    }

    #[test]
    fn a_name_is_read_in_either_case_and_nothing_else_is_one() {
        let id = file("a").id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
        for text in [
            "",
            "0",
            "+f",
            &"é".repeat(20),
            &"0".repeat(41),
            &"g".repeat(40),
        ] {
            assert_eq!(text.parse::<ContentId>(), Err(NotAContentId), "{text}");
        }
    }
}
