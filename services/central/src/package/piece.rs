//! The bytes of update files within Headwater's own package: pieces, those of a file one after the other, and one file
//! after the other.

use super::format::BLOCK_BYTES;
use catalog::content::ContentId;
use std::io::{self, Read, Write};

/// Most bytes of one piece.
pub const PIECE_BYTES: usize = match cfg!(feature = "simulation") {
    true => 16 << 10,
    false => 1 << 20,
};
/// What precedes the bytes of a piece: SHA-1 and length of the file, place in it, length of the piece.
const HEAD_BYTES: usize = 20 + 8 + 8 + 4;
/// Largest block of pieces, unpacked: one that ends with a whole piece.
pub const MAX_PIECES_BYTES: u64 = (BLOCK_BYTES + HEAD_BYTES + PIECE_BYTES) as u64;
/// Most files of one package.
pub const MAX_FILES: u64 = 1_000_000;

/// Some bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The file.
    pub file: ContentId,
    /// Its length.
    pub size: u64,
    /// Where the bytes stand in it.
    pub offset: u64,
    /// The bytes.
    pub data: Vec<u8>,
}

impl Piece {
    /// Whether the file ends with it.
    pub fn is_last(&self) -> bool {
        self.offset.checked_add(self.data.len() as u64) == Some(self.size)
    }

    /// Writes it behind others.
    ///
    /// # Errors
    /// When it is larger than a piece can be, or cannot be written.
    pub fn write(&self, into: &mut impl Write) -> io::Result<()> {
        let too_long = || io::Error::other("a piece is longer than the format allows");
        let length = u32::try_from(self.data.len()).map_err(|_| too_long())?;
        if self.data.len() > PIECE_BYTES {
            return Err(too_long());
        }
        into.write_all(&self.file.0)?;
        into.write_all(&self.size.to_le_bytes())?;
        into.write_all(&self.offset.to_le_bytes())?;
        into.write_all(&length.to_le_bytes())?;
        into.write_all(&self.data)
    }

    /// Reads the next one; none at the end.
    ///
    /// # Errors
    /// What is wrong with it, or when it cannot be read.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let (mut file, mut number, mut length) = ([0; 20], [0; 8], [0; 4]);
        if from.read(&mut file[..1])? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut file[1..])?;
        from.read_exact(&mut number)?;
        let size = u64::from_le_bytes(number);
        from.read_exact(&mut number)?;
        let offset = u64::from_le_bytes(number);
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > PIECE_BYTES {
            let what = "a piece of a file is longer than any can be";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut data = Vec::new();
        from.take(length as u64).read_to_end(&mut data)?;
        match data.len() == length {
            true => Ok(Some(Self {
                file: ContentId(file),
                size,
                offset,
                data,
            })),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Whether pieces follow each other as they have to.
#[derive(Debug, Default)]
pub struct Order {
    /// The file that has not ended, its length, and where it goes on.
    under_way: Option<(ContentId, u64, u64)>,
    /// Files that ended, and their lengths.
    ended: Vec<(ContentId, u64)>,
}

impl Order {
    /// Takes the next piece.
    ///
    /// # Errors
    /// Why it cannot be the next.
    pub fn follow(&mut self, piece: &Piece) -> Result<(), &'static str> {
        let expected = self.under_way.take();
        let (file, size, at) = expected.unwrap_or((piece.file, piece.size, 0));
        if (piece.file, piece.size, piece.offset) != (file, size, at) {
            return Err("a piece of a file is not the one that has to follow");
        }
        let end = at.checked_add(piece.data.len() as u64);
        let end = end.filter(|end| *end <= size);
        let end = end.ok_or("a file has more bytes than it has")?;
        if end == size {
            if self.ended.len() as u64 >= MAX_FILES {
                return Err("it has more files than any package can have");
            }
            self.ended.push((file, size));
        } else if piece.data.is_empty() {
            return Err("a piece of a file is empty");
        } else {
            self.under_way = Some((file, size, end));
        }
        Ok(())
    }

    /// All files, where the last one ended.
    ///
    /// # Errors
    /// When it did not.
    pub fn end(self) -> Result<Vec<(ContentId, u64)>, &'static str> {
        match self.under_way {
            None => Ok(self.ended),
            Some(_) => Err("a file in it has no end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(file: u8, size: u64, offset: u64, data: &[u8]) -> Piece {
        Piece {
            file: ContentId([file; 20]),
            size,
            offset,
            data: data.to_vec(),
        }
    }

    fn order(pieces: &[Piece]) -> Result<usize, &'static str> {
        let mut order = Order::default();
        for piece in pieces {
            order.follow(piece)?;
        }
        order.end().map(|files| files.len())
    }

    #[test]
    fn files_come_whole_and_one_after_the_other() {
        let (a, b) = (piece(1, 5, 0, b"abc"), piece(1, 5, 3, b"de"));
        let (empty, one) = (piece(2, 0, 0, b""), piece(3, 1, 0, b"x"));
        let all = [a.clone(), b.clone(), empty.clone(), one.clone()];
        assert_eq!(order(&all), Ok(3));
        for wrong in [
            vec![b.clone()],
            vec![a.clone()],
            vec![a.clone(), a.clone()],
            vec![a.clone(), one],
            vec![a.clone(), piece(1, 6, 3, b"de")],
            vec![a.clone(), piece(1, 5, 3, b"def")],
            vec![a.clone(), piece(1, 5, 3, b"")],
            vec![piece(1, u64::MAX, u64::MAX - 1, b"abc")],
        ] {
            assert!(order(&wrong).is_err(), "{wrong:?}");
        }
        let mut bytes = Vec::new();
        for piece in &all {
            piece.write(&mut bytes).unwrap();
        }
        let mut from = bytes.as_slice();
        for piece in all {
            assert_eq!(Piece::read(&mut from).unwrap(), Some(piece));
        }
        assert_eq!(Piece::read(&mut from).unwrap(), None);
        let mut long = bytes;
        long[39] = 0xFF;
        let error = Piece::read(&mut long.as_slice()).unwrap_err().to_string();
        assert!(error.contains("longer"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_pieces_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut from = bytes.as_slice();
            while let Ok(Some(piece)) = Piece::read(&mut from) {
                assert!(piece.data.len() <= bytes.len());
            }
        }
    }
}
