//! The full set, written out for audit: what is on, why, and by which version of the tree.

use std::fmt;

use serde::Serialize;

use crate::decisions::Decisions;
use crate::effect::{Footprint, Measure};
use crate::reason::Reason;
use crate::resolve::Resolution;
use crate::tree::{Kind, Tree};

/// Everything that follows from decisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listing {
    /// The version of the tree: see [`Tree::version`].
    pub tree: String,
    /// The sizes, when a [`Measure`] was given.
    pub footprint: Option<Footprint>,
    /// Components that are on, in preorder.
    pub components: Vec<Listed>,
    /// Members of the active choices.
    pub choices: Vec<Listed>,
    /// Parameters of what is on.
    pub params: Vec<Listed>,
}

/// One line of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// What.
    pub id: String,
    /// The member of a choice, or the value of a parameter.
    pub value: Option<String>,
    /// Why, in a word or two.
    pub origin: String,
    /// Why, step by step.
    pub because: Vec<Reason>,
    /// The bytes that would leave the image if this component alone could go.
    pub bytes: Option<u64>,
}

impl Tree {
    /// A name for the exact content of the declarations: 16 hexadecimal digits, the same on every machine.
    pub fn version(&self) -> String {
        // FNV-1a: the standard library promises no stable hash, and nobody attacks this one.
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut eat = |bytes: &[u8]| {
            for byte in bytes.iter().chain(&[0]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for n in self.nodes() {
            eat(self.node(n).id.as_bytes());
            eat(self.text(n).as_bytes());
        }
        format!("{hash:016x}")
    }

    /// The full set with its reasons. `r` is what `decisions` resolve to.
    pub fn listing(&self, decisions: &Decisions, r: &Resolution, measure: Option<&dyn Measure>) -> Listing {
        let mut listing = Listing {
            tree: self.version(),
            footprint: measure.map(|m| m.footprint(r)),
            components: Vec::new(),
            choices: Vec::new(),
            params: Vec::new(),
        };
        let mut chains = self.all_why_on(decisions, r);
        for n in r.on() {
            let node = self.node(n);
            let mut listed = Listed {
                id: node.id.clone(),
                value: None,
                origin: r.origin(n).describe(self),
                because: chains.remove(&n).unwrap_or_default(),
                bytes: None,
            };
            match node.kind {
                Kind::Menu => continue,
                Kind::Component => {
                    listed.bytes = measure.map(|m| m.component_bytes(r, n));
                    listing.components.push(listed);
                }
                Kind::Choice => {
                    listed.value = r.member(n).map(|m| crate::last_part(&self.node(m).id).to_string());
                    listing.choices.push(listed);
                }
            }
            listing.params.extend(node.params.iter().map(|p| Listed {
                id: self.param(*p).id.clone(),
                value: Some(r.value(*p).to_string()),
                origin: r.value_origin(*p).describe(self),
                because: Vec::new(),
                bytes: None,
            }));
        }
        listing
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tree {}", self.tree)?;
        for listed in self.components.iter().chain(&self.choices).chain(&self.params) {
            write!(f, "{}", listed.id)?;
            if let Some(value) = &listed.value {
                write!(f, " = {value}")?;
            }
            if let Some(bytes) = listed.bytes {
                write!(f, "  {bytes} B")?;
            }
            let steps: Vec<String> = listed.because.iter().map(Reason::to_string).collect();
            let why = if steps.len() > 1 { format!(": {}", steps.join(", ")) } else { String::new() };
            writeln!(f, "  ({}{why})", listed.origin)?;
        }
        Ok(())
    }
}
