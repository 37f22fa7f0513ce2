//! Whatever is off: every call gets service or Linux' errno, and the kernel does not fall.
//!
//! Ten random configs here; `PROBE_CONFIGS=100 tests/run random_configs` for more, `PROBE_SEED` for others.

use bespoke_kernel::Os;
use bespoke_model::Decision;
use bespoke_tests::{Scratch, program};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn random_configs_survive_every_call() {
    let probe = program("probe.rs", "bare");
    let tree = &Os::embedded().tree;
    let seed = number("PROBE_SEED", 1);
    let mut served = 0;
    for seed in seed..seed + number("PROBE_CONFIGS", 10) {
        let mut set = String::new();
        for (id, decision, _) in tree.random(seed).iter() {
            // The status has to get out, and a kernel that fell has to be seen.
            let value = match decision {
                _ if id == "driver.isa-debug-exit" || id == "console.output" => continue,
                Decision::Bool(on) => on.to_string(),
                Decision::Int(value) => value.to_string(),
                Decision::Text(text) => format!("{text:?}"),
            };
            set += &format!("{id:?} = {value}\n");
        }
        let scratch = Scratch::new(&format!("schema = 1\n[program]\npath = {probe:?}\n[set]\n{set}"));
        let run = scratch.boot(&[]);
        // 79: it is left with no call but the one that ends it.
        assert!(
            matches!(run.status, 77 | 79),
            "seed {seed}: status {}\n{}{}\n{set}",
            run.status,
            run.out,
            run.err
        );
        served += u32::from(run.status == 77);
    }
    assert!(served > 0, "no config serves any call");
}

#[test]
fn everything_survives_every_call() {
    let probe = program("probe.rs", "bare");
    for isolation in ["ring3", "ring0"] {
        let smap = isolation == "ring3";
        let set = format!("\"hardening.isolation\" = {isolation:?}\n\"hardening.smap\" = {smap}\n");
        let run = Scratch::for_program(&probe, "everything", &set).boot(&[]);
        assert_eq!(run.status, 77, "{isolation}: {run:?}");
    }
}
