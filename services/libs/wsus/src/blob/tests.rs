use super::*;
use proptest::prelude::*;
use std::io::Write;

const LIMIT: usize = 1 << 20;

fn cabinet(compression: cab::CompressionType, name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = cab::CabinetBuilder::new();
    builder.add_folder(compression).add_file(name);
    let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
    while let Some(mut file) = writer.next_file().unwrap() {
        file.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_document_of_many_frames_comes_back() {
    for length in [0, 1, 2, 16_383, 16_384, 16_385, 100_000] {
        let document: String = "<ä𝄞b>".chars().cycle().take(length).collect();
        let decoded = decode(&encode_lzx_stored(&document), LIMIT).unwrap();
        assert!(decoded == document, "length {length}");
    }
}

#[test]
fn our_cabinet_is_of_the_type_that_windows_writes() {
    let bytes = encode_lzx_stored("x");
    assert_eq!(&bytes[42..44], &[0x03, 0x15]);
    let archive = cab::Cabinet::new(Cursor::new(&bytes)).unwrap();
    assert!(archive.get_file_entry("blob").is_some());
}

#[test]
fn mszip_and_stored_cabinets_with_any_member_name_are_read() {
    let document = "<Update>".repeat(10_000);
    for compression in [cab::CompressionType::MsZip, cab::CompressionType::None] {
        let bytes = cabinet(compression, "whatever.xml", &utf16(&document));
        assert!(decode(&bytes, LIMIT).unwrap() == document);
    }
}

#[test]
fn a_byte_order_mark_is_dropped() {
    let bytes = cabinet(cab::CompressionType::None, "blob", &utf16("\u{feff}<a/>"));
    assert_eq!(decode(&bytes, LIMIT).unwrap(), "<a/>");
}

#[test]
fn half_a_character_is_refused() {
    for content in [
        &b"<\0a"[..],
        &[0x34, 0xD8],
        &[0x34, 0xD8, 0x41, 0],
        &[0x1E, 0xDD],
    ] {
        let bytes = cabinet(cab::CompressionType::None, "blob", content);
        assert!(
            matches!(decode(&bytes, LIMIT), Err(Error::NotUtf16)),
            "{content:x?}"
        );
    }
}

#[test]
fn a_bomb_is_refused_before_it_unfolds() {
    let bomb = cabinet(
        cab::CompressionType::MsZip,
        "blob",
        &utf16(&"a".repeat(3 << 20)),
    );
    assert!(bomb.len() < 100_000);
    assert!(matches!(decode(&bomb, LIMIT), Err(Error::TooLarge { .. })));
    let within: String = "\u{20AC}".repeat(400_000);
    let bytes = cabinet(cab::CompressionType::None, "blob", &utf16(&within));
    assert!(matches!(decode(&bytes, LIMIT), Err(Error::TooLarge { .. })));
}

#[test]
fn a_size_that_is_not_there_is_not_believed() {
    let mut bytes = cabinet(cab::CompressionType::None, "blob", &utf16("abc"));
    let at = bytes
        .windows(4)
        .rposition(|w| w == 6u32.to_le_bytes())
        .unwrap_or(44);
    assert_eq!(at, 44);
    bytes[44..48].copy_from_slice(&1_000_000u32.to_le_bytes());
    let error = decode(&bytes, LIMIT).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Truncated {
                found: 6,
                expected: 1_000_000
            }
        ),
        "{error}"
    );
}

#[test]
fn truncated_cabinets_give_errors() {
    let document = "<Update>".repeat(3_000);
    for whole in [
        encode_lzx_stored(&document),
        cabinet(cab::CompressionType::MsZip, "blob", &utf16(&document)),
        cabinet(cab::CompressionType::None, "blob", &utf16(&document)),
    ] {
        for length in (0..whole.len()).step_by(50) {
            assert!(
                decode(&whole[..length], LIMIT).is_err(),
                "{length} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn sizes_in_utf16_are_compared_exactly() {
    for (text, bytes) in [
        ("", 0),
        ("ab", 4),
        ("ä", 2),
        ("€", 2),
        ("𝄞", 4),
        ("€€€€", 8),
    ] {
        assert!(utf16_bytes_at_most(text, bytes), "{text}");
        assert!(
            bytes == 0 || !utf16_bytes_at_most(text, bytes - 1),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_comes_back(text in ".{0,300}", repeat in 1usize..200) {
        let document = format!("<{}", text.repeat(repeat));
        prop_assert!(decode(&encode_lzx_stored(&document), LIMIT).unwrap() == document);
    }

    #[test]
    fn damage_gives_an_error_or_a_text_but_no_panic(position in 0usize..2000, value: u8) {
        let mut bytes = cabinet(cab::CompressionType::MsZip, "blob", &utf16(&"<Update Title=\"x\"/>".repeat(100)));
        let position = position % bytes.len();
        bytes[position] = value;
        let _ = decode(&bytes, LIMIT);
    }

    #[test]
    fn noise_gives_an_error(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut cabinet = b"MSCF".to_vec();
        cabinet.extend(bytes);
        prop_assert!(decode(&cabinet, LIMIT).is_err());
    }
}
