//! The embedded library OS, composed and booted.

use std::path::Path;
use std::time::Duration;

use bespoke_kernel::run::{self, Accel, Console, Options};
use bespoke_kernel::{Os, Payload, Plan, Sizer};
use bespoke_model::{Config, Decisions, Measure};

fn preset(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../presets").join(name).with_extension("toml");
    Config::parse(name, &std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn presets_boot_in_4_mib() {
    let os = Os::embedded();
    let dir = tempfile::tempdir().unwrap();
    for name in ["hello", "everything"] {
        let config = preset(name);
        let resolution = os.tree.resolve(&Decisions::from_config(&config, &[])).unwrap();
        let payload = Payload::load(&config, dir.path()).unwrap();
        let plan = Plan::new(os, &resolution, &payload).unwrap();
        let written = plan.write(&dir.path().join(name)).unwrap();
        assert_eq!(std::fs::metadata(&written.image).unwrap().len(), plan.footprint().image_bytes);
        assert_eq!(Sizer::new(os, &payload).footprint(&resolution), plan.footprint());
        let options = Options {
            memory: 4 << 20,
            accel: Accel::Tcg,
            console: Console::Piped,
            deadline: Some(Duration::from_secs(240)),
            ..Options::default()
        };
        let outcome = run::run(&written.image, &options).unwrap();
        let console = String::from_utf8_lossy(&outcome.console);
        assert!(console.contains("Hello from a program"), "{console}");
        assert_eq!(outcome.status, 0);
    }
}

#[test]
fn the_same_config_makes_the_same_bytes() {
    let os = Os::embedded();
    // Read and composed anew, from an object of its own.
    let again = Os::from_parts(bespoke_kernel::object_bytes(), os.tree.clone()).unwrap();
    for name in ["hello", "everything"] {
        let config = preset(name);
        let decisions = Decisions::from_config(&config, &[]);
        let image = |os: &Os| {
            let resolution = os.tree.resolve(&decisions).unwrap();
            let payload = Payload::load(&config, Path::new("/")).unwrap();
            let plan = Plan::new(os, &resolution, &payload).unwrap();
            (plan.to_vec().unwrap(), plan.symbols_elf())
        };
        assert!(image(os) == image(&again), "{name} differs from one build to the next");
    }
}
