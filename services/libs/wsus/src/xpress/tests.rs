use super::*;
use proptest::prelude::*;

/// A block as MS-XCA 3.1 shows it.
#[track_caller]
fn published(plain: &[u8], compressed: &[u8]) {
    let mut ours = Vec::new();
    compress(plain, &mut ours);
    assert_eq!(ours, compressed);
    let mut back = Vec::new();
    assert_eq!(decompress(compressed, plain.len(), &mut back), Some(()));
    assert_eq!(back, plain);
}

#[test]
fn the_published_examples_come_out_as_published() {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz";
    published(alphabet, &[&[0x3f, 0, 0, 0], &alphabet[..]].concat());
    published(
        &b"abc".repeat(100),
        &[
            0xff, 0xff, 0xff, 0x1f, 0x61, 0x62, 0x63, 0x17, 0x00, 0x0f, 0xff, 0x26, 0x01,
        ],
    );
}

#[test]
fn a_block_is_framed_by_its_two_lengths() {
    let body = b"abc".repeat(100);
    let packed = pack(&body);
    assert_eq!(packed[..HEAD], [0x2c, 1, 0, 0, 13, 0, 0, 0]);
    assert_eq!(packed.len(), HEAD + 13);
    // What does not become shorter stays as it is, with two equal lengths.
    assert_eq!(pack(b"hello"), b"\x05\0\0\0\x05\0\0\0hello");
    assert_eq!(pack(b""), b"");
    let long = vec![7; BLOCK * 2 + 1];
    let packed = pack(&long);
    assert_eq!(packed[..4], length(BLOCK));
    assert_eq!(unpack(&packed, long.len()).unwrap(), long);
    assert_eq!(unpack(b"", 0).unwrap(), b"");
}

#[test]
fn text_of_answers_becomes_much_shorter() {
    let item = |number: u32| {
        format!(
            "<UpdateIdentity><UpdateID>{number:08x}-0000-4000-8000-{:012x}</UpdateID>\
             <RevisionNumber>{number}</RevisionNumber></UpdateIdentity>",
            u64::from(number) * 7_919
        )
    };
    let list: String = (1..5_000).map(item).collect();
    let packed = pack(list.as_bytes());
    assert!(
        packed.len() * 3 < list.len(),
        "{} of {}",
        packed.len(),
        list.len()
    );
    assert_eq!(unpack(&packed, list.len()).unwrap(), list.as_bytes());
}

/// Lengths around which another form of a length begins, one after the other, so that half bytes are shared.
#[test]
fn every_form_of_a_length_comes_back() {
    for run in [
        3, 9, 10, 11, 24, 25, 26, 278, 279, 280, 281, 282, 5_000, 65_000,
    ] {
        let mut body = Vec::new();
        for letter in 0..3_u8 {
            body.resize(body.len() + run, letter);
            body.extend_from_slice(&[200, 100 + letter]);
        }
        body.truncate(MAX_BLOCK);
        let mut compressed = Vec::new();
        compress(&body, &mut compressed);
        let mut back = Vec::new();
        assert_eq!(
            decompress(&compressed, body.len(), &mut back),
            Some(()),
            "{run}"
        );
        assert_eq!(back, body, "{run}");
    }
}

#[track_caller]
fn refused(packed: &[u8], error: UnpackError) {
    assert_eq!(unpack(packed, 100_000), Err(error), "{packed:?}");
}

fn framed(whole: u32, block: &[u8]) -> Vec<u8> {
    let head = [whole.to_le_bytes(), length(block.len())].concat();
    [&head[..], block].concat()
}

#[test]
fn what_is_hostile_is_refused() {
    let packed = pack(&b"abc".repeat(100));
    for cut in 1..packed.len() {
        assert!(unpack(&packed[..cut], 1_000).is_err(), "{cut}");
    }
    refused(&[1, 0, 0], UnpackError::CutOff);
    refused(&[5, 0, 0, 0, 5, 0, 0, 0, 1], UnpackError::CutOff);
    refused(&framed(65_536, &[0]), UnpackError::BlockTooLong(65_536));
    refused(&framed(u32::MAX, &[0]), UnpackError::BlockTooLong(u32::MAX));
    refused(&framed(3, &[0; 4]), UnpackError::Grown);
    refused(&[5, 0, 0, 0, 255, 255, 255, 255, 1], UnpackError::Grown);
    // A match before the beginning of the block, though there is a block before it.
    let before = framed(9, &[0xff, 0xff, 0xff, 0xff, 0, 0]);
    refused(&before, UnpackError::Block);
    refused(&[framed(4, b"abcd"), before].concat(), UnpackError::Block);
    // A match beyond the end, a length that is none, and what comes behind the end.
    let long = |more: &[u8]| [&[0xff, 0xff, 0xff, 0x7f, b'a', 7, 0][..], more].concat();
    refused(&framed(50, &long(&[15, 250])), UnpackError::Block);
    refused(&framed(50, &long(&[15, 255, 3, 0])), UnpackError::Block);
    refused(
        &framed(50, &long(&[15, 255, 0, 0, 255, 255, 255, 255])),
        UnpackError::Block,
    );
    refused(
        &framed(50, &[0x3f, 0, 0, 0, b'a', b'b']),
        UnpackError::Block,
    );
    refused(&framed(11, &long(&[0, 1, 2])), UnpackError::Block);
    // A bomb is only as large as the caller allows.
    let bomb = pack(&vec![0; 1 << 20]);
    assert!(bomb.len() < 4_096, "{}", bomb.len());
    refused(&bomb, UnpackError::TooLarge(100_000));
}

proptest! {
    #[test]
    fn whatever_is_packed_comes_back(
        parts in proptest::collection::vec((any::<u8>(), 0_usize..700, 0_usize..40), 0..120),
    ) {
        // Runs, and repetitions of what stood before.
        let mut body: Vec<u8> = Vec::new();
        for (byte, length, from) in parts {
            let start = body.len() * from / 40;
            let again: Vec<u8> = body[start..].iter().copied().take(length).collect();
            body.push(byte);
            body.extend(again);
        }
        let packed = pack(&body);
        prop_assert!(packed.len() <= body.len() + HEAD * (body.len() / BLOCK + 1));
        prop_assert_eq!(unpack(&packed, body.len()).unwrap(), body);
    }

    #[test]
    fn whatever_comes_is_unpacked_within_bounds_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        length in 0_u32..70_000,
    ) {
        drop(unpack(&bytes, 1_000));
        if let Ok(body) = unpack(&framed(length, &bytes), 10_000) {
            prop_assert!(body.len() <= 10_000);
        }
    }

    #[test]
    fn an_altered_body_is_no_panic(
        at in 0_usize..200,
        byte in any::<u8>(),
    ) {
        let mut packed = pack("one, two, one, two, three and one, two ".repeat(30).as_bytes());
        let at = at % packed.len();
        packed[at] = byte;
        if let Ok(body) = unpack(&packed, 2_000) {
            prop_assert!(body.len() <= 2_000);
        }
    }
}
