//! Writing a cabinet whose LZX stream consists of uncompressed blocks.

/// Uncompressed bytes in one frame, and in one data block of the cabinet.
const FRAME: usize = 32 << 10;
/// Bytes in front of the raw bytes of a frame: the block header, padded, and three match offsets.
const FRAME_HEADER: usize = 16;
/// LZX with a window of 2^21 bytes, in the notation of a cabinet folder.
const LZX_21: u16 = 0x1503;
/// Offset of the file entry: header and one folder.
const FILE_OFFSET: usize = 36 + 8;
/// Offset of the data: file entry and its name `blob`.
const DATA_OFFSET: usize = FILE_OFFSET + 16 + 5;
/// Checksum, compressed and uncompressed size of a data block.
const BLOCK_HEADER: usize = 8;

/// A cabinet file of type 0x1503 with one member `blob` that holds `document` in UTF-16LE, in LZX blocks
/// that are not compressed. Sixteen bytes more than stored for each 32 KiB.
pub fn encode_lzx_stored(document: &str) -> Vec<u8> {
    let mut raw = Vec::with_capacity(document.len() * 2);
    for unit in document.encode_utf16() {
        raw.extend_from_slice(&unit.to_le_bytes());
    }
    let frames = raw.len().div_ceil(FRAME);
    let mut cabinet =
        Vec::with_capacity(DATA_OFFSET + raw.len() + frames * (BLOCK_HEADER + FRAME_HEADER + 1));
    write_directory(&mut cabinet, raw.len(), frames);
    for (index, frame) in raw.chunks(FRAME).enumerate() {
        write_frame(&mut cabinet, frame, index == 0);
    }
    let length = u32_of(cabinet.len());
    cabinet[8..12].copy_from_slice(&length.to_le_bytes());
    cabinet
}

/// Sizes in a cabinet have 32 bits; a document is far below that.
fn u32_of(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn write_directory(out: &mut Vec<u8>, uncompressed: usize, frames: usize) {
    out.extend_from_slice(b"MSCF");
    out.extend_from_slice(&[0; 12]); // reserved, length of the cabinet (filled in later), reserved
    out.extend_from_slice(&u32_of(FILE_OFFSET).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[3, 1]); // version 1.3
    out.extend_from_slice(&1u16.to_le_bytes()); // folders
    out.extend_from_slice(&1u16.to_le_bytes()); // files
    out.extend_from_slice(&[0; 6]); // flags, set id, index in the set
    out.extend_from_slice(&u32_of(DATA_OFFSET).to_le_bytes());
    out.extend_from_slice(&u16::try_from(frames).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&LZX_21.to_le_bytes());
    out.extend_from_slice(&u32_of(uncompressed).to_le_bytes());
    out.extend_from_slice(&[0; 12]); // offset in the folder, folder, date, time, attributes
    out.extend_from_slice(b"blob\0");
}

/// One data block that is one LZX frame that is one uncompressed block.
///
/// Bits are taken from 16-bit little-endian words, the highest first. The first frame begins with a zero
/// bit (no translation of jumps); a block begins with 011 (uncompressed) and its length in 24 bits, then
/// zeros up to the next word, or a whole word of them where none are needed; then the three last match
/// offsets, the bytes, and one more byte where their number is odd.
fn write_frame(out: &mut Vec<u8>, frame: &[u8], first: bool) {
    let padding = frame.len() % 2;
    let compressed = FRAME_HEADER + frame.len() + padding;
    out.extend_from_slice(&[0; 4]); // no checksum
    for size in [compressed, frame.len()] {
        out.extend_from_slice(&u16::try_from(size).unwrap_or(u16::MAX).to_le_bytes());
    }
    let length_bits = u32_of(frame.len());
    // 27 bits of header, or 28 with the leading zero, left-aligned in 32.
    let header = (0b011 << 24 | length_bits) << if first { 4 } else { 5 };
    let [a, b, c, d] = header.to_be_bytes();
    out.extend_from_slice(&[b, a, d, c]);
    for offset in [1u32; 3] {
        out.extend_from_slice(&offset.to_le_bytes());
    }
    out.extend_from_slice(frame);
    out.extend_from_slice(&[0][..padding]);
}
