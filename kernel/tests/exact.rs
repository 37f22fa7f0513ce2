//! The size shown is the size built: no byte of difference, for whole images and for changes of one decision.

use std::path::Path;

use bespoke_kernel::{Os, Payload, Plan, Sizer};
use bespoke_model::{Config, Decision, Decisions, Kind, Measure, NodeId, ParamType, Resolution, Tree};

const SEED: u64 = 0x5eed_0b35_9b0c_e000;
const ROUNDS: usize = 200;

fn payload() -> Payload {
    let text = "schema = 1\n[program]\npath = \"demo:hello\"\nargs = [\"one\", \"two\"]\n[files]\n\"/etc/a\" = \"Cargo.toml\"\n";
    let config = Config::parse("exact.toml", text).unwrap();
    Payload::load(&config, Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A decision for something, at random.
fn decide(rng: &mut fastrand::Rng, tree: &Tree) -> (String, Decision) {
    let nodes: Vec<NodeId> = tree.nodes().filter(|n| tree.node(*n).kind != Kind::Menu).collect();
    let params: Vec<_> = tree.params().collect();
    let at = rng.usize(..nodes.len() + params.len());
    if let Some(n) = nodes.get(at) {
        let node = tree.node(*n);
        return match node.kind {
            Kind::Choice => {
                let member = node.children[rng.usize(..node.children.len())];
                let name = bespoke_model::last_part(&tree.node(member).id).to_owned();
                (node.id.clone(), Decision::Text(name))
            }
            _ => (node.id.clone(), Decision::Bool(rng.bool())),
        };
    }
    let param = tree.param(params[at - nodes.len()]);
    let decision = match &param.ty {
        ParamType::Bool => Decision::Bool(rng.bool()),
        ParamType::Int { min, max, step } => {
            let steps = ((i128::from(*max) - i128::from(*min)) / i128::from(*step)).min(1 << 40) as u64;
            Decision::Int(min.wrapping_add((rng.u64(..=steps) * step) as i64))
        }
        ParamType::Size { min, max, step } => {
            Decision::Int((min + rng.u64(..=(max - min) / step) * step).min(i64::MAX as u64) as i64)
        }
        ParamType::Enum { values } => Decision::Text(values[rng.usize(..values.len())].clone()),
        ParamType::Str { pattern: None } => {
            Decision::Text((0..rng.usize(..40)).map(|_| rng.alphanumeric()).collect())
        }
        _ => Decision::Text(param.default.to_string()),
    };
    (param.id.clone(), decision)
}

/// A valid config, at random: the model's, and some more decisions as far as they do not contradict it.
fn random_config(rng: &mut fastrand::Rng, tree: &Tree) -> (Decisions, Resolution) {
    let mut decisions = tree.random(rng.u64(..));
    let mut resolution = tree.resolve(&decisions).unwrap();
    for _ in 0..rng.usize(..20) {
        let (id, decision) = decide(rng, tree);
        let mut next = decisions.clone();
        next.set(&id, Some(decision));
        if let Ok(resolved) = tree.resolve(&next) {
            (decisions, resolution) = (next, resolved);
        }
    }
    (decisions, resolution)
}

fn written(os: &Os, resolution: &Resolution, payload: &Payload, at: &Path) -> u64 {
    let plan = Plan::new(os, resolution, payload).unwrap();
    let written = plan.write(at).unwrap();
    let length = std::fs::metadata(&written.image).unwrap().len();
    assert_eq!(length, plan.image_bytes());
    length
}

#[test]
fn random_configs_are_as_large_as_predicted() {
    let (os, payload) = (Os::embedded(), payload());
    let sizer = Sizer::new(os, &payload);
    let dir = tempfile::tempdir().unwrap();
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut sizes = std::collections::BTreeSet::new();
    for _ in 0..ROUNDS {
        let (_, resolution) = random_config(&mut rng, &os.tree);
        let predicted = sizer.footprint(&resolution);
        let plan = Plan::new(os, &resolution, &payload).unwrap();
        assert_eq!(predicted, plan.footprint());
        assert_eq!(predicted.image_bytes, written(os, &resolution, &payload, &dir.path().join("image")));
        sizes.insert(predicted.image_bytes);
    }
    assert!(sizes.len() > ROUNDS / 4, "only {} different sizes: the configs are not random", sizes.len());
}

#[test]
fn random_toggles_change_the_size_as_predicted() {
    let (os, payload) = (Os::embedded(), payload());
    let sizer = Sizer::new(os, &payload);
    let dir = tempfile::tempdir().unwrap();
    let mut rng = fastrand::Rng::with_seed(SEED + 1);
    let (mut done, mut changed) = (0, 0);
    while done < ROUNDS {
        let (mut decisions, before) = random_config(&mut rng, &os.tree);
        let (id, decision) = decide(&mut rng, &os.tree);
        decisions.set(&id, Some(decision));
        let Ok(after) = os.tree.resolve(&decisions) else { continue };
        if before == after {
            continue;
        }
        let predicted = sizer.footprint(&before).delta(&sizer.footprint(&after)).image_bytes;
        let old = written(os, &before, &payload, &dir.path().join("before"));
        let new = written(os, &after, &payload, &dir.path().join("after"));
        assert_eq!(predicted, new as i64 - old as i64, "{id}");
        done += 1;
        changed += usize::from(predicted != 0);
    }
    assert!(changed > ROUNDS / 8, "only {changed} of {ROUNDS} changes had a size");
}

/// A component that can go alone takes exactly its bytes with it.
#[test]
fn component_bytes_leave_with_the_component() {
    let (os, payload) = (Os::embedded(), payload());
    let sizer = Sizer::new(os, &payload);
    let mut rng = fastrand::Rng::with_seed(SEED + 2);
    let mut compared = 0;
    for _ in 0..20 {
        let (decisions, before) = random_config(&mut rng, &os.tree);
        let whole = sizer.footprint(&before).image_bytes;
        let all = sizer.all_component_bytes(&before);
        for n in os.tree.nodes() {
            assert_eq!(all[n.index()], sizer.component_bytes(&before, n));
            if !before.is_on(n) {
                assert_eq!(all[n.index()], 0);
                continue;
            }
            if os.tree.node(n).kind != Kind::Component || os.tree.choice_of(n).is_some() {
                continue;
            }
            let mut without = decisions.clone();
            without.set(&os.tree.node(n).id, Some(Decision::Bool(false)));
            let Ok(after) = os.tree.resolve(&without) else { continue };
            let effect = os.tree.effect(&before, after, None);
            if effect.turned_off == [n] && effect.turned_on.is_empty() && effect.params.is_empty() {
                let left = sizer.footprint(&effect.after).image_bytes;
                assert_eq!(whole - left, all[n.index()], "{}", os.tree.node(n).id);
                compared += 1;
            }
        }
    }
    assert!(compared > 50, "only {compared} components could go alone");
}
