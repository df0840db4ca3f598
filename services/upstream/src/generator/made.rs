//! Files that are made when they are asked for: what is in one follows from the number that its name ends in, so
//! that whoever knows the name has the bytes, and the catalog says their digests before anybody asks.

use super::random::Random;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// Digits of the number.
const DIGITS: usize = 16;
/// Length of the smallest file, and by how much others are longer at most.
const SMALLEST: u64 = 512;
const SPAN: u64 = 12_000;
/// What licence terms begin with; what follows is as in other files, in letters.
const TERMS: &str = "Licence terms of a generated update.\r\n";
/// First step of the path of random numbers.
const BYTES: u64 = 1;

/// A file: its name, and what the catalog says of it.
pub(super) struct Made {
    pub(super) name: String,
    pub(super) sha1: [u8; 20],
    pub(super) sha256: [u8; 32],
    pub(super) size: u64,
}

impl Made {
    /// The file of a number.
    pub(super) fn new(stem: &str, number: u64, extension: &str) -> Self {
        let name = format!("{stem}-{number:0DIGITS$x}.{extension}");
        let bytes = made(number, extension);
        let (mut sha1, mut sha256) = ([0; 20], [0; 32]);
        sha1.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, &bytes).as_ref());
        sha256.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Self {
            name,
            sha1,
            sha256,
            size: bytes.len() as u64,
        }
    }
}

/// The bytes of the file of a name; none where it is not the name of one that is made here.
pub(crate) fn bytes_of(name: &str) -> Option<Vec<u8>> {
    let (stem, extension) = name.rsplit_once('.')?;
    let (_, number) = stem.rsplit_once('-')?;
    let is_number = number.len() == DIGITS && number.bytes().all(|b| b.is_ascii_hexdigit());
    let number = is_number.then(|| u64::from_str_radix(number, 16).ok())??;
    Some(made(number, extension))
}

fn made(number: u64, extension: &str) -> Vec<u8> {
    let mut random = Random::new(number, &[BYTES]);
    let size = usize::try_from(SMALLEST + random.below(SPAN)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.bytes::<8>());
    }
    bytes.truncate(size);
    if extension == "txt" {
        bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
        bytes.splice(..TERMS.len(), TERMS.bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_bytes_whose_digests_the_catalog_says() {
        for (number, extension) in [(0, "cab"), (u64::MAX, "txt"), (7, "psf")] {
            let made = Made::new("kb5000001-x64-0", number, extension);
            let bytes = bytes_of(&made.name).unwrap();
            assert_eq!(bytes.len() as u64, made.size);
            assert_eq!(digest(&SHA256, &bytes).as_ref(), made.sha256);
            assert_eq!(
                digest(&SHA1_FOR_LEGACY_USE_ONLY, &bytes).as_ref(),
                made.sha1
            );
        }
        let terms = bytes_of("eula-en-00000000000000ff.txt").unwrap();
        assert!(terms.starts_with(TERMS.as_bytes()) && terms.is_ascii());
    }

    #[test]
    fn other_names_have_none() {
        for name in [
            "",
            "a",
            "a.cab",
            "a-1.cab",
            "a-zzzzzzzzzzzzzzzz.cab",
            "-.",
            "a-00000000000000001.cab",
        ] {
            assert_eq!(bytes_of(name), None, "{name}");
        }
    }
}
