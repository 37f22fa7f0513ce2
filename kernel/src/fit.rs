//! From a program's needs to the parts that serve them.

use std::collections::BTreeMap;

use bespoke_model::{Decision, Evidence, Kind, NodeId, Tree, last_part};

use crate::need;
use crate::os::{Os, SOCKET_FAMILY, SYSCALL};

/// Something that a part serves, in the words of [`crate::need`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// The part.
    pub part: NodeId,
    /// What it serves.
    pub word: String,
}

/// A decision that needs speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The part that serves the needs, or that nothing needs.
    pub part: NodeId,
    /// The id to decide: the part's, or that of the choice it is a member of.
    pub id: String,
    /// The decision.
    pub decision: Decision,
    /// The needs that it serves, those seen most often first. None: nothing asks for the part.
    pub needs: Vec<String>,
    /// Whether one of them was seen as the program ran.
    pub seen: bool,
}

/// What needs amount to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fit {
    /// What to decide, in the order of ids.
    pub proposals: Vec<Proposal>,
    /// Calls that no part serves.
    pub unserved: Vec<String>,
    /// Needs that a machine of one program cannot have: other processes, other programs.
    pub processes: Vec<String>,
}

/// Which needs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All: found in the code, or seen.
    Found,
    /// Those that were seen.
    Seen,
}

impl Os {
    /// What each part serves: the calls and socket families that it registers, and what its declaration adds.
    pub fn served(&self) -> Vec<Served> {
        let mut all = Vec::new();
        for hook in &self.index.hooks {
            let word = |number: &u64| match hook.name.as_str() {
                SYSCALL => need::call(*number),
                SOCKET_FAMILY => Some(need::family(*number)),
                _ => None,
            };
            for (part, keys) in &hook.keys {
                all.extend(keys.iter().filter_map(word).map(|word| Served { part: *part, word }));
            }
        }
        for part in self.tree.nodes() {
            let words = self.tree.node(part).serves.iter();
            all.extend(words.map(|word| Served { part, word: word.clone() }));
        }
        all.sort();
        all
    }
}

/// Whether a served word stands for a need: it covers it, and of places to write to there is no closer one. (A socket, in
/// contrast, needs all that its family and its type stand for.)
fn stands_for(served: &[Served], word: &str, need: &str) -> bool {
    let closer = |other: &Served| {
        other.word.len() > word.len() && need::covers(word, &other.word) && need::covers(&other.word, need)
    };
    need::covers(word, need) && !(need.starts_with("write:/") && served.iter().any(closer))
}

/// The needs that a part serves.
pub fn needs_of<'e>(served: &[Served], part: NodeId, evidence: &'e Evidence) -> Vec<&'e str> {
    let words: Vec<&str> = served.iter().filter(|s| s.part == part).map(|s| s.word.as_str()).collect();
    let covered = |need: &str| words.iter().any(|word| stands_for(served, word, need));
    evidence.needs.keys().map(String::as_str).filter(|need| covered(need)).collect()
}

/// Proposes parts for needs. A part that others recommend and that nothing needs is proposed to be off; of a choice, the
/// member that needs speak for, or else one that no need has to speak for.
pub fn propose(tree: &Tree, served: &[Served], evidence: &Evidence, keep: Keep) -> Fit {
    let counts = |need: &str| {
        evidence.needs.get(need).is_some_and(|w| w.seen > 0 || keep == Keep::Found && w.found > 0)
    };
    let mut by_part: BTreeMap<NodeId, Vec<String>> = BTreeMap::new();
    for part in served.iter().map(|served| served.part) {
        by_part.entry(part).or_default();
    }
    for (part, needs) in &mut by_part {
        needs.extend(needs_of(served, *part, evidence).into_iter().filter(|n| counts(n)).map(str::to_owned));
        let seen = |need: &String| evidence.needs.get(need).map_or(0, |witness| witness.seen);
        needs.sort_by(|a, b| seen(b).cmp(&seen(a)).then_with(|| a.cmp(b)));
    }
    let is_recommended = |part: NodeId| {
        tree.nodes().any(|n| {
            let mut links = tree.node(n).recommends.iter();
            links.any(|link| tree.candidates(link.term).contains(&part))
        })
    };
    let mut proposals: BTreeMap<String, Proposal> = BTreeMap::new();
    for (part, needs) in &by_part {
        let node = tree.node(*part);
        let seen = needs.iter().any(|need| evidence.needs[need].seen > 0);
        let needed = !needs.is_empty();
        let proposal = |id: &str, decision| Proposal {
            part: *part,
            id: id.to_owned(),
            decision,
            needs: needs.clone(),
            seen,
        };
        match (node.kind, tree.choice_of(*part)) {
            (Kind::Component, Some(choice)) if needed => {
                let id = tree.node(choice).id.clone();
                proposals.insert(id.clone(), proposal(&id, Decision::Text(last_part(&node.id).to_owned())));
            }
            (Kind::Component, None) if node.core.is_none() && needed => {
                proposals.insert(node.id.clone(), proposal(&node.id, Decision::ON));
            }
            (Kind::Component, None) if node.core.is_none() && !node.default && is_recommended(*part) => {
                proposals.insert(node.id.clone(), proposal(&node.id, Decision::OFF));
            }
            _ => {}
        }
    }
    // A choice of which a member serves what nobody needs.
    for part in by_part.keys() {
        let Some(choice) = tree.choice_of(*part) else { continue };
        let node = tree.node(choice);
        let plain = node.children.iter().find(|member| !by_part.contains_key(*member));
        if let (false, Some(member)) = (proposals.contains_key(&node.id), plain) {
            let decision = Decision::Text(last_part(&tree.node(*member).id).to_owned());
            let proposal =
                Proposal { part: *member, id: node.id.clone(), decision, needs: Vec::new(), seen: false };
            proposals.insert(node.id.clone(), proposal);
        }
    }
    // Calls that every C library tries and does without in silence are not worth a word.
    const OPTIONAL: [&str; 1] = ["rseq"];
    let mut fit = Fit { proposals: proposals.into_values().collect(), ..Fit::default() };
    for need in evidence.needs.keys().filter(|need| counts(need)) {
        let anybody = || served.iter().any(|served| need::covers(&served.word, need));
        match need.split_once(':') {
            Some(("process", _)) => fit.processes.push(need.clone()),
            Some(("call", name))
                if OPTIONAL.contains(&name) || evidence.needs.contains_key(&format!("process:{name}")) => {}
            Some(("call", name)) if !anybody() => fit.unserved.push(name.to_owned()),
            _ => {}
        }
    }
    fit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(needs: &[(&str, u64)], keep: Keep) -> Fit {
        let os = Os::embedded();
        let mut evidence = Evidence::default();
        for (need, seen) in needs {
            evidence.add_found(need, 1, &[]);
            if *seen > 0 {
                evidence.add_seen(need, *seen, 0, None);
            }
        }
        propose(&os.tree, &os.served(), &evidence, keep)
    }

    fn decided(fit: &Fit, id: &str) -> Option<Decision> {
        fit.proposals.iter().find(|proposal| proposal.id == id).map(|proposal| proposal.decision.clone())
    }

    #[test]
    fn parts_follow_from_needs() {
        let found = fit(
            &[("call:openat", 3), ("path:/dev/null", 0), ("write:*", 0), ("call:io_uring_setup", 0)],
            Keep::Found,
        );
        assert_eq!(decided(&found, "abi.open"), Some(Decision::ON));
        assert_eq!(decided(&found, "fs.dev.null"), Some(Decision::ON));
        assert_eq!(decided(&found, "fs.root"), Some("memory".into()));
        // One thread: nobody has to be interrupted.
        assert_eq!(decided(&found, "sched.policy"), Some("cooperative".into()));
        assert_eq!(found.unserved, ["io_uring_setup"]);
        let seen = fit(&[("call:openat", 3), ("path:/dev/null", 0), ("write:*", 0)], Keep::Seen);
        assert_eq!(decided(&seen, "abi.open"), Some(Decision::ON));
        assert_ne!(decided(&seen, "fs.dev.null"), Some(Decision::ON));
        assert_ne!(decided(&seen, "fs.root"), Some("memory".into()));
        // What is written below /tmp alone does not need a root that can be written to.
        let below = fit(&[("write:/tmp/x", 1)], Keep::Seen);
        assert_eq!(decided(&below, "fs.tmpfs"), Some(Decision::ON));
        assert_ne!(decided(&below, "fs.root"), Some("memory".into()));
        assert_eq!(decided(&fit(&[("write:*", 1)], Keep::Seen), "fs.root"), Some("memory".into()));
    }

    #[test]
    fn sockets_bring_their_family_and_type() {
        let fit = fit(&[("call:socket", 1), ("socket:AF_INET/SOCK_STREAM", 1)], Keep::Seen);
        for id in ["net.socket", "net.inet", "net.tcp", "driver.virtio-net"] {
            assert_eq!(decided(&fit, id), Some(Decision::ON), "{id}");
        }
        assert_eq!(decided(&fit, "net.udp"), Some(Decision::OFF));
        assert_ne!(decided(&fit, "net.unix"), Some(Decision::ON));
    }

    #[test]
    fn a_family_is_served_by_whoever_registers_it() {
        let fit = fit(&[("call:socket", 1), ("socket:AF_NETLINK/SOCK_RAW", 1)], Keep::Seen);
        assert_eq!(decided(&fit, "net.netlink"), Some(Decision::ON));
    }

    #[test]
    fn a_device_and_a_call_bring_their_parts() {
        let fit = fit(&[("call:open", 1), ("path:/dev/ptmx", 0), ("call:chroot", 0)], Keep::Found);
        for id in ["fs.dev.pty", "abi.chroot"] {
            assert_eq!(decided(&fit, id), Some(Decision::ON), "{id}");
        }
    }

    #[test]
    fn processes_are_told() {
        let fit = fit(&[("call:execve", 1), ("process:execve", 1)], Keep::Found);
        assert_eq!((fit.processes, fit.unserved), (vec!["process:execve".to_owned()], vec![]));
    }

    /// What declarations say that is served is said in words that needs can have.
    #[test]
    fn declared_words_are_reached() {
        let os = Os::embedded();
        for Served { part, word } in os.served() {
            let (kind, what) = word.split_once(':').unwrap_or((&word, "*"));
            let need = format!("{kind}:{what}");
            assert!(need::covers(&word, &need), "{}: {word}", os.tree.node(part).id);
            let is_named = match kind {
                "call" => need::number(what).is_some(),
                // A constant whose name is not known never stands in a need.
                "socket" | "sockopt" | "ioctl" | "fcntl" | "prctl" => {
                    what.split('/').all(|name| name == "*" || need::is_constant(name))
                }
                _ => true,
            };
            assert!(is_named, "{}: {word} holds a name that no need has", os.tree.node(part).id);
        }
    }
}
