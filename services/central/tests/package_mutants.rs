//! Packages of both formats that somebody took apart and put together again: blocks doubled, left out, in another
//! order, with lengths that lie, and signed by whoever may sign. Every one is read or refused with a sentence, in
//! bounded memory.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use catalog::content::ContentId;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::{codec, document};
use central::package::format::{Change, END, MAGIC_WITH_FILES};
use central::package::manifest::{Block, BlockKind, Carried, Contents, FilesKind, Manifest};
use central::package::origin::Allowed;
use central::package::piece::Piece;
use central::package::{Checked, Question, Writer, check};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use testkit::door::{sentence, unfit};
use testkit::shared_data;
use trust::{Authority, HierarchyId, SignedStatement, Statement};
use upstream::generator::{Generator, GeneratorSettings};
use uuid::Uuid;

/// What reading packages of some KiB may take besides what the process has, in bytes: the largest buffers are those
/// of one block and one document.
const MOST_MEMORY: u64 = 96 << 20;

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let mut random = StdRng::seed_from_u64(1);
    let hierarchy = HierarchyId(Uuid::from_u128(0xA));
    Authority::create(hierarchy, Timestamp::UNIX_EPOCH, &mut random).unwrap()
});

/// A part of a package before it is put together.
#[derive(Debug, Clone)]
struct Part {
    kind: BlockKind,
    unpacked: Vec<u8>,
    /// What its length is said to be, beyond what it is.
    lie: i64,
}

fn changes() -> Vec<Part> {
    let generator = Generator::new(GeneratorSettings {
        seed: 3,
        updates: 3,
    });
    let recipes = generator.recipes().take(4);
    let parts = recipes.map(|recipe| {
        let (id, text) = (generator.id(&recipe), generator.document(&recipe));
        let update = document::parse(&text).unwrap();
        let change = Change {
            key: ItemKey::Revision(id),
            header: RevisionHeader::new(&text, &update, vec![]).to_bytes(),
            document: codec::compress(&text).unwrap(),
            removed: false,
        };
        let mut unpacked = Vec::new();
        change.write(&mut unpacked).unwrap();
        Part {
            kind: BlockKind::Changes,
            unpacked,
            lie: 0,
        }
    });
    parts.collect()
}

fn pieces() -> Vec<Piece> {
    let piece = |file, size, offset: u64, length: usize| Piece {
        file: ContentId([file; 20]),
        size,
        offset,
        data: vec![file; length],
    };
    vec![
        piece(1, 700, 0, 300),
        piece(1, 700, 300, 400),
        piece(2, 0, 0, 0),
        piece(3, 50, 0, 50),
    ]
}

fn good() -> Vec<Part> {
    let mut parts = changes();
    for piece in pieces() {
        let mut unpacked = Vec::new();
        piece.write(&mut unpacked).unwrap();
        parts.push(Part {
            kind: BlockKind::Files,
            unpacked,
            lie: 0,
        });
    }
    parts
}

/// What the hierarchy says of its catalog.
fn statement() -> SignedStatement {
    AUTHORITY.sign(Statement {
        hierarchy: AUTHORITY.hierarchy(),
        epoch: Uuid::from_u128(7),
        position: 9,
        items: 1,
        root: [1; 32],
        issued: Timestamp::UNIX_EPOCH,
        stale_after: Timestamp::UNIX_EPOCH,
    })
}

/// A package of these parts, signed.
fn put_together(parts: &[Part], carried: Carried) -> Vec<u8> {
    let statement = statement();
    let mut bytes = MAGIC_WITH_FILES.to_vec();
    let blocks = parts.iter().map(|part| {
        let packed = zstd::bulk::compress(&part.unpacked, 1).unwrap();
        bytes.extend(&packed);
        Block {
            kind: part.kind,
            packed: packed.len() as u64,
            unpacked: (part.unpacked.len() as u64).wrapping_add_signed(part.lie),
            digest: blake3::hash(&packed).to_hex().to_string(),
            file: (part.kind == BlockKind::Files).then(|| "AB".repeat(20)),
        }
    });
    let blocks = blocks.collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = Manifest {
        hierarchy: AUTHORITY.hierarchy().0,
        site: "CAS".to_owned(),
        key: AUTHORITY.statement_key().to_string(),
        made: Timestamp::UNIX_EPOCH,
        epoch: Uuid::from_u128(7),
        base: 0,
        position: 9,
        statement: hex(&statement.to_bytes()),
        earlier: vec![],
        contents: Contents {
            files: Some(carried),
            ..Contents::default()
        },
        blocks,
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    bytes.extend(&manifest);
    bytes.extend(AUTHORITY.sign_package(&manifest));
    bytes.extend((manifest.len() as u64).to_le_bytes());
    bytes.extend(END);
    bytes
}

const CARRIED: Carried = Carried {
    kind: FilesKind::Content,
    files: 3,
    bytes: 750,
};

/// What becomes of a package, by somebody who trusts whatever comes.
fn read(folder: &Path, bytes: &[u8]) -> Result<Checked, String> {
    let file = folder.join("a.package");
    fs::write(&file, bytes).unwrap();
    let question = Question {
        own: Uuid::from_u128(0xB),
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
    checked.map_err(|error| sentence(&error))
}

/// Most bytes of memory that this process ever had; none where the system does not say.
fn most_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Notes how much memory there is; checks in the end that not much came to it.
struct Memory(Option<u64>);

impl Memory {
    fn check(&self) {
        if let (Some(before), Some(after)) = (self.0, most_memory()) {
            let more = after - before;
            assert!(more <= MOST_MEMORY, "{more} bytes more");
        }
    }
}

/// One way to take a package apart.
#[derive(Debug, Clone)]
enum Wrong {
    Doubled(Index),
    LeftOut(Index),
    Swapped(Index, Index),
    Cut(Index, Index),
    Flipped(Index, Index, u8),
    Spliced(Index, Index, Vec<u8>),
    Lies(Index, i64),
    OtherKind(Index),
    Joined(Index),
}

fn wrong() -> impl Strategy<Value = Wrong> {
    let place = || any::<Index>();
    let lies = prop_oneof![
        Just(1),
        Just(-1),
        Just(i64::MAX),
        Just(i64::MIN),
        Just(1 << 22),
        // As long as a block with the largest document there can be.
        Just(127 << 20),
        any::<i64>()
    ];
    prop_oneof![
        place().prop_map(Wrong::Doubled),
        place().prop_map(Wrong::LeftOut),
        (place(), place()).prop_map(|(one, other)| Wrong::Swapped(one, other)),
        (place(), place()).prop_map(|(block, at)| Wrong::Cut(block, at)),
        (place(), place(), 0..8_u8).prop_map(|(block, at, bit)| Wrong::Flipped(block, at, bit)),
        (
            place(),
            place(),
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 1..40),
                Just(vec![0xFF; 8]),
                Just(vec![0; 4096]),
            ]
        )
            .prop_map(|(block, at, bytes)| Wrong::Spliced(block, at, bytes)),
        (place(), lies).prop_map(|(block, lie)| Wrong::Lies(block, lie)),
        place().prop_map(Wrong::OtherKind),
        place().prop_map(Wrong::Joined),
    ]
}

fn apply(parts: &mut Vec<Part>, wrong: &Wrong) {
    if parts.is_empty() {
        return;
    }
    let count = parts.len();
    match wrong {
        Wrong::Doubled(at) => {
            let at = at.index(count);
            parts.insert(at, parts[at].clone());
        }
        Wrong::LeftOut(at) => drop(parts.remove(at.index(count))),
        Wrong::Swapped(one, other) => parts.swap(one.index(count), other.index(count)),
        Wrong::Cut(block, at) => {
            let bytes = &mut parts[block.index(count)].unpacked;
            bytes.truncate(at.index(bytes.len() + 1));
        }
        Wrong::Flipped(block, at, bit) => {
            let bytes = &mut parts[block.index(count)].unpacked;
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
        }
        Wrong::Spliced(block, at, new) => {
            let bytes = &mut parts[block.index(count)].unpacked;
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, new.iter().copied());
        }
        Wrong::Lies(block, lie) => parts[block.index(count)].lie = *lie,
        Wrong::OtherKind(block) => {
            let part = &mut parts[block.index(count)];
            part.kind = match part.kind {
                BlockKind::Changes => BlockKind::Files,
                BlockKind::Files => BlockKind::Changes,
            };
        }
        Wrong::Joined(at) => {
            let at = at.index(count);
            if at + 1 < count {
                let next = parts.remove(at + 1);
                parts[at].unpacked.extend(next.unpacked);
            }
        }
    }
}

#[test]
fn a_package_with_files_is_read_and_one_that_says_otherwise_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let parts = good();
    let checked = read(folder.path(), &put_together(&parts, CARRIED)).unwrap();
    assert_eq!(checked.revisions, 4);
    // What the writer writes is the same.
    let (mut writer, mut bytes) = Writer::begin_with(FilesKind::Content);
    for piece in pieces() {
        bytes.extend(writer.push_piece(&piece).unwrap());
    }
    let statement = statement();
    let end = writer.finish(&AUTHORITY, "CAS", 0, &statement, Timestamp::UNIX_EPOCH);
    bytes.extend(end.unwrap());
    assert_eq!(writer.contents().files, Some(CARRIED));
    read(folder.path(), &bytes).unwrap();
    let refused = |parts: &[Part], carried: Carried, why: &str| {
        let error = read(folder.path(), &put_together(parts, carried)).unwrap_err();
        assert!(error.contains(why), "{why:?} is not in {error:?}");
    };
    let more = Carried {
        files: 4,
        ..CARRIED
    };
    refused(&parts, more, "tells of");
    let absurd = Carried {
        files: u64::MAX,
        ..CARRIED
    };
    refused(&parts, absurd, "more files than any");
    refused(&parts[..5], CARRIED, "has no end");
    let mut turned = parts.clone();
    turned.swap(4, 5);
    refused(&turned, CARRIED, "not the one that has to follow");
    turned = parts.clone();
    turned.swap(0, 7);
    refused(&turned, CARRIED, "changes behind the files");
}

#[test]
fn what_was_put_together_in_another_way_is_read_or_refused_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let good = good();
    read(folder.path(), &put_together(&good, CARRIED)).unwrap();
    let memory = Memory(most_memory());
    let config = ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let apart = proptest::collection::vec(wrong(), 1..4);
    proptest!(config, |(apart in apart)| {
        let mut parts = good.clone();
        apart.iter().for_each(|wrong| apply(&mut parts, wrong));
        match read(folder.path(), &put_together(&parts, CARRIED)) {
            Ok(checked) => prop_assert!(checked.revisions <= 12),
            Err(sentence) => prop_assert!(unfit(&sentence).is_none(), "{sentence}"),
        }
    });
    memory.check();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_genuine_export_that_was_damaged_is_read_or_refused_in_bounded_memory() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let genuine = fs::read(data.join("wsusutil/export-2024-06-19.cab")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory(most_memory());
    let config = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let range = || (any::<Index>(), 1..40_000_usize);
    let damage = prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        // Headers and the list of members, where lengths stand.
        (0..200_usize, any::<u32>()).prop_map(|(at, number)| Damage::Number(at, number)),
        (0..200_usize, Just(u32::MAX)).prop_map(|(at, number)| Damage::Number(at, number)),
        any::<Index>().prop_map(Damage::Cut),
        range().prop_map(|(at, length)| Damage::Double(at, length)),
        (range(), any::<Index>()).prop_map(|((at, length), to)| Damage::Move(at, length, to)),
    ];
    proptest!(config, |(damage in damage)| {
        let bytes = damage.done_to(&genuine);
        if let Err(sentence) = read(folder.path(), &bytes) {
            let plain = sentence.replace(&folder.path().display().to_string(), "");
            prop_assert!(unfit(&plain).is_none(), "{sentence}");
        }
    });
    memory.check();
}

/// What becomes of a file on its way.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Number(usize, u32),
    Cut(Index),
    Double(Index, usize),
    Move(Index, usize, Index),
}

impl Damage {
    fn done_to(&self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        match self {
            Self::Flip(at, bit) => bytes[at.index(original.len())] ^= 1 << bit,
            Self::Number(at, number) => bytes[*at..at + 4].copy_from_slice(&number.to_le_bytes()),
            Self::Cut(at) => bytes.truncate(at.index(original.len())),
            Self::Double(at, length) => {
                let at = at.index(original.len());
                let end = (at + length).min(original.len());
                bytes.splice(end..end, original[at..end].iter().copied());
            }
            Self::Move(at, length, to) => {
                let at = at.index(original.len());
                let taken: Vec<u8> = bytes.drain(at..(at + length).min(original.len())).collect();
                let to = to.index(bytes.len() + 1);
                bytes.splice(to..to, taken);
            }
        }
        bytes
    }
}
