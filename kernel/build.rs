//! Compiles the library OS and the demo program once, for their own target, and hands them to the library to embed.
//!
//! Out: `os.o.lz4`, the OS as one relocatable object with a section per function and per datum; `demo.lz4`, the demo program;
//! `declarations.rs`, the components' declarations as `(id, file, text)`. Compressed as an lz4 block behind its length.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-none";

/// Real (v0) symbol paths, fixed addresses in the top 2 GiB, and equal functions of different components kept apart: a folded one would
/// bear the name of a component that may be off.
const OS_FLAGS: &[&str] = &[
    "-Crelocation-model=static",
    "-Ccode-model=kernel",
    "-Csymbol-mangling-version=v0",
    "-Cllvm-args=-opt-disable=mergefunc",
];
/// A static program for Linux; its symbols and the table of its sections are of no use to anybody.
const DEMO_FLAGS: &[&str] = &["-Crelocation-model=static", "-Cstrip=symbols", "-Clink-arg=-znosectionheader"];

fn main() {
    let here = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(var("OUT_DIR"));
    for path in [
        "os/src",
        "os/Cargo.toml",
        "os/Cargo.lock",
        "demo/src",
        "demo/Cargo.toml",
        "demo/Cargo.lock",
        "build.rs",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let sysroot = PathBuf::from(output(Command::new(var("RUSTC")).args(["--print", "sysroot"])).trim());
    install_target(&sysroot);

    let archive = build(&here.join("os"), &out, OS_FLAGS).join("libbespoke_os.a");
    let object = out.join("os.o");
    link_relocatable(&sysroot, &archive, &object);
    compress(&object, &out.join("os.o.lz4"));

    let demo = build(&here.join("demo"), &out, DEMO_FLAGS).join("hello");
    compress(&demo, &out.join("demo.lz4"));

    let mut declarations = Vec::new();
    collect(&here.join("os/src"), "", &mut declarations);
    declarations.sort();
    let entries: String = declarations
        .iter()
        .map(|(id, path)| {
            let file = path.strip_prefix(&here).expect("a file below this package");
            format!("    ({id:?}, \"kernel/{}\", include_str!({path:?})),\n", file.display())
        })
        .collect();
    write(&out.join("declarations.rs"), format!("&[\n{entries}]\n").as_bytes());
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    if !output.status.success() {
        panic!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).expect("UTF-8 output")
}

/// Adds the bare-metal target to the toolchain where it is missing.
fn install_target(sysroot: &Path) {
    if sysroot.join("lib/rustlib").join(TARGET).exists() {
        return;
    }
    println!("cargo::warning=adding the Rust target {TARGET}, which the library OS is compiled for");
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    if !added.is_ok_and(|status| status.success()) {
        println!(
            "cargo::error=the Rust target {TARGET} is missing and could not be added: run `rustup target add {TARGET}`"
        );
        std::process::exit(1);
    }
}

/// Builds a package for the bare-metal target and returns the folder of its artifacts.
fn build(package: &Path, out: &Path, flags: &[&str]) -> PathBuf {
    let target_dir = out.join("target");
    let mut flags: Vec<String> = flags.iter().map(|flag| flag.to_string()).collect();
    // Panic messages name source files: the same bytes wherever the sources lie.
    if let Some(home) =
        env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
    {
        flags.push(format!("--remap-path-prefix={}=", home.display()));
    }
    flags.push(format!("--remap-path-prefix={}=", package.display()));
    let mut cargo = Command::new(var("CARGO"));
    cargo
        .current_dir(package)
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(&target_dir);
    // What the outer build sets for itself must not reach the inner one (linters wrap the compiler, for instance).
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_") && text != "CARGO_HOME"
            || text.starts_with("RUSTC")
            || text == "RUSTFLAGS"
        {
            cargo.env_remove(&name);
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    output(&mut cargo);
    target_dir.join(TARGET).join("release")
}

/// What nobody reads of the compiler's own libraries, and a linker keeps in a relocatable object even with `--strip-debug`: it would be unpacked
/// at every start.
const DISCARD: &str =
    "SECTIONS { /DISCARD/ : { *(.debug*) *(.llvmbc) *(.llvmcmd) *(.comment) *(.note.GNU-stack) } }\n";

/// Joins the archive's one object of ours and what it needs of the compiler's support library into one relocatable object.
fn link_relocatable(sysroot: &Path, archive: &Path, object: &Path) {
    let script = object.with_extension("ld");
    write(&script, DISCARD.as_bytes());
    let linker = sysroot.join("lib/rustlib").join(var("HOST")).join("bin/rust-lld");
    // `-u`: the archive's members are taken when asked for; the entry point asks for ours.
    output(
        Command::new(linker)
            .args(["-flavor", "gnu", "-r", "-u", "bespoke_start", "-T"])
            .arg(script)
            .arg("-o")
            .arg(object)
            .arg(archive),
    );
}

fn compress(from: &Path, to: &Path) {
    let bytes = fs::read(from).unwrap_or_else(|error| panic!("cannot read {}: {error}", from.display()));
    write(to, &lz4_flex::compress_prepend_size(&bytes));
}

/// The declarations below a folder: `net/tcp.toml` declares `net.tcp`, and `_` in a file name is `-` in an id.
fn collect(folder: &Path, prefix: &str, declarations: &mut Vec<(String, PathBuf)>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let stem =
            path.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8 file names").replace('_', "-");
        if path.is_dir() {
            collect(&path, &format!("{prefix}{stem}."), declarations);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            declarations.push((format!("{prefix}{stem}"), path));
        }
    }
}
