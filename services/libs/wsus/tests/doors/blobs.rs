//! Compressed documents: cabinets, stored, MSZIP and LZX.

use std::io::{Cursor, Write};
use testkit::Door;
use testkit::door::sentence;
use testkit::mutate::{Mutant, cuts, damage};
use wsus::blob::{Error, decode, encode_lzx_stored};

const LIMIT: usize = 1 << 20;

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn cabinet(compression: cab::CompressionType, content: &[u8]) -> Vec<u8> {
    let mut builder = cab::CabinetBuilder::new();
    builder.add_folder(compression).add_file("blob");
    let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
    while let Some(mut file) = writer.next_file().unwrap() {
        file.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn blob(bytes: &[u8]) -> Result<(), String> {
    let text = decode(bytes, LIMIT).map_err(|error| sentence(&error))?;
    assert!(text.len() <= LIMIT);
    assert_eq!(decode(&encode_lzx_stored(&text), LIMIT).unwrap(), text);
    Ok(())
}

/// A small document, and one of several blocks.
fn cabinets() -> Vec<Vec<u8>> {
    let small = "<upd:Update a=\"ä\"/>".to_owned();
    let large: String = (0..4_000).map(|n| format!("<a n=\"{n}\"/>")).collect();
    let mut all = vec![];
    for document in [small, large] {
        all.push(encode_lzx_stored(&document));
        for compression in [cab::CompressionType::None, cab::CompressionType::MsZip] {
            all.push(cabinet(compression, &utf16(&document)));
        }
    }
    all
}

#[test]
fn bad_cabinets_are_refused() {
    let mut door = Door::new("compressed documents");
    for (seed, good) in (0..).zip(cabinets()) {
        blob(&good).unwrap();
        for cut in cuts(&good) {
            assert!(blob(&cut.bytes).is_err(), "{}", cut.what);
        }
        door.knock_all(cuts(&good), blob);
        door.knock_all(damage(&good, seed, 300), blob);
        // Every byte of the directory, at its most and its least.
        for at in 0..good.len().min(90) {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut bytes = good.clone();
                bytes[at] = value;
                door.knock(
                    &Mutant::new(format!("byte {at} is {value:#x}"), bytes),
                    blob,
                );
            }
        }
    }
    door.close(4_000);
}

#[test]
fn a_directory_that_claims_much_takes_no_memory_for_it() {
    let good = encode_lzx_stored("<a/>");
    // The length of the member, in the file entry behind header and folder.
    let mut claims = good.clone();
    claims[44..48].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        decode(&claims, LIMIT),
        Err(Error::TooLarge { .. })
    ));
    let most = u32::try_from(LIMIT * 2).unwrap();
    claims[44..48].copy_from_slice(&most.to_le_bytes());
    assert!(decode(&claims, LIMIT).is_err());
    // The member begins far behind the end of the data.
    let mut far = good.clone();
    far[48..52].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(decode(&far, LIMIT), Err(Error::TooLarge { .. })));
    // More folders, files and blocks than there are bytes.
    for at in [26, 28, 40] {
        let mut many = good.clone();
        many[at..at + 2].copy_from_slice(&u16::MAX.to_le_bytes());
        assert!(matches!(decode(&many, LIMIT), Ok(_) | Err(_)), "{at}");
    }
}

#[test]
fn a_small_cabinet_that_unpacks_to_much_is_stopped_at_the_limit() {
    let bomb = cabinet(cab::CompressionType::MsZip, &utf16(&" ".repeat(20 << 20)));
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    assert!(matches!(decode(&bomb, LIMIT), Err(Error::TooLarge { .. })));
    // The same with a directory that does not say so.
    let mut lies = bomb.clone();
    lies[44..48].copy_from_slice(&8_u32.to_le_bytes());
    assert_eq!(decode(&lies, LIMIT).unwrap(), "    ");
}

#[test]
fn a_member_far_inside_is_refused_before_all_before_it_is_unpacked() {
    // Two gigabytes could be unpacked of two megabytes in order to reach eight bytes.
    let spaces = utf16(&" ".repeat(2 << 20));
    let mut bomb = cabinet(cab::CompressionType::MsZip, &spaces);
    bomb[44..48].copy_from_slice(&8_u32.to_le_bytes());
    let far = u32::try_from(spaces.len() - 8).unwrap();
    bomb[48..52].copy_from_slice(&far.to_le_bytes());
    assert!(matches!(decode(&bomb, LIMIT), Err(Error::TooLarge { .. })));
    // Not so far inside it is read as ever.
    let near = u32::try_from(LIMIT).unwrap();
    bomb[48..52].copy_from_slice(&near.to_le_bytes());
    assert_eq!(decode(&bomb, LIMIT).unwrap(), "    ");
}

#[test]
fn what_is_no_cabinet_is_told_so() {
    for bytes in [
        &b""[..],
        b"MSCF",
        b"\x1F\x8B\x08\0\0",
        b"<upd:Update/>",
        &[0; 4096],
        &[0xFF; 4096],
    ] {
        assert!(matches!(decode(bytes, LIMIT), Err(Error::Cabinet(_))));
    }
}
