//! No component of the library OS reaches another that it does not require; and the check would say so.

use bespoke_kernel::truth::{self, Violation};
use bespoke_kernel::{Os, Payload, Plan, declarations, object_bytes};
use bespoke_model::{Source, Tree};

fn lines(violations: &[Violation]) -> String {
    violations.iter().map(|v| format!("{v}\n")).collect()
}

/// The library OS with one declaration changed.
fn with_declaration(id: &str, change: impl Fn(&str) -> String) -> Os {
    let changed: Vec<(&str, &str, String)> = declarations()
        .map(|s| (s.id, s.file, if s.id == id { change(s.text) } else { s.text.to_owned() }))
        .collect();
    assert!(declarations().any(|s| s.id == id && s.text != change(s.text)), "{id} is not changed");
    let sources: Vec<Source<'_>> = changed.iter().map(|(id, file, text)| Source { id, file, text }).collect();
    Os::from_parts(object_bytes(), Tree::load(&sources).unwrap()).unwrap()
}

#[test]
fn the_declarations_are_true() {
    let violations = truth::violations(Os::embedded());
    assert!(violations.is_empty(), "\n{}", lines(&violations));
}

#[test]
fn a_dropped_requirement_is_reported() {
    let without = |text: &str| {
        let kept = text.lines().filter(|line| !line.starts_with("requires"));
        kept.collect::<Vec<_>>().join("\n")
    };
    for (component, required) in [("abi.stat", "abi.open"), ("driver.apic-timer", "driver.tsc")] {
        let violations = truth::violations(&with_declaration(component, without));
        assert!(
            violations.iter().any(|v| v.component == component && v.reaches == required),
            "{component} reaches {required} undeclared, and nothing is said:\n{}",
            lines(&violations)
        );
        assert!(violations.iter().all(|v| v.component == component), "{}", lines(&violations));
    }
}

#[test]
fn a_violation_names_the_way() {
    let violations =
        truth::violations(&with_declaration("sched.futex", |text| text.replace("\"sched.timer\", ", "")));
    let found = violations.iter().find(|v| v.reaches == "sched.timer").expect("a violation");
    assert_eq!(found.component, "sched.futex");
    assert!(found.from_symbol.contains("futex"), "{found}");
    assert!(found.to_symbol.contains("timer"), "{found}");
    assert_eq!(Some(&found.from_symbol), found.path.first());
    assert_eq!(Some(&found.to_symbol), found.path.last());
}

#[test]
fn what_is_off_is_gone() {
    let os = Os::embedded();
    let payload = Payload::empty();
    let mut gone = 0;
    for seed in 0..100 {
        let resolution = os.tree.resolve(&os.tree.random(seed)).unwrap();
        let plan = Plan::new(os, &resolution, &payload).unwrap();
        for part in plan.placements().filter(|part| !part.owners.is_empty()) {
            let ids = || part.owners.iter().map(|n| os.tree.node(*n).id.as_str()).collect::<Vec<_>>();
            assert!(
                part.owners.iter().any(|n| resolution.is_on(*n)),
                "seed {seed}: {:?} is off, but {} is in the image",
                ids(),
                part.name
            );
        }
        gone += os.tree.nodes().filter(|n| !resolution.is_on(*n)).count();
    }
    assert!(gone > 500, "only {gone} components were off: the configs are not random");
}
