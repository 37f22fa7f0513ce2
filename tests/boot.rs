//! Real programs in real machines: what they print, and the status they leave with.

use bespoke_tests::{Run, Scratch, program, run_in, workspace};

/// The program's own output and status; anything the kernel says is a failure.
#[track_caller]
fn expect(run: &Run, status: i32, out: &str) {
    assert_eq!((run.status, run.out.as_str()), (status, out), "standard error: {}", run.err);
}

const GREETING: &str = "Hello from a program and the operating system cut to fit it.\n";

#[test]
fn hello_is_built_and_booted_in_two_commands() {
    let scratch = Scratch::new("");
    let preset = workspace().join("presets/hello.toml");
    let built = scratch.run(&["build", preset.to_str().unwrap(), "-o", "hello.img"]);
    assert_eq!(built.status, 0, "{built:?}");
    expect(&scratch.run(&["run", "hello.img"]), 0, GREETING);
}

#[test]
fn the_exit_status_is_the_programs_own() {
    for status in ["0", "1", "7", "127", "128", "200", "255"] {
        let run = run_in(&workspace(), &["run", "presets/hello.toml", "--", status]);
        expect(&run, status.parse().unwrap(), &format!("{GREETING}argument: {status}\n"));
    }
}

#[test]
fn an_image_takes_arguments_at_boot() {
    let scratch = Scratch::new("");
    let preset = workspace().join("presets/hello.toml");
    assert_eq!(scratch.run(&["build", preset.to_str().unwrap(), "-o", "hello.img"]).status, 0);
    let run = scratch.run(&["run", "hello.img", "--", "3", "two words", "quote\"and\\slash"]);
    expect(&run, 3, &format!("{GREETING}argument: 3\nargument: two words\nargument: quote\"and\\slash\n"));
}

#[test]
fn hello_boots_in_4_mib() {
    expect(&run_in(&workspace(), &["run", "presets/hello.toml", "-m", "4M"]), 0, GREETING);
}

#[test]
fn everything_boots() {
    let run = run_in(&workspace(), &["run", "presets/everything.toml"]);
    assert_eq!(run.status, 0, "{run:?}");
    // Boot messages are a component, and on.
    assert!(run.out.contains("KiB free") && run.out.ends_with(GREETING), "{run:?}");
}

const QUIET: &str = "\"debug.log\" = false\n";

/// Boots a program on everything, under every pair of these choices.
#[track_caller]
fn boots(source: &str, flavour: &str, status: i32, out: &str) {
    let program = program(source, flavour);
    for (isolation, heap) in [("ring3", "talc"), ("ring3", "buddy"), ("ring0", "talc"), ("ring0", "buddy")] {
        let smap = if isolation == "ring0" { "\"hardening.smap\" = false\n" } else { "" };
        let set =
            format!("{QUIET}{smap}\"hardening.isolation\" = \"{isolation}\"\n\"memory.heap\" = \"{heap}\"\n");
        let scratch = Scratch::for_program(&program, "everything", &set);
        let run = scratch.boot(&[]);
        assert_eq!(
            (run.status, run.out.as_str()),
            (status, out),
            "{flavour} in {isolation} on {heap}: {}",
            run.err
        );
    }
}

#[test]
fn static_musl_c() {
    boots("hello.c", "musl", 42, "hello from C\n");
}

#[test]
fn static_glibc_c() {
    boots("hello.c", "glibc", 42, "hello from C\n");
}

#[test]
fn static_pie_glibc_c() {
    boots("hello.c", "glibc-pie", 42, "hello from C\n");
}

#[test]
fn static_glibc_cpp() {
    boots("hello.cc", "c++", 3, "hello from C++, exception caught\ndestroyed last\n");
}

#[test]
fn static_pie_rust_with_threads() {
    boots("hello.rs", "rust", 5, "hello from Rust, threads say [1, 2, 3, 4], together 10\n");
}

#[test]
fn go_with_goroutines() {
    boots("hello.go", "go", 7, "hello from Go, goroutines say 499500 with 64 blocks kept\n");
}

#[test]
fn arguments_and_environment_come_from_the_config() {
    let program = program("hello.c", "musl");
    let scratch = Scratch::new(&format!(
        "schema = 1\nextends = \"preset:everything\"\n[program]\npath = {program:?}\nargs = [\"9\", \"a b\"]\n\
         env = [\"HOME=/root\", \"EMPTY=\"]\n[set]\n{QUIET}"
    ));
    expect(
        &scratch.boot(&[]),
        9,
        "hello from C\nargument 1: 9\nargument 2: a b\nenvironment: HOME=/root\nenvironment: EMPTY=\n",
    );
}

#[test]
fn faults_are_reported_and_end_with_the_signals_status() {
    let program = program("fault.c", "musl");
    let scratch = Scratch::for_program(&program, "everything", QUIET);
    for (how, status, said) in [
        ("null", 139, "page fault writing 0x0 at "),
        ("text", 139, "page fault writing "),
        ("stack", 139, "page fault running "),
        ("kernel", 139, "page fault writing 0xffffffff80100000 at "),
        ("invalid", 132, "invalid instruction"),
        ("divide", 136, "divide error"),
        ("privileged", 139, "general protection fault"),
    ] {
        let run = scratch.boot(&[how]);
        assert_eq!(run.status, status, "{how}: {run:?}");
        assert!(run.out.contains(said) && run.out.contains("in the program, thread 1"), "{how}: {run:?}");
    }
    let run = scratch.boot(&["abort"]);
    expect(&run, 134, "about to fault: abort\n");
}

#[test]
fn a_fault_in_the_kernel_names_the_component() {
    // In ring 0 a program can call a routine of the kernel with nonsense; reading a frame at address 1 faults in there.
    let program = program("fault.c", "musl");
    let set = format!("{QUIET}\"hardening.smap\" = false\n\"hardening.isolation\" = \"ring0\"\n");
    let scratch = Scratch::for_program(&program, "everything", &set);
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    let symbols =
        std::process::Command::new("nm").arg("-C").arg(scratch.path().join("app.img.sym")).output().unwrap();
    let symbols = String::from_utf8(symbols.stdout).unwrap();
    let address = symbols
        .lines()
        .find(|line| line.ends_with("::debug::fault::report"))
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or_else(|| panic!("no such symbol in {symbols}"));
    let run = scratch.run(&["run", "app.img", "--", "jump", &format!("0x{address}")]);
    assert_eq!(run.status, 255, "{run:?}");
    assert!(run.out.contains("in the kernel, component debug.fault"), "{run:?}");
}

#[test]
fn q35_powers_off_by_acpi() {
    let set = "\"driver.isa-debug-exit\" = false\n";
    let scratch = Scratch::new(&format!("schema = 1\nextends = \"preset:hello\"\n[set]\n{set}"));
    let run = scratch.run(&["run", "app.toml", "--machine", "q35"]);
    // The machine ends by itself; without the exit device nobody learns the status, and the runner says so.
    assert!(run.out.contains(GREETING), "{run:?}");
}
