//! Reasons, fixes, layers, comparison, migration, listing and schema on a small tree.

mod small;
mod synthetic;

use bespoke_model::*;
use small::tree;
use synthetic::Shape;

fn decided(pairs: &[(&str, Decision)]) -> Decisions {
    let mut d = Decisions::new();
    for (id, to) in pairs {
        d.set(id, Some(to.clone()));
    }
    d
}

/// Every component weighs as much as its id has letters.
struct Letters<'a>(&'a Tree);

impl Measure for Letters<'_> {
    fn footprint(&self, r: &Resolution) -> Footprint {
        let bytes = r.components(self.0).map(|n| self.0.node(n).id.len() as u64).sum();
        Footprint { image_bytes: bytes, os_bytes: bytes, ..Footprint::default() }
    }
    fn component_bytes(&self, _: &Resolution, n: NodeId) -> u64 {
        self.0.node(n).id.len() as u64
    }
}

#[test]
fn a_refusal_says_why_and_what_would_help() {
    let tree = tree();
    let d = decided(&[("net.tcp.sack", Decision::ON)]);
    let r = tree.resolve(&d).unwrap();
    let ask = [Change::new("net.ipv4", Decision::OFF)];
    let refusal = tree.preview(&d, &r, &ask, Some(&Letters(&tree))).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "Because you turned net.tcp.sack on, net.tcp.sack is part of net.tcp and net.tcp requires net.ipv4, net.ipv4 cannot be off."
    );
    let [fix] = refusal.fixes.as_slice() else { panic!("{refusal:?}") };
    assert_eq!(fix.changes, [Change::new("net.tcp.sack", None)]);
    assert_eq!(fix.describe(), "let net.tcp.sack follow");
    assert!(fix.minimal);
    let gone = "net.ipv4 net.tcp net.tcp.sack net.dns driver.virtio-net".replace(' ', "").len() as i64;
    assert_eq!(fix.effect.as_ref().unwrap().delta.unwrap().image_bytes, -gone);
    let requires = refusal.because.iter().find_map(Reason::place).unwrap();
    assert_eq!((requires.file.as_str(), requires.line, requires.column), ("net.tcp", 3, 11));
}

#[test]
fn every_alternative_gone_is_told_in_full() {
    let tree = tree();
    let d = decided(&[("driver.loopback", Decision::OFF), ("driver.virtio-net", Decision::OFF)]);
    let r = tree.resolve(&d).unwrap();
    let refusal = tree.preview(&d, &r, &[Change::new("net.ipv4", Decision::ON)], None).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "Because net.ipv4 requires any of driver.virtio-net, driver.loopback, you turned driver.loopback off and you turned driver.virtio-net off, net.ipv4 cannot be on."
    );
    let fixes: Vec<String> = refusal.fixes.iter().map(Fix::describe).collect();
    assert_eq!(fixes, ["let driver.loopback follow", "let driver.virtio-net follow"]);
    assert!(refusal.fixes.iter().all(|f| f.minimal));
}

#[test]
fn what_is_core_stays_and_nothing_helps() {
    let tree = tree();
    let d = Decisions::new();
    let r = tree.resolve(&d).unwrap();
    let refusal = tree.preview(&d, &r, &[Change::new("boot", Decision::OFF)], None).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "Because boot is always on (nothing starts without it), boot cannot be off."
    );
    assert!(refusal.fixes.is_empty());
}

#[test]
fn a_parameter_may_require_and_a_fix_may_change_it() {
    let tree = tree();
    let mut d = decided(&[("log", Decision::ON), ("log.level", "debug".into())]);
    let r = tree.resolve(&d).unwrap();
    let symbols = tree.find("symbols").unwrap();
    assert!(r.is_on(symbols));
    assert_eq!(r.origin(symbols), &Origin::RequiredBy(tree.find("log").unwrap()));
    let refusal = tree.preview(&d, &r, &[Change::new("symbols", Decision::OFF)], None).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "Because you turned log on, you set log.level = debug and log.level requires symbols when it is debug, symbols cannot be off."
    );
    let fixes: Vec<String> = refusal.fixes.iter().map(Fix::describe).collect();
    assert_eq!(fixes, ["let log follow", "let log.level follow"]);
    d.set("log.level", None);
    assert!(!tree.resolve(&d).unwrap().is_on(symbols));
}

#[test]
fn a_fix_says_the_opposite_where_another_layer_speaks_below() {
    let tree = tree();
    let preset = Config::parse("p.toml", "[set]\n\"net.tcp\" = true\n").unwrap();
    let mine = Config::parse("c.toml", "extends = \"preset:web\"\n[set]\n\"net.ipv4\" = false\n").unwrap();
    let d = Decisions::from_config(&mine, &[("preset:web", &preset)]);
    let refusal = tree.resolve(&d).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "Because preset web turns net.tcp on, net.tcp requires net.ipv4 and you turned net.ipv4 off, what is decided cannot be kept together."
    );
    let fixes: Vec<String> = refusal.fixes.iter().map(Fix::describe).collect();
    assert_eq!(fixes, ["turn net.tcp off", "let net.ipv4 follow"]);
}

#[test]
fn layers_hide_and_show_again() {
    let preset =
        Config::parse("p.toml", "[set]\n\"heap\" = \"linked\"\n[fit]\n\"net.tcp\" = true\n").unwrap();
    let mine =
        Config::parse("c.toml", "[set]\nheap = \"talc\"\n[fit]\nheap = \"linked\"\nlog = true\n").unwrap();
    let mut d = Decisions::from_config(&mine, &[("preset:x", &preset)]);
    assert_eq!(d.get("heap"), Some((&"talc".into(), &By::User)));
    assert_eq!(d.get("log"), Some((&Decision::ON, &By::Fit)));
    assert_eq!(d.get("net.tcp"), Some((&Decision::ON, &By::Preset("preset:x".into()))));
    d.set("heap", None);
    assert_eq!(d.get("heap"), Some((&"linked".into(), &By::Fit)));
    d.insert("heap", By::Fit, None);
    assert_eq!(d.get("heap").unwrap().1, &By::Preset("preset:x".into()));
    d.set("heap", Some("talc".into()));
    d.insert("heap", By::Fit, Some("linked".into()));
    let order: Vec<&By> = d.layers("heap").iter().map(|(_, by)| by).collect();
    assert_eq!(order, [&By::User, &By::Fit, &By::Preset("preset:x".into())]);
}

#[test]
fn explains_what_is_on_what_is_off_and_parameters() {
    let tree = tree();
    let d = decided(&[("net.tcp.sack", Decision::ON), ("quiet", Decision::ON)]);
    let r = tree.resolve(&d).unwrap();
    let tell = |id: &str| tree.explain(&d, &r, id, None).unwrap().prose;
    assert_eq!(
        tell("driver.virtio-net"),
        "driver.virtio-net is on because you turned net.tcp.sack on, net.tcp.sack is part of net.tcp, net.tcp requires net.ipv4 and net.ipv4 requires any of driver.virtio-net, driver.loopback. net.ipv4 needs it. Turning it off would turn on driver.loopback."
    );
    assert_eq!(
        tell("log"),
        "log is off: nothing that is on asks for it. It cannot be turned on. Because you turned quiet on and log conflicts with quiet, log cannot be on. What would help: let quiet follow."
    );
    assert_eq!(
        tell("heap.linked"),
        "heap.linked is off because heap.talc is on by default and heap cannot be both heap.talc and heap.linked. Turning it on would turn off heap.talc."
    );
    assert_eq!(
        tell("net.tcp.receive-buffer"),
        "net.tcp.receive-buffer is 64KiB, as declared. It takes a size such as 64KiB from 4KiB to 16MiB."
    );
    assert!(tree.explain(&d, &r, "no.such", None).is_none());
    let json = serde_json::to_value(tree.explain(&d, &r, "log", None)).unwrap();
    assert_eq!(json["toggle"]["answer"], "refused");
    assert_eq!(json["toggle"]["because"][0]["kind"], "decided");
}

#[test]
fn a_listing_holds_everything_that_is_on_and_why() {
    let tree = tree();
    let d = decided(&[("net.ipv4", Decision::ON)]);
    let r = tree.resolve(&d).unwrap();
    let listing = tree.listing(&d, &r, Some(&Letters(&tree)));
    let version = tree.version();
    assert_eq!(
        listing.to_string(),
        format!(
            "tree {version}\nboot  4 B  (core)\ndriver.virtio-net  17 B  (required by net.ipv4: you turned net.ipv4 on, net.ipv4 requires any of driver.virtio-net, driver.loopback)\nheap.talc  9 B  (choice)\nnet.ipv4  8 B  (user)\nheap = talc  (core)\n"
        )
    );
}

#[test]
fn differences_and_merges_know_no_spelling() {
    let base = Config::parse("b", "[set]\na = true\nb = 16\nc = \"x\"\n").unwrap();
    let ours = Config::parse("o", "# ours\n[set]\na = false # no\nb = 0x10\nc = \"x\"\nd = true\n").unwrap();
    let theirs = Config::parse("t", "[set]\na = true\nb = 32 # more\ne = \"new\" # theirs\n").unwrap();
    let told: Vec<String> = base.diff(&ours).iter().map(Difference::to_string).collect();
    assert_eq!(told, ["[set] a: true -> false", "[set] d: nothing -> true"]);
    let merge = Config::merge(&base, &ours, &theirs);
    assert!(merge.conflicts.is_empty());
    assert_eq!(
        merge.config.to_string(),
        "# ours\n[set]\na = false # no\nb = 32 # more\nd = true\ne = \"new\" # theirs\n"
    );
    let other = Config::parse("t", "[set]\na = \"maybe\"\nb = 16\n").unwrap();
    let merge = Config::merge(&base, &ours, &other);
    let [conflict] = merge.conflicts.as_slice() else { panic!("{merge:?}") };
    assert_eq!((conflict.key.as_str(), &conflict.ours), ("a", &Some(false.into())));
    assert_eq!(merge.config.get("a"), Some(&Decision::OFF));
    assert_eq!(merge.config.get("c"), None);
    assert_eq!(Config::merge(&base, &base, &theirs).config.diff(&theirs), []);
}

#[test]
fn old_configs_are_brought_up_to_date() {
    let tree = tree();
    let text = "[set]\n# the heap\nheap = \"buddy\" # fast\n\"net.resolver\" = true # names\n\"driver.rtl8139\" = true\n";
    let mut config = Config::parse("c", text).unwrap();
    let done: Vec<String> = tree.migrate(&mut config).iter().map(Migration::to_string).collect();
    assert_eq!(
        done,
        [
            "driver.rtl8139 is gone: use driver.virtio-net",
            "member buddy of heap is called talc now",
            "net.resolver is called net.dns now"
        ]
    );
    assert_eq!(config.to_string(), "[set]\n# the heap\nheap = \"talc\" # fast\n\"net.dns\" = true # names\n");
    assert!(tree.check(&config).is_empty());
    assert_eq!(tree.migrate(&mut config), []);
}

#[test]
fn lint_finds_what_is_legal_and_wrong() {
    let sources = [
        ("a", "title='A'\nhelp='a support'\nrequires=['b']"),
        ("b", "title='B'\nhelp='Needs the first.'\nrequires=['a']"),
        ("c", "title='C'\nhelp='Never.'\nrequires=['a']\nconflicts=['b']"),
        ("d", "title='D'\nhelp='Picks one.'\nkind='choice'"),
        ("d.x", "title='X'\nhelp='The only one.'"),
        ("e", "title='E'\nhelp='Wants a clock.'\nrequires=[{any=['cap:clok','a']}]\nwas=['b']"),
        ("f", "title='F'\nhelp='Has a clock.'\nprovides=['cap:clock']"),
    ]
    .map(|(id, text)| Source { id, file: id, text });
    let found = Tree::load(&sources).unwrap().lint().to_string();
    for want in [
        "warning: the help of `a` says nothing",
        "warning: choice `d` does not say its default",
        "warning: nothing provides `cap:clok`\n --> e:3:11",
        "did you mean `cap:clock`?",
        "warning: `b` is named as a former id and is in use",
        "warning: `c` can never be on",
        "hint: because a requires b, c requires a and c conflicts with b",
        "note: a and b require each other: they are only ever on together",
    ] {
        assert!(found.contains(want), "{want}\n\n{found}");
    }
    assert_eq!(found.matches("warning").count() + found.matches("note").count(), 6, "{found}");
}

#[test]
fn the_schema_knows_every_id() {
    let tree = tree();
    let schema = tree.json_schema();
    let ids = schema["$defs"]["decisions"]["properties"].as_object().unwrap();
    let mut known: Vec<&str> = tree.decidable_ids().collect();
    known.sort_unstable();
    let mut listed: Vec<&str> = ids.keys().map(String::as_str).collect();
    listed.sort_unstable();
    assert_eq!(listed, known);
    assert_eq!(ids["heap"]["enum"], serde_json::json!(["linked", "talc"]));
    assert_eq!(ids["heap"]["default"], "talc");
    assert_eq!(ids["log.level"]["enum"], serde_json::json!(["error", "debug"]));
    assert_eq!(ids["boot"]["const"], true);
}

#[test]
fn random_configs_are_valid_and_reach_everything() {
    let tree = synthetic::load(&synthetic::texts(3, &Shape::real(120)));
    let (mut on, mut off) = (vec![false; tree.len()], vec![false; tree.len()]);
    for seed in 0..400 {
        let d = tree.random(seed);
        assert_eq!(d, tree.random(seed));
        let r = tree.resolve(&d).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for n in tree.nodes() {
            let reached = if r.is_on(n) { &mut on } else { &mut off };
            reached[n.index()] = true;
        }
    }
    for n in tree.nodes().filter(|n| tree.node(*n).kind == Kind::Component) {
        let id = &tree.node(n).id;
        for (reached, to) in [(&on, Decision::ON), (&off, Decision::OFF)] {
            let mut alone = Decisions::new();
            alone.set(id, Some(to));
            assert_eq!(reached[n.index()], tree.resolve(&alone).is_ok(), "{id}");
        }
    }
}

#[test]
fn random_edits_survive_saving_and_undo() {
    use rand::RngExt;
    let tree = synthetic::load(&synthetic::texts(5, &Shape::real(60)));
    for seed in 0..200 {
        let rng = &mut synthetic::rng(seed);
        let mut history = History::new(Config::new("c.toml"));
        let mut seen = vec![history.now().clone()];
        for _ in 0..12 {
            let mut config = history.now().clone();
            let (id, to) = synthetic::decision(rng, &tree);
            let to = rng.random_bool(0.8).then_some(to);
            config.set(&id, to.clone());
            assert_eq!(config.get(&id), to.as_ref());
            let again = Config::parse("c.toml", &config.to_string()).unwrap();
            assert_eq!(again, config);
            assert!(again.diff(&config).is_empty() && tree.check(&again).is_empty());
            history.record(id, config);
            if seen.last() != Some(history.now()) {
                seen.push(history.now().clone());
            }
        }
        while history.undo().is_some() {
            seen.pop();
            assert_eq!(seen.last(), Some(history.now()));
        }
        assert_eq!(seen.len(), 1);
    }
}

#[test]
fn a_first_answer_works_and_the_search_for_a_smaller_one_can_be_stopped() {
    use std::sync::atomic::AtomicBool;
    let (mut refused, mut larger) = (0, 0);
    for seed in 0..8 {
        let tree = synthetic::load(&synthetic::texts(seed, &Shape::real(300)));
        let d = tree.random(seed);
        let r = tree.resolve(&d).unwrap();
        for n in tree.nodes() {
            let Some(change) = tree.toggle(&r, n) else { continue };
            let ask = std::slice::from_ref(&change);
            let Err(quick) = tree.preview_within(&d, &r, ask, None, &Budget::first_answer()) else {
                continue;
            };
            let stopped = AtomicBool::new(true);
            let none = tree.preview_within(&d, &r, ask, None, &Budget::until(&stopped)).unwrap_err();
            assert!(none.fixes.iter().all(|f| f.changes.len() == 1 || !f.minimal));
            assert_eq!(none.because, quick.because);
            let whole = tree.preview(&d, &r, ask, None).unwrap_err();
            assert_eq!(whole.fixes.is_empty(), quick.fixes.is_empty(), "seed {seed}: {whole}");
            let Some(fix) = quick.fixes.first() else { continue };
            refused += 1;
            let mut settled = d.clone();
            for c in ask.iter().chain(&fix.changes) {
                settled.set(&c.id, c.to.clone());
            }
            assert_eq!(tree.resolve(&settled).as_ref(), Ok(&fix.after), "seed {seed}");
            if whole.fixes[0].minimal {
                assert!(whole.fixes[0].changes.len() <= fix.changes.len());
                larger += usize::from(whole.fixes[0].changes.len() < fix.changes.len());
            }
            assert!(!fix.minimal || fix.changes.len() == 1);
        }
    }
    assert!(refused > 500, "{refused} refused, {larger} of them answered with more than the least");
}

#[test]
fn a_proof_in_a_large_tree_ends_when_it_is_told_to() {
    use std::sync::atomic::AtomicBool;
    let tree = synthetic::load(&synthetic::texts(1, &Shape::real(3_000)));
    let d = tree.random(4);
    let r = tree.resolve(&d).unwrap();
    let (mut asked, mut stopped, mut agreed) = (0, 0, 0);
    for n in tree.nodes().step_by(61) {
        let Some(change) = tree.toggle(&r, n) else { continue };
        let ask = std::slice::from_ref(&change);
        let Err(quick) = tree.preview_within(&d, &r, ask, None, &Budget::first_answer()) else { continue };
        // Every other one is told to stop before it begins. How soon a proof ends in the middle is for the benchmarks.
        let stop = AtomicBool::new(asked % 2 == 1);
        asked += 1;
        let proof = tree.preview_within(&d, &r, ask, None, &Budget::until(&stop)).unwrap_err();
        assert_eq!(proof.because, quick.because);
        match (quick.fixes.first(), proof.fixes.first()) {
            (Some(quick), Some(proof)) if proof.minimal => {
                agreed += 1;
                assert!(proof.changes.len() <= quick.changes.len());
                assert!(!quick.minimal || proof.changes.len() == quick.changes.len());
            }
            _ => stopped += 1,
        }
    }
    assert!(agreed > 0 && stopped > 0, "{agreed} proven, {stopped} stopped");
}
