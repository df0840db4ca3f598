//! What the upstream generates, to be compared with what sites hold.

use catalog::RevisionId;
use testkit::Database;
use upstream::generator::{Generator, GeneratorSettings};

/// Arguments of an upstream that generates so many updates.
pub fn generate(updates: u32) -> Vec<String> {
    let updates = updates.to_string();
    [
        "--generate",
        &updates,
        "--seed",
        "7",
        "--evolve-percent",
        "5",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Every `step`th document of that upstream, as it was before any change.
pub fn sample(updates: u32, step: usize) -> Vec<(RevisionId, String)> {
    let generator = Generator::new(GeneratorSettings { seed: 7, updates });
    let recipes = generator.recipes().step_by(step);
    recipes
        .map(|recipe| (generator.id(&recipe), generator.document(&recipe)))
        .collect()
}

/// Checks that a site holds these documents byte for byte.
pub async fn check_documents(database: &Database, expected: &[(RevisionId, String)]) {
    assert!(!expected.is_empty());
    for (id, document) in expected {
        let held = database.document(*id).await;
        assert!(held.as_ref() == Some(document), "{id} differs");
    }
}
