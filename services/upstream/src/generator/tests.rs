use super::*;
use catalog::document::{self, PublicationState, Update, UpdateType};
use catalog::order::topological;
use catalog::supersedence::Supersedence;
use std::collections::BTreeMap;

fn generator(seed: u64, updates: u32) -> Generator {
    Generator::new(GeneratorSettings { seed, updates })
}

fn documents(generator: &Generator) -> Vec<String> {
    let recipes = generator.recipes();
    recipes.map(|recipe| generator.document(&recipe)).collect()
}

fn at() -> Timestamp {
    "2026-02-10T18:00:00Z".parse().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    assert_eq!(documents(&generator(7, 300)), documents(&generator(7, 300)));
    let (a, b) = (generator(7, 300), generator(8, 300));
    assert_ne!(documents(&a), documents(&b));
    let id = |generator: &Generator| generator.recipes().last().map(|r| generator.id(&r));
    assert_ne!(id(&a), id(&b));
}

/// Pins the bytes of a seed: measurements refer to a catalog by its seed. If this fails, the catalogs of
/// all seeds have changed, and that should be meant.
#[test]
fn the_bytes_of_a_seed_never_change() {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in documents(&generator(1, 1000))
        .iter()
        .flat_map(|text| text.bytes())
    {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    assert_eq!(format!("{hash:016x}"), "80589c66a1682e27");
}

#[test]
fn the_number_of_updates_is_exact() {
    for updates in [0, 1, 2, 3, 10, 100, 1234] {
        let generator = generator(3, updates);
        let software = generator
            .recipes()
            .filter(|recipe| !generator.is_configuration(recipe));
        assert_eq!(software.count(), usize::try_from(updates).unwrap());
    }
}

#[test]
fn every_document_parses_and_says_what_the_recipe_says() {
    let mut generator = generator(11, 2500);
    let initial: Vec<Recipe> = generator.recipes().collect();
    let changes = generator.evolve(5.0, at());
    for recipe in initial.iter().chain(&changes.revisions) {
        let text = generator.document(recipe);
        let update = document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(Relations::from(&update), generator.relations(recipe));
        assert_eq!(
            update.is_configuration(),
            generator.is_configuration(recipe)
        );
        assert_eq!(update.creation_date, generator.created(recipe));
        assert!(!update.title("en").is_empty());
    }
}

#[test]
fn the_catalog_is_complete_and_in_topological_order() {
    let mut generator = generator(5, 3000);
    let mut relations: Vec<Relations> = generator
        .recipes()
        .map(|recipe| generator.relations(&recipe))
        .collect();
    let first = relations.len();
    for _ in 0..3 {
        let changes = generator.evolve(2.0, at());
        relations.extend(
            changes
                .revisions
                .iter()
                .map(|recipe| generator.relations(recipe)),
        );
    }
    assert!(relations.len() > first);
    let ids: HashSet<RevisionId> = relations.iter().map(|r| r.id).collect();
    assert_eq!(ids.len(), relations.len(), "no revision is made twice");
    let updates: HashSet<UpdateId> = ids.iter().map(|id| id.update_id).collect();
    for entry in &relations {
        assert!(
            entry.bundled.iter().all(|id| ids.contains(id)),
            "{}",
            entry.id
        );
        assert!(
            entry.prerequisites.iter().all(|id| updates.contains(id)),
            "{}",
            entry.id
        );
    }
    assert!(topological(&relations).into_iter().eq(0..relations.len()));
}

#[test]
fn the_shape_is_that_of_a_real_catalog() {
    let generator = generator(1, 6000);
    let texts = documents(&generator);
    let updates: Vec<Update> = texts
        .iter()
        .map(|text| document::parse(text).unwrap())
        .collect();
    let tree = catalog::category::CategoryTree::from_updates(&updates, "en");
    let software: Vec<&Update> = updates.iter().filter(|u| !u.is_configuration()).collect();

    let mut lengths: Vec<usize> = (0..texts.len())
        .filter(|&index| !updates[index].is_configuration())
        .map(|index| texts[index].len())
        .collect();
    lengths.sort_unstable();
    let mean = lengths.iter().sum::<usize>() / lengths.len();
    let median = lengths[lengths.len() / 2];
    assert!((1500..=3000).contains(&median), "median {median}");
    assert!((3000..=5500).contains(&mean), "mean {mean}");
    let longest = *lengths.last().unwrap();
    assert!((200_000..=900_000).contains(&longest), "longest {longest}");
    assert!(lengths.iter().filter(|length| **length > 50_000).count() >= 10);

    let mut by_classification: BTreeMap<UpdateId, usize> = BTreeMap::new();
    for update in software
        .iter()
        .filter(|update| update.explicitly_deployable)
    {
        let classification = tree
            .classification_of(update)
            .expect("every parent has one");
        *by_classification.entry(classification).or_default() += 1;
        assert!(!tree.products_of(update).is_empty());
    }
    assert!(by_classification.len() >= 9, "{by_classification:?}");
    assert!(
        by_classification
            .keys()
            .all(|id| CLASSIFICATIONS.iter().any(|c| c.id == *id))
    );

    let expired = |u: &&&Update| u.publication_state == PublicationState::Expired;
    let share = software.iter().filter(expired).count() * 1000 / software.len();
    assert!((20..=200).contains(&share), "{share} of 1000 are expired");
    assert!(software.iter().any(|u| u.update_type == UpdateType::Driver));
    assert!(
        software
            .iter()
            .any(|u| u.eula_id.is_some() && !u.eula_files.is_empty())
    );
    assert!(software.iter().any(|u| u.titles.len() > 10));
    assert!(
        software
            .iter()
            .any(|u| !u.cve_ids.is_empty() && u.msrc_severity.is_some())
    );
    assert!(software.iter().any(|u| u.files.len() > 10));
    let bundles_and_is_member = |u: &&Update| !u.explicitly_deployable && !u.bundled.is_empty();
    assert!(
        software.iter().any(bundles_and_is_member),
        "some bundles are nested"
    );
    assert!(texts.iter().any(|text| text.contains("&#xD;")));
    assert!(texts.iter().any(|text| text.contains("<!--")));

    let pairs = software
        .iter()
        .map(|u| (u.id.update_id, u.superseded.iter().copied()));
    let supersedence = Supersedence::new(pairs);
    let longest_chain = software
        .iter()
        .map(|u| supersedence.all_superseded(u.id.update_id).len())
        .max();
    assert_eq!(longest_chain, Some(35), "a chain is three years of months");
}

#[test]
fn a_step_adds_revises_and_withdraws_in_these_shares() {
    let mut generator = generator(9, 10_000);
    let before: BTreeMap<UpdateId, u32> = generator
        .recipes()
        .map(|r| generator.id(&r))
        .map(|id| (id.update_id, id.revision))
        .collect();
    let changes = generator.evolve(1.0, at());
    assert!((60..70).contains(&changes.added), "{}", changes.added);
    assert!((30..40).contains(&changes.revised), "{}", changes.revised);
    assert_eq!(changes.expired, 10);
    let total = changes.added + changes.revised + changes.expired;
    assert_eq!(changes.revisions.len(), total);
    let (mut new, mut withdrawn) = (0, 0);
    for recipe in &changes.revisions {
        let update = document::parse(&generator.document(recipe)).unwrap();
        assert_eq!(update.creation_date, at());
        match before.get(&update.id.update_id) {
            None => new += 1,
            Some(&old) => assert!(update.id.revision > old, "{}", update.id),
        }
        withdrawn += usize::from(update.publication_state == PublicationState::Expired);
    }
    assert_eq!((new, withdrawn), (changes.added, changes.expired));
}

#[test]
fn steps_follow_from_the_seed_and_their_number() {
    let (mut a, mut b) = (generator(9, 500), generator(9, 500));
    let first = a.evolve(1.0, at());
    assert_eq!(first, b.evolve(1.0, at()));
    assert_ne!(first.revisions, a.evolve(1.0, at()).revisions);
}

#[test]
fn the_smallest_catalog_still_evolves() {
    let mut generator = generator(1, 0);
    let changes = generator.evolve(1.0, at());
    assert!(changes.added >= 1);
    assert_eq!(changes.revised, 0);
}
