//! The house stands as it was drawn: who may use whom, where dependencies come from, how large a
//! file may be.

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything that sites are built of.
const ALL_LIBS: &[&str] = &[
    "admin",
    "catalog",
    "content",
    "daemon",
    "dashboard",
    "hierarchy",
    "journal",
    "link",
    "settings",
    "store",
    "sync",
    "trust",
    "wire",
    "wsus",
];

/// Which of our crates a crate may use in its own code. `docs/architecture.md` has it as a picture.
const MAY_USE: &[(&str, &[&str])] = &[
    ("catalog", &[]),
    ("daemon", &[]),
    ("settings", &["catalog"]),
    ("trust", &["catalog"]),
    ("wire", &["catalog", "trust"]),
    ("hierarchy", &["catalog", "wire"]),
    ("wsus", &["catalog"]),
    ("store", &["catalog", "trust"]),
    ("journal", &["catalog", "daemon", "store", "trust"]),
    ("sync", &["catalog", "daemon", "journal", "store", "trust"]),
    (
        "link",
        &[
            "catalog", "daemon", "journal", "store", "sync", "trust", "wire",
        ],
    ),
    (
        "admin",
        &[
            "catalog", "content", "daemon", "journal", "link", "settings", "store", "sync",
            "trust", "wire",
        ],
    ),
    (
        "content",
        &[
            "catalog", "daemon", "journal", "link", "store", "sync", "wire", "wsus",
        ],
    ),
    (
        "dashboard",
        &[
            "catalog",
            "daemon",
            "hierarchy",
            "settings",
            "trust",
            "wire",
        ],
    ),
    ("central", ALL_LIBS),
    ("agent", ALL_LIBS),
    ("upstream", &["catalog", "daemon", "wsus"]),
    (
        "ctl",
        &[
            "catalog",
            "daemon",
            "hierarchy",
            "journal",
            "link",
            "settings",
            "trust",
            "wire",
        ],
    ),
    (
        "headwater",
        &["agent", "central", "ctl", "daemon", "upstream"],
    ),
];
/// Written for tests and measurements: may use everything, and is used by tests alone.
const TEST_CODE: [&str; 2] = ["system-tests", "testkit"];
/// The program: nothing is built upon it.
const PROGRAM: &str = "headwater";

/// Licences that a dependency may be had under.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // The list of certificate authorities in webpki-roots: data, not code.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What tests alone are built with, under a licence that is not on the list.
const TESTS_ONLY: &[(&str, &str)] = &[
    // What fantoccini drives a browser with: in no program that anybody is given.
    ("webdriver", "MPL-2.0"),
];

/// There is one TLS implementation and one cryptographic provider: rustls on aws-lc-rs.
const BANNED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls"];

/// A file is split before it grows longer.
const MOST_LINES: usize = 600;

/// The manifest's folder as the runner sees it now, else as it was when this was built.
#[expect(
    clippy::disallowed_methods,
    reason = "the test runner tells where the workspace is"
)]
fn root() -> PathBuf {
    let manifest = std::env::var("CARGO_MANIFEST_DIR");
    let tests = manifest.unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let root = Path::new(&tests).parent();
    root.expect("tests/ lies in the workspace").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn metadata(options: &[&str]) -> Metadata {
    let mut command = MetadataCommand::new();
    command.current_dir(root());
    let options = options.iter().map(|option| (*option).to_owned());
    command.other_options(options.collect::<Vec<_>>());
    command.features(CargoOpt::AllFeatures);
    command.exec().expect("cargo metadata")
}

/// Our own crates, without what they stand on.
fn members() -> Vec<Package> {
    metadata(&["--locked", "--no-deps"]).packages
}

/// Fails with all findings, one a line.
fn none(findings: impl IntoIterator<Item = String>, rule: &str) {
    let findings: Vec<String> = findings.into_iter().collect();
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

/// The names of our crates that a crate depends on, for the kinds that are asked for.
fn used(package: &Package, ours: &BTreeSet<String>, kinds: &[DependencyKind]) -> BTreeSet<String> {
    let dependencies = package.dependencies.iter();
    dependencies
        .filter(|dependency| kinds.contains(&dependency.kind) && ours.contains(&dependency.name))
        .map(|dependency| dependency.name.clone())
        .collect()
}

#[test]
fn a_crate_uses_only_what_it_may_know() {
    let members = members();
    let ours: BTreeSet<String> = members
        .iter()
        .map(|member| member.name.to_string())
        .collect();
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let listed = table.keys().chain(&TEST_CODE);
    assert_eq!(
        listed
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>(),
        ours
    );
    let mut findings = Vec::new();
    for member in &members {
        let code = [DependencyKind::Normal, DependencyKind::Build];
        let used_in_code = used(member, &ours, &code);
        if let Some(may) = table.get(member.name.as_str()) {
            findings.extend(
                used_in_code
                    .iter()
                    .filter(|name| !may.contains(&name.as_str()))
                    .map(|name| format!("{} uses {name}", member.name)),
            );
        }
        let used_anywhere = used(member, &ours, &[DependencyKind::Development]);
        if used_anywhere
            .union(&used_in_code)
            .any(|name| name == PROGRAM)
        {
            findings.push(format!("{} uses {PROGRAM}", member.name));
        }
    }
    none(findings, "STYLE: who may use whom");
}

#[test]
fn what_is_started_stands_apart_from_what_is_linked() {
    let findings = members().into_iter().filter_map(|member| {
        let manifest = member.manifest_path.clone().into_std_path_buf();
        let folder = manifest.parent()?.strip_prefix(root()).ok()?.to_owned();
        let name = member.name.as_str();
        let process = ["headwater", "central", "agent", "ctl", "upstream"].contains(&name);
        let expected = match name {
            "system-tests" => PathBuf::from("tests"),
            _ if process => Path::new("services").join(name),
            _ => Path::new("services/libs").join(name),
        };
        (folder != expected).then(|| format!("{name} stands in {}", folder.display()))
    });
    none(
        findings,
        "services/ holds processes, services/libs/ what they link",
    );
}

#[test]
fn every_dependency_comes_from_crates_io_or_a_path() {
    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
    let lock: toml::Table = toml::from_str(&read(root().join("Cargo.lock"))).unwrap();
    let packages = lock["package"].as_array().unwrap();
    let findings = packages.iter().filter_map(|package| {
        let source = package.get("source")?.as_str()?;
        (source != CRATES_IO).then(|| format!("{} from {source}", package["name"]))
    });
    none(findings, "dependencies come from crates.io");
}

#[test]
fn every_version_stands_in_the_workspace() {
    let mut findings = Vec::new();
    for member in members() {
        let manifest: toml::Table = toml::from_str(&read(&member.manifest_path)).unwrap();
        if manifest.get("lints") != Some(&toml::Value::Table(toml::toml! { workspace = true })) {
            findings.push(format!(
                "{}: lints.workspace = true is missing",
                member.name
            ));
        }
        for (key, table) in dependency_tables(&manifest) {
            for (name, dependency) in table {
                if dependency.get("workspace") != Some(&toml::Value::Boolean(true)) {
                    findings.push(format!(
                        "{}: {key}.{name} has no workspace = true",
                        member.name
                    ));
                }
            }
        }
    }
    none(findings, "versions and lints are the workspace's");
}

/// The dependency tables of a manifest, those of single platforms too.
fn dependency_tables(manifest: &toml::Table) -> Vec<(String, &toml::Table)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let parts = targets.into_iter().flat_map(|targets| targets.values());
    let parts = parts.filter_map(toml::Value::as_table).chain([manifest]);
    parts
        .flat_map(|part| part.iter())
        .filter(|(key, _)| key.ends_with("dependencies"))
        .filter_map(|(key, table)| Some((key.clone(), table.as_table()?)))
        .collect()
}

#[test]
fn there_is_one_tls_implementation_and_one_provider() {
    // Not `cargo metadata`: it also names what a weak feature mentions and nobody builds.
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--workspace", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo tree");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    let built: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(built.contains("rustls") && built.contains("aws-lc-rs"));
    let banned = BANNED.iter().filter(|name| built.contains(*name));
    none(
        banned.map(|name| (*name).to_owned()),
        "these crates are not built",
    );
}

#[test]
fn every_licence_is_on_the_list() {
    let host = Command::new("rustc").arg("-vV").output().expect("rustc");
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let metadata = metadata(&["--locked", "--filter-platform", host]);
    let built: BTreeSet<_> = metadata
        .resolve
        .iter()
        .flat_map(|all| &all.nodes)
        .map(|node| &node.id)
        .collect();
    let shipped = shipped(&metadata);
    let findings = metadata
        .packages
        .iter()
        .filter(|package| built.contains(&package.id))
        .filter_map(|package| {
            let licence = package.license.as_deref().unwrap_or("none");
            if TESTS_ONLY.contains(&(package.name.as_str(), licence)) {
                assert!(
                    !shipped.contains(&package.id),
                    "{} is shipped",
                    package.name
                );
                return None;
            }
            (!licence::allowed(licence, LICENCES)).then(|| format!("{}: {licence}", package.name))
        });
    none(findings, "licences that we may pass on");
}

/// All that the program is built of.
fn shipped(metadata: &Metadata) -> BTreeSet<&PackageId> {
    let nodes = metadata.resolve.iter().flat_map(|all| &all.nodes);
    let nodes: BTreeMap<_, _> = nodes.map(|node| (&node.id, node)).collect();
    let program = metadata
        .packages
        .iter()
        .find(|package| package.name == PROGRAM);
    let mut shipped = BTreeSet::new();
    let mut open: Vec<&PackageId> = program.iter().map(|program| &program.id).collect();
    while let Some(id) = open.pop() {
        if !shipped.insert(id) {
            continue;
        }
        let below = nodes.get(id).into_iter().flat_map(|node| &node.deps);
        let below = below.filter(|dependency| {
            let mut kinds = dependency.dep_kinds.iter();
            kinds.any(|kind| kind.kind != DependencyKind::Development)
        });
        open.extend(below.map(|dependency| &dependency.pkg));
    }
    assert!(shipped.len() > 100, "the program has dependencies");
    shipped
}

#[test]
fn the_list_of_licences_is_the_one_of_cargo_deny() {
    let deny: toml::Table = toml::from_str(&read(root().join("deny.toml"))).unwrap();
    let list = deny["licenses"]["allow"].as_array().unwrap();
    let list: BTreeSet<&str> = list.iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(list, LICENCES.iter().copied().collect());
}

#[test]
fn no_source_file_is_too_long() {
    let mut findings = Vec::new();
    for folder in ["services", "tests"] {
        for file in sources(&root().join(folder)) {
            let lines = read(&file).lines().count();
            if lines > MOST_LINES {
                findings.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    none(findings, "a file is split at 600 lines");
}

#[test]
fn modules_have_names() {
    let files = ["services", "tests"].map(|folder| sources(&root().join(folder)));
    let findings = files.into_iter().flatten().filter(|file| {
        let name = file.file_stem().and_then(|name| name.to_str());
        matches!(
            name,
            Some("mod" | "utils" | "common" | "helpers" | "manager")
        )
    });
    none(
        findings.map(|file| file.display().to_string()),
        "a name says what is in it",
    );
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of ours") {
        let entry = entry.expect("an entry of it");
        let path = entry.path();
        if entry.file_type().expect("its kind").is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// SPDX expressions, as far as crates use them: names, `WITH`, `AND`, `OR`, parentheses, and the old
/// `/` for `OR`.
mod licence {
    /// Whether an expression can be met with licences of a list alone.
    pub fn allowed(expression: &str, list: &[&str]) -> bool {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ");
        let spaced = spaced.replace('/', " OR ").replace(" WITH ", "\u{1}");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut words = words.as_slice();
        alternatives(&mut words, list) == Some(true) && words.is_empty()
    }

    fn alternatives(words: &mut &[&str], list: &[&str]) -> Option<bool> {
        let mut met = all_of(words, list)?;
        while let ["OR", rest @ ..] = *words {
            *words = rest;
            met |= all_of(words, list)?;
        }
        Some(met)
    }

    fn all_of(words: &mut &[&str], list: &[&str]) -> Option<bool> {
        let mut met = one(words, list)?;
        while let ["AND", rest @ ..] = *words {
            *words = rest;
            met &= one(words, list)?;
        }
        Some(met)
    }

    fn one(words: &mut &[&str], list: &[&str]) -> Option<bool> {
        let (first, rest) = words.split_first()?;
        *words = rest;
        if *first != "(" {
            return Some(list.contains(&first.replace('\u{1}', " WITH ").as_str()));
        }
        let met = alternatives(words, list)?;
        let (end, rest) = words.split_first()?;
        *words = rest;
        (*end == ")").then_some(met)
    }

    #[test]
    fn an_expression_is_met_by_the_list_or_not() {
        let list = ["MIT", "ISC", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "ISC AND (Apache-2.0 OR GPL-3.0)",
            "Apache-2.0 WITH LLVM-exception",
            "(MIT OR Apache-2.0) AND ISC",
        ] {
            assert!(allowed(good, &list), "{good}");
        }
        for bad in [
            "",
            "none",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "ISC AND (GPL-2.0 OR GPL-3.0)",
            "MIT WITH LLVM-exception",
            "(MIT",
            "MIT)",
            "MIT ISC",
        ] {
            assert!(!allowed(bad, &list), "{bad}");
        }
    }
}
