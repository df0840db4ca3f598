//! The content coding `xpress`, which Windows servers ask for: blocks of plain LZ77 (MS-XCA 2.3 and 2.4), each
//! behind its two lengths (MS-WUSP 2.1.1.1, WSUS-PROTOCOL 1.3).
//!
//! What is unpacked is hostile until it is: no length in it is believed beyond what the caller allows, and nothing
//! is copied from before the beginning of a block. The crates that know the algorithm promise neither.

/// The name of the coding, as `Accept-Encoding` and `Content-Encoding` have it.
pub const CODING: &str = "xpress";

/// Bytes of a block that we write: as many as Windows servers put into one.
const BLOCK: usize = 16_352;
/// Bytes of a block at most.
const MAX_BLOCK: usize = 65_535;
/// Bytes of the two lengths before each block.
const HEAD: usize = 8;
/// How far back a match may lie.
const WINDOW: usize = 8192;
/// Shortest match.
const SHORTEST: usize = 3;
/// Matches that are looked at for one place.
const MOST_TRIED: usize = 16;
/// Bits of a hash, by which places with the same three bytes are found.
const HASH_BITS: u32 = 13;
/// "No place" in the tables of the search.
const NOWHERE: u16 = u16::MAX;
/// What a length has that needs more than its three bits.
const LONG: usize = 7;
/// What a length has that needs more than three bits and a half byte.
const LONGER: usize = 15;
/// Flags of one word.
const FLAGS: u32 = 32;

/// Why a body cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// It ends within a block.
    #[error("the packed answer ends within a block")]
    CutOff,
    /// A block says that it is longer than blocks are.
    #[error(
        "a block of the packed answer says that it has {0} bytes, and none has more than {MAX_BLOCK}"
    )]
    BlockTooLong(u32),
    /// A block is longer packed than not.
    #[error("a block of the packed answer is longer packed than not")]
    Grown,
    /// What a block holds is not what it says.
    #[error("a block of the packed answer cannot be read")]
    Block,
    /// More comes out than is allowed.
    #[error("the packed answer holds more than {0} bytes")]
    TooLarge(usize),
}

/// Packs a body.
pub fn pack(body: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(body.len() / 2 + HEAD);
    for block in body.chunks(BLOCK) {
        let begins = packed.len();
        packed.extend_from_slice(&length(block.len()));
        packed.extend_from_slice(&length(block.len()));
        compress(block, &mut packed);
        let compressed = packed.len() - begins - HEAD;
        if compressed < block.len() {
            packed[begins + 4..begins + HEAD].copy_from_slice(&length(compressed));
        } else {
            // Two equal lengths say that the block is as it was.
            packed.truncate(begins + HEAD);
            packed.extend_from_slice(block);
        }
    }
    packed
}

/// Unpacks a body that holds `most` bytes at most.
///
/// # Errors
/// When it is not what [`pack`], or a Windows server, makes; nothing of it is to be used then.
pub fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, UnpackError> {
    let mut body = Vec::new();
    let mut rest = packed;
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk().ok_or(UnpackError::CutOff)?;
        let [a, b, c, d, e, f, g, h]: [u8; HEAD] = *head;
        let whole = u32::from_le_bytes([a, b, c, d]);
        let compressed = u32::from_le_bytes([e, f, g, h]);
        let too_long = || UnpackError::BlockTooLong(whole);
        let length = usize::try_from(whole).map_err(|_| too_long())?;
        if length > MAX_BLOCK {
            return Err(too_long());
        }
        if compressed > whole {
            return Err(UnpackError::Grown);
        }
        if body.len() + length > most {
            return Err(UnpackError::TooLarge(most));
        }
        let taken = usize::try_from(compressed).map_err(|_| UnpackError::Grown)?;
        let (block, after) = after.split_at_checked(taken).ok_or(UnpackError::CutOff)?;
        if taken == length {
            body.extend_from_slice(block);
        } else {
            decompress(block, length, &mut body).ok_or(UnpackError::Block)?;
        }
        rest = after;
    }
    Ok(body)
}

/// A length in the head of a block, which is bounded by [`MAX_BLOCK`].
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// Where the same three bytes stood before: for each hash the last place, for each place the one before it.
struct Places {
    last: Vec<u16>,
    before: Vec<u16>,
}

impl Places {
    fn new(block: usize) -> Self {
        Self {
            last: vec![NOWHERE; 1 << HASH_BITS],
            before: vec![NOWHERE; block],
        }
    }

    fn hash(block: &[u8], at: usize) -> Option<usize> {
        let &[a, b, c] = block.get(at..)?.first_chunk()?;
        let three = u32::from_le_bytes([a, b, c, 0]);
        // Knuth's multiplicative hash: the upper bits are the good ones.
        usize::try_from(three.wrapping_mul(2_654_435_761) >> (u32::BITS - HASH_BITS)).ok()
    }

    fn note(&mut self, block: &[u8], at: usize) {
        if let (Some(hash), Ok(place)) = (Self::hash(block, at), u16::try_from(at)) {
            self.before[at] = self.last[hash];
            self.last[hash] = place;
        }
    }

    /// The longest match that was found for a place: how far back, and how long.
    fn longest(&self, block: &[u8], at: usize) -> Option<(usize, usize)> {
        let mut place = self.last[Self::hash(block, at)?];
        let mut best: Option<(usize, usize)> = None;
        for _ in 0..MOST_TRIED {
            let from = usize::from(place);
            if place == NOWHERE || at - from > WINDOW {
                break;
            }
            let same = block[from..].iter().zip(&block[at..]);
            let length = same.take_while(|(a, b)| a == b).count();
            if length >= SHORTEST && best.is_none_or(|(_, longest)| length > longest) {
                best = Some((at - from, length));
            }
            place = self.before[from];
        }
        best
    }
}

/// Writes flags, single bytes and matches.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Where the word of flags stands that is being filled.
    word: usize,
    flags: u32,
    filled: u32,
    /// A byte whose upper half is free for the next long length.
    half: Option<usize>,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        let word = out.len();
        out.extend_from_slice(&[0; 4]);
        Self {
            out,
            word,
            flags: 0,
            filled: 0,
            half: None,
        }
    }

    fn flag(&mut self, is_match: bool) {
        self.flags = self.flags << 1 | u32::from(is_match);
        self.filled += 1;
        if self.filled == FLAGS {
            self.put_word(self.flags);
            self.word = self.out.len();
            self.out.extend_from_slice(&[0; 4]);
            (self.flags, self.filled) = (0, 0);
        }
    }

    fn put_word(&mut self, flags: u32) {
        self.out[self.word..self.word + 4].copy_from_slice(&flags.to_le_bytes());
    }

    /// A match: `back` is 1 to [`WINDOW`], `length` at least [`SHORTEST`] and no more than a block.
    fn put_match(&mut self, back: usize, length: usize) {
        let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
        let rest = length - SHORTEST;
        let place = (back - 1) << 3;
        self.out.extend_from_slice(&short(place | rest.min(LONG)));
        if rest < LONG {
            return;
        }
        let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        let half = byte((rest - LONG).min(LONGER));
        match self.half.take() {
            Some(at) => self.out[at] |= half << 4,
            None => {
                self.half = Some(self.out.len());
                self.out.push(half);
            }
        }
        if rest < LONG + LONGER {
            return;
        }
        let more = rest - LONG - LONGER;
        self.out.push(byte(more));
        if more >= usize::from(u8::MAX) {
            // A block is no longer than what two bytes hold.
            self.out.extend_from_slice(&short(rest));
        }
    }

    /// What is left of the last word are matches, of which there are none: so a reader knows the end.
    fn finish(self) {
        let left = FLAGS - self.filled;
        let (flags, word) = (self.flags, self.word);
        let shifted = flags.checked_shl(left).unwrap_or(0);
        let ones = u32::MAX.checked_shr(self.filled).unwrap_or(0);
        self.out[word..word + 4].copy_from_slice(&(shifted | ones).to_le_bytes());
    }
}

/// Compresses a block of at most [`MAX_BLOCK`] bytes.
fn compress(block: &[u8], out: &mut Vec<u8>) {
    let mut places = Places::new(block.len());
    let mut writer = Writer::new(out);
    let mut at = 0;
    while let Some(&byte) = block.get(at) {
        let taken = match places.longest(block, at) {
            Some((back, length)) => {
                writer.put_match(back, length);
                writer.flag(true);
                length
            }
            None => {
                writer.out.push(byte);
                writer.flag(false);
                1
            }
        };
        for passed in at..at + taken {
            places.note(block, passed);
        }
        at += taken;
    }
    writer.finish();
}

/// Reads single bytes, and numbers of a few.
struct Reader<'a> {
    block: &'a [u8],
    at: usize,
    /// A byte whose upper half is the next long length.
    half: Option<u8>,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.block.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*bytes)
    }

    fn byte(&mut self) -> Option<usize> {
        let [byte] = self.take()?;
        Some(byte.into())
    }

    fn short(&mut self) -> Option<usize> {
        Some(u16::from_le_bytes(self.take()?).into())
    }

    /// How far back a match lies, and how long it is.
    fn matched(&mut self) -> Option<(usize, usize)> {
        let both = self.short()?;
        let (back, mut rest) = ((both >> 3) + 1, both & LONG);
        if rest == LONG {
            rest += match self.half.take() {
                Some(byte) => usize::from(byte >> 4),
                None => {
                    let byte = self.take::<1>()?[0];
                    self.half = Some(byte);
                    usize::from(byte & 0xf)
                }
            };
            if rest == LONG + LONGER {
                let more = self.byte()?;
                rest = match more == usize::from(u8::MAX) {
                    true => self.longest()?,
                    false => rest + more,
                };
            }
        }
        Some((back, rest + SHORTEST))
    }

    /// A length that is written out.
    fn longest(&mut self) -> Option<usize> {
        let length = match self.short()? {
            0 => usize::try_from(u32::from_le_bytes(self.take()?)).ok()?,
            length => length,
        };
        (LONG + LONGER..=MAX_BLOCK)
            .contains(&length)
            .then_some(length)
    }
}

/// Decompresses a block to `length` bytes behind what `out` holds; none where that is not what it holds.
fn decompress(block: &[u8], length: usize, out: &mut Vec<u8>) -> Option<()> {
    let begins = out.len();
    let ends = begins + length;
    let mut reader = Reader {
        block,
        at: 0,
        half: None,
    };
    let (mut flags, mut left) = (0, 0);
    while out.len() < ends {
        if left == 0 {
            flags = u32::from_le_bytes(reader.take()?);
            left = FLAGS;
        }
        left -= 1;
        if flags >> left & 1 == 0 {
            out.push(reader.take::<1>()?[0]);
            continue;
        }
        let (back, length) = reader.matched()?;
        if back > out.len() - begins || length > ends - out.len() {
            return None;
        }
        // A match may reach into what it makes.
        for from in out.len() - back..out.len() - back + length {
            out.push(out[from]);
        }
    }
    // Nothing comes behind the end but the flags that say that it is one, where a word of them begins there.
    let behind = block.len() - reader.at;
    let is_end = behind == 0 || behind == 4 && left == 0;
    is_end.then_some(())
}

#[cfg(test)]
mod tests;
