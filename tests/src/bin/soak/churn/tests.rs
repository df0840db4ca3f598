use super::*;
use rand::SeedableRng as _;

/// Does what was planned to the facts alone.
fn apply(facts: &mut Facts, action: &Action) {
    facts.step += 1;
    match action {
        Action::Stop(code) | Action::Kill(code) => {
            facts.sites.get_mut(code).unwrap().up = false;
        }
        Action::Start(code) => facts.sites.get_mut(code).unwrap().up = true,
        Action::Disturb(name, Fault::Cut | Fault::Stall | Fault::Delay) => {
            facts.faults.insert(name.clone(), facts.step);
        }
        Action::Heal(name) => {
            facts.faults.remove(name);
        }
        Action::Join { code, .. } => {
            let site = Site {
                role: Role::Secondary,
                up: true,
                stays: false,
            };
            assert!(facts.sites.insert(code.clone(), site).is_none());
            facts.next += 1;
        }
        Action::Remove(code) => {
            facts.sites.remove(code).unwrap();
        }
        Action::Evolve | Action::Synchronize | Action::Restart | Action::Disturb(..) => {}
    }
}

fn hierarchy() -> Facts {
    let site = |role, stays| Site {
        role,
        up: true,
        stays,
    };
    let mut sites = BTreeMap::from([(CENTRAL.to_owned(), site(Role::Central, true))]);
    for number in 0..3 {
        sites.insert(
            code(Role::Primary, number),
            site(Role::Primary, number == 0),
        );
    }
    for number in 0..16 {
        let stays = number == 0;
        sites.insert(code(Role::Secondary, number), site(Role::Secondary, stays));
    }
    Facts {
        wanted: sites.len(),
        sites,
        next: 16,
        ..Facts::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let story = |seed| {
        let (mut facts, mut rng) = (hierarchy(), StdRng::seed_from_u64(seed));
        let mut story = Vec::new();
        for _ in 0..200 {
            let action = facts.plan(&mut rng);
            apply(&mut facts, &action);
            story.push(action);
        }
        story
    };
    assert_eq!(story(5), story(5));
    assert_ne!(story(5), story(6));
}

#[test]
fn everything_happens_and_what_is_to_stay_stays() {
    let (mut facts, mut rng) = (hierarchy(), StdRng::seed_from_u64(1));
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for step in 0..3000 {
        facts.central_stays = step >= 1500;
        let action = facts.plan(&mut rng);
        assert!(!facts.central_stays || action != Action::Restart);
        if let Action::Join { parent, .. } = &action {
            assert!(facts.sites[parent].up && facts.clean(parent) && facts.clean(CENTRAL));
        }
        apply(&mut facts, &action);
        *counts.entry(action.name()).or_default() += 1;
        let down = facts.sites.values().filter(|site| !site.up).count();
        assert!(down <= 4 && facts.faults.len() <= MOST_FAULTS);
        assert!(facts.sites.values().all(|site| site.up || !site.stays));
        let long = |since: &u64| facts.step - since <= 2 * LONGEST_FAULT + 2 * 5;
        let up = |name: &String| facts.sites.get(name).is_none_or(|site| site.up);
        assert!(
            facts
                .faults
                .iter()
                .all(|(name, since)| !up(name) || long(since) || down > 0)
        );
    }
    assert_eq!(counts.len(), 14, "{counts:?}");
}

#[test]
fn codes_are_three_characters() {
    assert_eq!(code(Role::Secondary, 37), "S11");
    assert_eq!(code(Role::Primary, MOST_CODES - 1), "PZZ");
}
