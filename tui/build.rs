//! Makes the list of presets that ship: every `presets/*.toml`.

use std::path::Path;
use std::{env, fs};

fn main() {
    let dir = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../presets");
    println!("cargo::rerun-if-changed={}", dir.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut names: Vec<_> = fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    names.sort();
    let mut out = String::from("&[\n");
    for path in names {
        let path = path.canonicalize().expect("it was just listed");
        let name = path.file_stem().and_then(|n| n.to_str()).expect("preset names are text");
        out.push_str(&format!("    ({name:?}, include_str!({path:?})),\n"));
    }
    out.push(']');
    let target = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("presets.rs");
    fs::write(target, out).expect("the build directory can be written");
}
