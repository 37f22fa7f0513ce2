//! What is off is gone: its symbols from the image, its calls from the interface.

use bespoke_tests::{Scratch, program};
use std::process::Command;

fn symbols(scratch: &Scratch) -> String {
    let output =
        Command::new("nm").arg("-C").arg(scratch.path().join("app.img.sym")).output().expect("nm runs");
    assert!(output.status.success(), "nm: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_component_that_is_off_leaves_no_symbol() {
    // Those that can be turned off alone, and the module they are.
    let ids = [
        "abi.limits",
        "abi.terminal",
        "memory.brk",
        "memory.advice",
        "debug.log",
        "driver.acpi-poweroff",
        "hardening.aslr",
    ];
    for id in ids {
        let module = format!("bespoke_os::{}::", id.replace('.', "::").replace('-', "_"));
        let build = |state: &str| {
            let scratch = Scratch::new(&format!(
                "schema = 1\nextends = \"preset:everything\"\n[set]\n\"{id}\" = {state}\n"
            ));
            let run = scratch.run(&["build", "app.toml", "-o", "app.img"]);
            assert_eq!(run.status, 0, "{id} {state}: {run:?}");
            symbols(&scratch)
        };
        assert!(build("true").contains(&module), "{id} has symbols when on");
        let off = build("false");
        let left: Vec<_> = off.lines().filter(|line| line.contains(&module)).collect();
        assert!(left.is_empty(), "{id} is off but left {left:#?}");
    }
}

#[test]
fn what_needed_it_gets_linux_errno_and_the_console_names_it() {
    // getrlimit twice, and a number that Linux has not given out
    let program = program("calls.c", "musl");
    let set = "\"debug.log\" = false\n\"abi.limits\" = false\n";
    let run = Scratch::for_program(&program, "everything", set).boot(&["97", "97", "500"]);
    assert_eq!(
        run.out,
        "bespoke: system call 97 answered ENOSYS: abi.limits is off\n\
         call 97: -1, errno 38\n\
         call 97: -1, errno 38\n\
         bespoke: system call 500 answered ENOSYS: no component serves it\n\
         call 500: -1, errno 38\n"
    );
    assert_eq!(run.status, 0);
}
