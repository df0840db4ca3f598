//! Packages that were cut, damaged, or made to harm: every one is refused with a sentence, before anything of it
//! is used.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use catalog::header::{FileLocation, RevisionHeader};
use catalog::item::ItemKey;
use catalog::{RevisionId, codec, document};
use central::package::format::{Change, MAGIC};
use central::package::manifest::Manifest;
use central::package::origin::Allowed;
use central::package::{Checked, Question, Writer, check};
use jiff::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use testkit::door::sentence;
use testkit::mutate::damage;
use testkit::{Door, shared_data};
use trust::{Authority, HierarchyId, SignedStatement, Statement};
use upstream::generator::{Generator, GeneratorSettings};
use uuid::Uuid;
use wsus::package::{PackageFile, PackageInfo, PackageUpdate, Scratch, Writer as CabWriter};

const OWN: Uuid = Uuid::from_u128(0xB);

fn documents() -> Vec<(RevisionId, String)> {
    let generator = Generator::new(GeneratorSettings {
        seed: 3,
        updates: 3,
    });
    let recipes = generator.recipes().take(4);
    recipes
        .map(|recipe| (generator.id(&recipe), generator.document(&recipe)))
        .collect()
}

fn change(id: RevisionId, text: &str) -> Change {
    let update = document::parse(text).unwrap();
    Change {
        key: ItemKey::Revision(id),
        header: RevisionHeader::new(text, &update, vec![]).to_bytes(),
        document: codec::compress(text).unwrap(),
        removed: false,
    }
}

fn authority() -> Authority {
    let mut random = StdRng::seed_from_u64(1);
    let hierarchy = HierarchyId(Uuid::from_u128(0xA));
    Authority::create(hierarchy, Timestamp::UNIX_EPOCH, &mut random).unwrap()
}

fn statement(authority: &Authority) -> SignedStatement {
    authority.sign(Statement {
        hierarchy: authority.hierarchy(),
        epoch: Uuid::from_u128(7),
        position: 9,
        items: 1,
        root: [1; 32],
        issued: Timestamp::UNIX_EPOCH,
        stale_after: Timestamp::UNIX_EPOCH,
    })
}

fn own(changes: &[Change]) -> Vec<u8> {
    let authority = authority();
    let (mut writer, mut bytes) = Writer::begin();
    for change in changes {
        bytes.extend(writer.push(change).unwrap().unwrap_or_default());
    }
    let statement = statement(&authority);
    let end = writer.finish(&authority, "CAS", 0, &statement, Timestamp::UNIX_EPOCH);
    bytes.extend(end.unwrap());
    bytes
}

fn good() -> Vec<u8> {
    let documents = documents();
    let changes: Vec<Change> = documents
        .iter()
        .map(|(id, text)| change(*id, text))
        .collect();
    own(&changes)
}

/// A package whose manifest was changed and signed again: what only its maker can do.
fn signed_again(bytes: &[u8], alter: impl FnOnce(&mut Manifest), blocks: Option<&[u8]>) -> Vec<u8> {
    let footer = bytes.len() - 80;
    let length = u64::from_le_bytes(bytes[footer + 64..footer + 72].try_into().unwrap());
    let begin = footer - usize::try_from(length).unwrap();
    let mut manifest: Manifest = serde_json::from_slice(&bytes[begin..footer]).unwrap();
    alter(&mut manifest);
    let text = serde_json::to_vec(&manifest).unwrap();
    let mut again = MAGIC.to_vec();
    again.extend(blocks.unwrap_or(&bytes[MAGIC.len()..begin]));
    again.extend(&text);
    again.extend(authority().sign_package(&text));
    again.extend((text.len() as u64).to_le_bytes());
    again.extend(*b"HWPKGEND");
    again
}

fn cab(files: &[PackageFile], records: &[(RevisionId, String)]) -> Vec<u8> {
    let scratch = Scratch {
        files: Cursor::default(),
        updates: Cursor::default(),
        documents: Cursor::default(),
    };
    let info = PackageInfo::of_all_languages(Uuid::from_u128(1), Timestamp::UNIX_EPOCH);
    let mut writer: CabWriter<Cursor<Vec<u8>>> = CabWriter::new(info, scratch);
    for (id, text) in records {
        let update = PackageUpdate {
            id: *id,
            file_digests: vec![],
            categories: vec![],
            classifications: vec![],
        };
        writer.add(&update, files, text).unwrap();
    }
    writer.finish(Cursor::new(Vec::new())).unwrap().into_inner()
}

/// What becomes of a package, by somebody who trusts whatever comes.
fn read(folder: &Path, bytes: &[u8]) -> Result<Checked, String> {
    let file = folder.join("a.package");
    fs::write(&file, bytes).unwrap();
    let question = Question {
        own: OWN,
        held: None,
        allowed: Allowed {
            trust: true,
            ..Allowed::default()
        },
        approvals: true,
        settings: true,
        now: Timestamp::UNIX_EPOCH,
    };
    let checked = check(&file, folder, &question, &|_, _, _| {});
    let plain = |text: String| text.replace(&file.display().to_string(), "a.package");
    checked.map_err(|error| plain(sentence(&error)))
}

#[track_caller]
fn refused(folder: &Path, bytes: &[u8], why: &str) {
    let error = read(folder, bytes).unwrap_err();
    assert!(error.contains(why), "{why:?} is not in {error:?}");
}

#[test]
fn packages_that_were_cut_or_damaged_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (what, good) in [("own", good()), ("wsusutil", cab(&[], &documents()))] {
        assert_eq!(read(folder.path(), &good).unwrap().revisions, 4, "{what}");
        for cut in (0..good.len()).step_by(10) {
            read(folder.path(), &good[..cut]).unwrap_err();
        }
        let mut door = Door::new("packages that are imported");
        door.knock_all(damage(&good, 5, 600), |bytes| {
            read(folder.path(), bytes).map(drop)
        });
        door.close(500);
    }
    // Of Headwater's own format no bit may differ.
    let good = good();
    for place in (0..good.len()).step_by(10) {
        let mut flipped = good.clone();
        flipped[place] ^= 1 << (place % 8);
        read(folder.path(), &flipped).unwrap_err();
    }
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "only the package itself");
}

#[test]
fn what_is_no_package_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), b"", "cut off");
    refused(folder.path(), b"HWP", "cut off");
    refused(folder.path(), b"MS", "cut off");
    refused(folder.path(), b"PK\x03\x04 and more of it", "no package");
    refused(
        folder.path(),
        &[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0],
        ".xml.gz",
    );
    let mut later = good();
    later[5] = 2;
    refused(folder.path(), &later, "of another package");
    later[5] = 3;
    refused(folder.path(), &later, "format version 3");
    refused(
        folder.path(),
        &[good(), b"more".to_vec()].concat(),
        "cut off",
    );
}

#[test]
fn absurd_lengths_are_refused_by_whoever_signed_them() {
    let folder = tempfile::tempdir().unwrap();
    let good = good();
    read(folder.path(), &signed_again(&good, |_| {}, None)).unwrap();
    let mut long = good.clone();
    let place = long.len() - 16;
    long[place..place + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(folder.path(), &long, "longer than it can be");
    let check = |alter: &dyn Fn(&mut Manifest), why: &str| {
        refused(folder.path(), &signed_again(&good, alter, None), why);
    };
    check(&|m| m.blocks[0].unpacked = u64::MAX, "larger than any");
    check(&|m| m.blocks[0].packed = u64::MAX, "larger than any");
    check(&|m| m.blocks[0].packed += 1, "as long as");
    check(
        &|m| m.blocks[0].unpacked -= 1,
        "more than its manifest says",
    );
    check(
        &|m| m.blocks[0].unpacked += 1,
        "less than its manifest says",
    );
    check(&|m| m.blocks[0].digest.clear(), "not what was signed");
    check(&|m| m.site = "x".repeat(1000), "longer than any");
}

#[test]
fn a_block_that_unpacks_to_ten_thousand_times_its_size_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (id, text) = &documents()[0];
    let mut block = Vec::new();
    change(*id, text).write(&mut block).unwrap();
    let first = block.len() as u64;
    block.resize(128 << 20, 0);
    let packed = zstd::bulk::compress(&block, 3).unwrap();
    let times = block.len() / packed.len();
    assert!(times > 10_000, "{times}");
    let bomb = |claimed: u64| {
        let alter = |manifest: &mut Manifest| {
            manifest.blocks[0].packed = packed.len() as u64;
            manifest.blocks[0].unpacked = claimed;
            manifest.blocks[0].digest = blake3::hash(&packed).to_hex().to_string();
        };
        signed_again(&good(), alter, Some(&packed))
    };
    refused(folder.path(), &bomb(first), "more than its manifest says");
    // What it says of itself is true, and it is still no catalog.
    refused(folder.path(), &bomb(128 << 20), "malformed");
}

#[test]
fn documents_that_are_not_what_is_said_of_them_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let documents = documents();
    let ((first, text), (second, other)) = (&documents[0], &documents[1]);
    let good = change(*first, text);
    let named = Change {
        key: ItemKey::Revision(*second),
        ..good.clone()
    };
    refused(
        folder.path(),
        &own(&[named]),
        "its document says that it is",
    );
    let swapped = Change {
        document: codec::compress(other).unwrap(),
        ..good.clone()
    };
    refused(
        folder.path(),
        &own(&[swapped]),
        "another one than its header says",
    );
    let update = document::parse(text).unwrap();
    let titled = RevisionHeader {
        title: "Another title".to_owned(),
        ..RevisionHeader::new(text, &update, vec![])
    };
    let elsewhere = |sha1: [u8; 20], url: &str| {
        let mu_url = url.to_owned();
        RevisionHeader::new(text, &update, vec![FileLocation { sha1, mu_url }])
    };
    for (header, why) in [
        (titled, "not that of its document"),
        (
            elsewhere([9; 20], "http://x.example/a"),
            "not that of its document",
        ),
        (elsewhere([9; 20], "file:///etc/passwd"), "none of the web"),
    ] {
        let said = Change {
            header: header.to_bytes(),
            ..good.clone()
        };
        refused(folder.path(), &own(&[said]), why);
    }
    let garbage = Change {
        document: vec![1, 2, 3],
        ..good.clone()
    };
    refused(folder.path(), &own(&[garbage]), "cannot be used");
    let flag = Change {
        key: ItemKey::Expiry(first.update_id),
        ..good.clone()
    };
    refused(folder.path(), &own(&[flag]), "no catalog has");
    let approval = Change {
        key: ItemKey::Approval(first.update_id),
        ..good
    };
    refused(folder.path(), &own(&[approval]), "the approval of");
    let records = [(*second, text.clone())];
    refused(
        folder.path(),
        &cab(&[], &records),
        "its document says that it is",
    );
    let records = [(*first, "<a/>".to_owned())];
    refused(folder.path(), &cab(&[], &records), "cannot be used");
}

#[test]
fn tricks_with_names_and_addresses_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let documents = documents();
    let file = |name: &str, url: &str| PackageFile {
        digest: [1; 20],
        url: Some(url.to_owned()),
        name: Some(name.to_owned()),
    };
    let good = file("a.cab", "http://x.example/a.cab");
    read(folder.path(), &cab(&[good], &documents)).unwrap();
    for name in ["../../etc/cron.d/x", "..\\x", "/x", "C:x"] {
        let bytes = cab(&[file(name, "http://x.example/a")], &documents);
        refused(folder.path(), &bytes, "leads out of its folder");
    }
    let bytes = cab(&[file("a", "file:///etc/passwd")], &documents);
    refused(folder.path(), &bytes, "none of the web");
}

#[test]
fn the_genuine_package_is_found_good() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(data.join("wsusutil/export-2024-06-19.cab")).unwrap();
    assert_eq!(read(folder.path(), &bytes).unwrap().revisions, 4_125);
}
