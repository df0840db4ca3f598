//! Bad update documents, and bad forms of what is stored and handed on: each is refused with a sentence, or
//! is read as something that is written and read again alike.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use catalog::approval::{AcceptedLicence, Approval, Cause, Record};
use catalog::codec;
use catalog::document::{self, Update};
use catalog::header::{FileLocation, RevisionHeader};
use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId};
use std::fs;
use testkit::door::sentence;
use testkit::mutate::{Mutant, cuts, damage, encodings, markup};
use testkit::{Door, shared_data};

/// A document with everything that is read, for where there is no recorded data.
const DOCUMENT: &str = include_str!("doors/update.xml");

fn documents() -> Vec<String> {
    let mut all = vec![DOCUMENT.to_owned()];
    if let Some(data) = shared_data::folder() {
        let mut files: Vec<_> = fs::read_dir(data.join("captures/updates"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        all.extend(files.iter().map(|file| fs::read_to_string(file).unwrap()));
    }
    all
}

/// What a site does with a document from outside, up to where it is stored.
fn document(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let update = document::parse(text).map_err(|error| sentence(&error))?;
    assert!(kept(&update) <= text.len() + 4096, "more than was sent");
    let header = RevisionHeader::new(text, &update, vec![]);
    let again = RevisionHeader::from_bytes(&header.to_bytes()).unwrap();
    assert_eq!(again, header);
    let stored = codec::compress(text).unwrap();
    assert_eq!(codec::decompress(&stored).unwrap(), text);
    Ok(())
}

/// Bytes of the texts that are kept of a document.
fn kept(update: &Update) -> usize {
    let texts = update
        .titles
        .iter()
        .map(|texts| texts.title.len() + texts.description.as_ref().map_or(0, String::len));
    texts.sum::<usize>() + update.kb_article_ids.iter().map(String::len).sum::<usize>()
}

#[test]
fn bad_documents_are_refused() {
    let mut door = Door::new("update documents");
    for (seed, text) in (0..).zip(documents()) {
        document(text.as_bytes()).unwrap();
        door.knock_all(cuts(text.as_bytes()), document);
        door.knock_all(damage(text.as_bytes(), seed, 400), document);
        door.knock_all(markup::rearranged(&text, seed, 200), document);
        door.knock_all(markup::bombs(&text), document);
        door.knock_all(encodings(&text), document);
    }
    door.close(800);
}

#[test]
fn a_document_that_lacks_its_end_is_never_taken() {
    for text in documents() {
        let end = text.rfind("</").unwrap();
        for cut in cuts(&text.as_bytes()[..end]) {
            assert!(document(&cut.bytes).is_err(), "{}", cut.what);
        }
    }
}

#[test]
fn an_error_about_names_without_end_is_short() {
    let name = "n\u{1b}".repeat(1 << 20);
    for inside in [
        format!("<{name}></x>"),
        format!("<x></{name}>"),
        format!("<x a=\"1\" {name}=\"&{name};\"/>"),
        format!("<{name}:x xmlns:{name}=\"{name}\"/>"),
        format!("<Properties UpdateType=\"{name}\"/>"),
    ] {
        let text = format!(
            "<Update xmlns=\"http://schemas.microsoft.com/msus/2002/12/Update\">{inside}</Update>"
        );
        let error = document::parse(&text).unwrap_err();
        let sentence = sentence(&error);
        assert_eq!(testkit::door::unfit(&sentence), None);
    }
}

#[test]
fn a_character_that_xml_forbids_is_refused_with_its_place() {
    // PostgreSQL stores no NUL: one such title would have stopped every synchronization.
    for (forbidden, shown) in [
        ("\0", "U+0000"),
        ("\u{b}", "U+000B"),
        ("\u{ffff}", "U+FFFF"),
    ] {
        let text = DOCUMENT.replace("Fix", forbidden);
        let at = text.find(forbidden).unwrap();
        let error = document::parse(&text).unwrap_err().to_string();
        assert!(error.contains(&format!("{shown} at byte {at}")), "{error}");
    }
    for reference in ["&#0;", "&#1;", "&#x1b;", "&#xFFFE;"] {
        let text = DOCUMENT.replace("Fix", reference);
        assert!(document::parse(&text).is_err(), "{reference}");
    }
    let kept = DOCUMENT.replace("Fix", "\t\r\n\u{85}&#9;");
    assert!(document::parse(&kept).is_ok());
}

fn header() -> RevisionHeader {
    let update = document::parse(DOCUMENT).unwrap();
    let location = FileLocation {
        sha1: [9; 20],
        mu_url: "http://download.example/a.cab".into(),
    };
    RevisionHeader::new(DOCUMENT, &update, vec![location])
}

#[test]
fn bad_headers_are_refused() {
    let open = |bytes: &[u8]| {
        let header = RevisionHeader::from_bytes(bytes).map_err(|error| sentence(&error))?;
        let written = header.to_bytes();
        assert_eq!(RevisionHeader::from_bytes(&written).unwrap(), header);
        Ok(())
    };
    let good = header().to_bytes();
    open(&good).unwrap();
    let mut door = Door::new("headers of revisions");
    door.knock_all(cuts(&good), open);
    door.knock_all(damage(&good, 1, 2_000), open);
    // Groups in each other, and a field that claims to be longer than all memory.
    let deep = Mutant::new("groups in each other", [0x0B].repeat(100_000));
    let long = Mutant::new(
        "an endless field",
        b"\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F",
    );
    let lists = Mutant::new("empty entries without end", [0x52, 0].repeat(100_000));
    for mutant in [deep, long, lists] {
        assert!(open(&mutant.bytes).is_err(), "{}", mutant.what);
        door.knock(&mutant, open);
    }
    door.close(2_100);
}

#[test]
fn bad_approvals_are_refused() {
    let open = |bytes: &[u8]| {
        let record = Record::from_bytes(bytes).map_err(|error| sentence(&error))?;
        let written = record.to_bytes();
        assert_eq!(Record::from_bytes(&written).unwrap(), record);
        Ok(())
    };
    let good = Record {
        approval: Approval::Install {
            deadline: "2024-06-01T00:00:00Z".parse().ok(),
        },
        revision: 200,
        cause: Cause::Person("anna".into()),
        changed_at: "2024-05-14T17:00:00Z".parse().unwrap(),
        accepted_licence: Some(AcceptedLicence {
            terms: UpdateId::from_u128(3).0,
            person: "bert".into(),
            at: "2024-05-14T17:00:00Z".parse().unwrap(),
        }),
    };
    let good = good.to_bytes();
    open(&good).unwrap();
    let mut door = Door::new("approvals");
    door.knock_all(cuts(&good), open);
    door.knock_all(damage(&good, 6, 2_000), open);
    let deep = [&[1][..], &[0x0B].repeat(100_000)].concat();
    let long = b"\x01\x2A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F";
    for mutant in [
        Mutant::new("groups in each other", deep),
        Mutant::new("an endless field", long),
    ] {
        assert!(open(&mutant.bytes).is_err(), "{}", mutant.what);
        door.knock(&mutant, open);
    }
    door.close(2_000);
}

#[test]
fn bad_stored_documents_are_refused() {
    let open = |bytes: &[u8]| {
        let text = codec::decompress(bytes).map_err(|error| sentence(&error))?;
        assert!(text.len() <= codec::MAX_DOCUMENT_BYTES);
        let stored = codec::compress(&text).unwrap();
        assert_eq!(codec::decompress(&stored).unwrap(), text);
        Ok(())
    };
    let mut door = Door::new("stored documents");
    for (seed, text) in (0..).zip(documents()) {
        let good = codec::compress(&text).unwrap();
        open(&good).unwrap();
        for cut in cuts(&good) {
            assert!(open(&cut.bytes).is_err(), "{}", cut.what);
        }
        door.knock_all(cuts(&good), open);
        door.knock_all(damage(&good, seed, 400), open);
    }
    door.close(600);
}

#[test]
fn a_stored_document_that_unpacks_to_too_much_is_refused_before_it_does() {
    // One raw block in zstd's frame that claims any length, in each of the sizes that a claim can have.
    for (descriptor, claim) in [
        (0xA0_u8, (u32::MAX).to_le_bytes().to_vec()),
        (0xE0, (u64::MAX / 2).to_le_bytes().to_vec()),
        (0xE0, (1_u64 << 40).to_le_bytes().to_vec()),
    ] {
        let mut bytes = vec![1, 0x28, 0xB5, 0x2F, 0xFD, descriptor];
        bytes.extend(claim);
        bytes.extend([9, 0, 0, b'x']);
        assert_eq!(codec::decompress(&bytes), Err(codec::Error::TooLarge));
    }
    // A claim of little, and much behind it.
    let much = codec::compress(&" ".repeat(1 << 20)).unwrap();
    let little = codec::compress("<a/>").unwrap();
    let mut both = little.clone();
    both.extend(&much[1..]);
    assert!(matches!(
        codec::decompress(&both),
        Err(codec::Error::Damaged(_))
    ));
}

#[test]
fn bad_item_keys_are_refused() {
    let open = |bytes: &[u8]| {
        let key = ItemKey::from_bytes(bytes).map_err(|error| sentence(&error))?;
        assert_eq!(key.to_bytes(), bytes);
        Ok(())
    };
    let update = UpdateId::from_u128(77);
    let mut door = Door::new("item keys");
    for key in [
        ItemKey::Revision(RevisionId::new(update, 200)),
        ItemKey::Approval(update),
        ItemKey::Expiry(update),
    ] {
        let good = key.to_bytes();
        for cut in cuts(&good) {
            assert!(open(&cut.bytes).is_err(), "{}", cut.what);
        }
        door.knock_all(cuts(&good), open);
        door.knock_all(damage(&good, 3, 2_000), open);
    }
    door.close(6_000);
}

#[test]
fn bad_identities_and_site_codes_are_refused() {
    let texts = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let revision = |bytes: &[u8]| {
        let text = texts(bytes);
        let id: RevisionId = text.parse().map_err(|error| sentence(&error))?;
        assert_eq!(id.to_string().parse::<RevisionId>().unwrap(), id);
        Ok(())
    };
    let site = |bytes: &[u8]| {
        let text = texts(bytes);
        let code: catalog::SiteCode = text.parse().map_err(|error| sentence(&error))?;
        assert_eq!(code.to_string(), text);
        Ok(())
    };
    let mut door = Door::new("identities and site codes");
    let good = b"e6cf1350-c01b-414d-a61f-263d14d133b4.200";
    door.knock_all(cuts(good), revision);
    door.knock_all(damage(good, 4, 1_000), revision);
    door.knock_all(cuts(b"PR1"), site);
    door.knock_all(damage(b"PR1", 5, 500), site);
    door.close(1_500);
}
