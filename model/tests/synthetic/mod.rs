//! Random trees shaped like real ones, and random decisions about them.

#![allow(dead_code, missing_docs)] // each user takes what it needs

use bespoke_model::{Decision, Decisions, Kind, NodeId, Source, Tree};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub struct Shape {
    pub components: usize,
    /// Chances in a hundred.
    pub default: u32,
    pub conflict: u32,
    pub choice: u32,
    pub recommend: u32,
    pub core: u32,
    pub rule: u32,
    /// Requirements name only components declared before, as in layered code; otherwise anything, cycles included.
    pub layered: bool,
}

impl Shape {
    /// Like a real tree: about two requirements a component, a fifth of them any-of, some conflicts and choices.
    pub fn real(components: usize) -> Shape {
        Shape {
            components,
            default: 15,
            conflict: 4,
            choice: 2,
            recommend: 10,
            core: 2,
            rule: 3,
            layered: true,
        }
    }

    /// Small and quarrelsome: contradictions are as likely as not.
    pub fn wild(components: usize) -> Shape {
        Shape {
            components,
            default: 30,
            conflict: 45,
            choice: 15,
            recommend: 25,
            core: 2,
            rule: 20,
            layered: false,
        }
    }
}

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn chance(rng: &mut impl Rng, percent: u32) -> bool {
    rng.random_range(0..100) < percent
}

pub struct Text {
    pub id: String,
    pub text: String,
}

pub fn texts(seed: u64, shape: &Shape) -> Vec<Text> {
    let rng = &mut rng(seed);
    let mut out: Vec<Text> = Vec::new();
    // (id, what may be required, whether it is a choice)
    let mut ids: Vec<(String, bool)> = Vec::new();
    let menus = (shape.components / 40).max(1);
    for m in 0..menus {
        out.push(Text {
            id: format!("m{m}"),
            text: "title = 'Menu'\nhelp = 'A heading.'\nkind = 'menu'\n".into(),
        });
    }
    let caps = (shape.components / 30).max(2);
    // Ids first, so that requirements can name anything.
    while ids.len() < shape.components {
        let c = ids.len();
        if chance(rng, shape.choice) {
            let inside: Vec<&String> = ids.iter().filter(|(_, choice)| !choice).map(|(id, _)| id).collect();
            let parent = match inside.is_empty() || chance(rng, 50) {
                true => format!("m{}", rng.random_range(0..menus)),
                false => inside[rng.random_range(0..inside.len())].clone(),
            };
            let id = format!("{parent}.o{c}");
            ids.push((id.clone(), true));
            for k in 0..rng.random_range(1..4) {
                ids.push((format!("{id}.k{k}"), false));
            }
        } else {
            let inside: Vec<&String> = ids.iter().filter(|(_, choice)| !choice).map(|(id, _)| id).collect();
            let parent = match inside.is_empty() || chance(rng, 85) {
                true => format!("m{}", rng.random_range(0..menus)),
                false => inside[rng.random_range(0..inside.len())].clone(),
            };
            ids.push((format!("{parent}.c{c}"), false));
        }
    }
    for (at, (id, choice)) in ids.iter().enumerate() {
        let mut text = String::from("title = 'Part'\nhelp = 'It does what its neighbours do not.'\n");
        let any = |rng: &mut ChaCha8Rng| -> String {
            let range = if shape.layered && at > 8 { 0..at } else { 0..ids.len() };
            if chance(rng, 6) {
                return format!("'cap:c{}'", rng.random_range(0..caps));
            }
            loop {
                let i = rng.random_range(range.clone());
                if i != at {
                    return format!("'{}'", ids[i].0);
                }
            }
        };
        if *choice {
            text += "kind = 'choice'\n";
            out.push(Text { id: id.clone(), text });
            continue;
        }
        if chance(rng, shape.default) {
            text += "default = true\n";
        }
        // In layered code what cannot be left out lies at the bottom.
        let member = id.rsplit('.').next().is_some_and(|part| part.starts_with('k'));
        if chance(rng, shape.core) && !member && (!shape.layered || at < shape.components / 50) {
            text += "core = 'nothing runs without it'\n";
        }
        // One member of every choice stands for itself, and every capability has somebody, as in trees that are looked after.
        let bottom = shape.layered && (id.ends_with(".k0") || at < caps);
        let clauses: Vec<String> = (0..if bottom { 0 } else { rng.random_range(0..5) })
            .map(|_| match chance(rng, 20) {
                true => {
                    let some: Vec<String> = (0..rng.random_range(2..4)).map(|_| any(rng)).collect();
                    format!("{{ any = [{}] }}", some.join(", "))
                }
                false => any(rng),
            })
            .collect();
        text += &format!("requires = [{}]\n", clauses.join(", "));
        if chance(rng, shape.conflict) && (!shape.layered || at > shape.components / 10) {
            text += &format!("conflicts = [{}]\n", any(rng));
        }
        if chance(rng, 12) || bottom && at < caps {
            let cap = if at < caps { at } else { rng.random_range(0..caps) };
            text += &format!("provides = ['cap:c{cap}']\n");
        }
        if chance(rng, shape.recommend) {
            text += &format!("recommends = [{}]\n", any(rng));
        }
        if chance(rng, shape.rule) {
            text += &format!(
                "[params.n]\nhelp = 'A number.'\ntype = 'int'\nmin = 0\nmax = 9\ndefault = 3\n[[params.n.rules]]\nwhen = {{ above = 5 }}\nrequires = [{}]\nconflicts = [{}]\n",
                any(rng),
                any(rng)
            );
        }
        out.push(Text { id: id.clone(), text });
    }
    out
}

pub fn load(texts: &[Text]) -> Tree {
    let sources: Vec<Source<'_>> =
        texts.iter().map(|t| Source { id: &t.id, file: &t.id, text: &t.text }).collect();
    Tree::load(&sources).unwrap_or_else(|e| panic!("{e}"))
}

/// A tree whose rules can be kept when nobody decides anything.
pub fn tree(seed: u64, shape: &Shape) -> Option<Tree> {
    let texts = texts(seed, shape);
    let sources: Vec<Source<'_>> =
        texts.iter().map(|t| Source { id: &t.id, file: &t.id, text: &t.text }).collect();
    Tree::load(&sources).ok()
}

/// A decision of any kind that the tree understands.
pub fn decision(rng: &mut impl Rng, tree: &Tree) -> (String, Decision) {
    let params: Vec<_> = tree.params().collect();
    if !params.is_empty() && chance(rng, 15) {
        let p = params[rng.random_range(0..params.len())];
        return (tree.param(p).id.clone(), Decision::Int(rng.random_range(0..10)));
    }
    loop {
        let n = tree.nodes().nth(rng.random_range(0..tree.len())).unwrap();
        let node = tree.node(n);
        match node.kind {
            Kind::Menu => {}
            Kind::Component => return (node.id.clone(), chance(rng, 60).into()),
            Kind::Choice => {
                let member: NodeId = node.children[rng.random_range(0..node.children.len())];
                return (node.id.clone(), bespoke_model::last_part(&tree.node(member).id).into());
            }
        }
    }
}

pub fn decisions(rng: &mut impl Rng, tree: &Tree, count: usize) -> Decisions {
    let mut d = Decisions::new();
    for _ in 0..count {
        let (id, to) = decision(rng, tree);
        d.set(&id, Some(to));
    }
    d
}
