//! Bad input made from good: the same seed makes the same mutants of the same original, so a failure is
//! repeated by running the test again.
//!
//! Nothing here knows a format but [`markup`], which knows what a tag looks like.

pub mod markup;

/// A good input that was spoilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// What was done to the original, for the failure that names it.
    pub what: String,
    /// What came of it.
    pub bytes: Vec<u8>,
}

impl Mutant {
    /// A mutant made by hand.
    pub fn new(what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            what: what.into(),
            bytes: bytes.into(),
        }
    }
}

/// Numbers that look random and are not (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.roll() % end).unwrap_or(0)
    }

    /// One of `choices`, which are not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A range inside `length` bytes, of at most `most`, not empty where `length` is not 0.
    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let longest = most.min(length - start).max(1);
        start..(start + 1 + self.below(longest)).min(length)
    }
}

/// Inputs of up to this length are cut at every byte; longer ones at a spread of places.
const CUT_EVERYWHERE: usize = 512;
/// Cuts of a longer input.
const CUTS: usize = 256;

/// The beginnings of `original`, the empty one among them.
pub fn cuts(original: &[u8]) -> impl Iterator<Item = Mutant> + '_ {
    let count = if original.len() <= CUT_EVERYWHERE {
        original.len()
    } else {
        CUTS
    };
    (0..count).map(move |n| {
        let at = n * original.len() / count;
        Mutant::new(format!("cut at byte {at}"), &original[..at])
    })
}

/// What has broken a reader somewhere before: absurd numbers, the wrong encodings, the marks of formats.
pub const NASTY: [&[u8]; 26] = [
    b"\0",
    b"\xFF",
    b"\xFF\xFE",
    b"\xEF\xBB\xBF",
    b"\xC0\x80",
    b"\xED\xA0\x80",
    b"\xFF\xFF\xFF\xFF",
    b"\xFF\xFF\xFF\x7F",
    b"\0\0\0\x80",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
    b"\x1B[31m",
    b"\r\n",
    "\u{202E}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{1F4A9}".as_bytes(),
    b"&lol;",
    b"&#0;",
    b"]]>",
    b"<![CDATA[",
    b"<!--",
    b"99999999999999999999",
    b"-1",
    b"\"'",
    b"../../../etc/passwd",
];

/// `count` copies of `original` with damage in one place, as networks, disks and people do it.
pub fn damage(original: &[u8], seed: u64, count: usize) -> impl Iterator<Item = Mutant> + '_ {
    let mut dice = Dice::new(seed);
    (0..count).map(move |n| damaged(original, n, &mut dice))
}

fn damaged(original: &[u8], n: usize, dice: &mut Dice) -> Mutant {
    const RANGE: usize = 64;
    let mut bytes = original.to_vec();
    let at = dice.below(original.len());
    let what = match n % 9 {
        0 if at < bytes.len() => {
            let bit = dice.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        1 if at < bytes.len() => {
            let byte = dice.roll().to_le_bytes()[0];
            bytes[at] = byte;
            format!("byte {at} replaced by {byte:#04x}")
        }
        2 => {
            let range = dice.range(original.len(), RANGE);
            bytes.drain(range.clone());
            format!("bytes {range:?} removed")
        }
        3 => {
            let range = dice.range(original.len(), RANGE);
            bytes.splice(range.end..range.end, original[range.clone()].to_vec());
            format!("bytes {range:?} doubled")
        }
        4 => {
            let range = dice.range(original.len(), RANGE);
            bytes[range.clone()].reverse();
            format!("bytes {range:?} turned round")
        }
        5 => {
            let fill = *dice.pick(&[0, 0x7F, 0x80, 0xFF, b' ']);
            let range = dice.range(original.len(), 8);
            bytes[range.clone()].fill(fill);
            format!("bytes {range:?} filled with {fill:#04x}")
        }
        6 => {
            let nasty = *dice.pick(&NASTY);
            let end = (at + nasty.len()).min(original.len());
            bytes.splice(at..end, nasty.iter().copied());
            format!("{:?} written over byte {at}", shown(nasty))
        }
        7 => number(&mut bytes, dice),
        _ => {
            let nasty = *dice.pick(&NASTY);
            bytes.splice(at..at, nasty.iter().copied());
            format!("{:?} inserted at byte {at}", shown(nasty))
        }
    };
    Mutant { what, bytes }
}

/// Replaces a number in decimal digits by an absurd one.
fn number(bytes: &mut Vec<u8>, dice: &mut Dice) -> String {
    const ABSURD: [&str; 8] = [
        "0",
        "-1",
        "2147483648",
        "4294967295",
        "9223372036854775808",
        "18446744073709551616",
        "1e999",
        "00000000000000000000000000000000000000001",
    ];
    let from = dice.below(bytes.len());
    let Some(first) = bytes[from..].iter().position(u8::is_ascii_digit) else {
        let byte = dice.roll().to_le_bytes()[0];
        bytes.push(byte);
        return format!("{byte:#04x} appended");
    };
    let start = from + first;
    let digits = bytes[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let absurd = *dice.pick(&ABSURD);
    bytes.splice(start..start + digits, absurd.bytes());
    format!("the number at byte {start} replaced by {absurd}")
}

/// Other encodings of a text, and what stands where no text may.
pub fn encodings(text: &str) -> Vec<Mutant> {
    let utf16 = |big: bool| -> Vec<u8> {
        let pair = |unit: u16| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        };
        text.encode_utf16().flat_map(pair).collect()
    };
    let with = |mark: &[u8], mut bytes: Vec<u8>| {
        bytes.splice(0..0, mark.iter().copied());
        bytes
    };
    let latin = text.chars().map(|c| u8::try_from(c).unwrap_or(0xE4));
    let mut mutants = vec![
        Mutant::new("UTF-16LE without a mark", utf16(false)),
        Mutant::new("UTF-16BE without a mark", utf16(true)),
        Mutant::new("UTF-16LE", with(b"\xFF\xFE", utf16(false))),
        Mutant::new("UTF-16BE", with(b"\xFE\xFF", utf16(true))),
        Mutant::new("Latin-1", with(b"\xE4", latin.collect())),
        Mutant::new("two byte order marks", format!("\u{feff}\u{feff}{text}")),
        Mutant::new("NUL in front", format!("\0{text}")),
        Mutant::new("NUL at the end", format!("{text}\0")),
        Mutant::new("twice", format!("{text}{text}")),
        Mutant::new("nothing but blanks", " \r\n\t ".repeat(50)),
    ];
    let nuls = vec![0; 4096];
    mutants.push(Mutant::new("4 KiB of NUL", nuls));
    mutants
}

/// Bytes as they are shown in a failure.
pub fn shown(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| byte.escape_ascii())
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_mutants_again() {
        let original = b"<a n=\"12\">some text</a>";
        let all = |seed| damage(original, seed, 200).collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }

    #[test]
    fn a_short_input_is_cut_at_every_byte() {
        let lengths: Vec<_> = cuts(b"abc").map(|mutant| mutant.bytes.len()).collect();
        assert_eq!(lengths, [0, 1, 2]);
        assert_eq!(cuts(&[0; 100_000]).count(), CUTS);
    }

    #[test]
    fn nothing_can_be_damaged_too() {
        assert_eq!(damage(b"", 1, 100).count(), 100);
    }
}
