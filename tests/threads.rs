//! Threads, signals, time, memory and files as real programs use them.

use std::process::Command;

use bespoke_kernel::run::{self, Accel, Console, Machine, Options};
use bespoke_tests::{Scratch, program};

/// Boots a program on everything under these decisions; it says "ok" behind each thing it tries, and ends with this status.
#[track_caller]
fn all_ok(source: &str, flavour: &str, set: &str, status: i32) {
    let program = program(source, flavour);
    let set = format!("\"debug.log\" = false\n{set}");
    let run = Scratch::for_program(&program, "everything", &set).boot(&[]);
    let bad: Vec<_> = run.out.lines().filter(|line| !line.ends_with(": ok") && *line != "the end").collect();
    assert!(bad.is_empty() && run.out.ends_with("the end\n"), "{source}, {flavour}: {run:?}");
    assert_eq!(run.status, status, "{source}, {flavour}: {run:?}");
}

/// Boots a program on everything; in `folder` it says what it says on the host itself in an empty folder.
#[track_caller]
fn as_on_the_host(source: &str, flavour: &str, set: &str, folder: &str) {
    let native = tempfile::tempdir().expect("a scratch folder");
    as_on_the_host_with(source, flavour, set, native.path().to_str().expect("UTF-8"), folder);
}

/// The same with an argument there and another here.
#[track_caller]
fn as_on_the_host_with(source: &str, flavour: &str, set: &str, there: &str, here: &str) {
    let program = program(source, flavour);
    let host = Command::new(&program).arg(there).output().expect("a program of the host");
    let set = format!("\"debug.log\" = false\n{set}");
    let run = Scratch::for_program(&program, "everything", &set).boot(&[here]);
    assert_eq!(run.out, String::from_utf8_lossy(&host.stdout), "{source}, {flavour}: {}", run.err);
    assert_eq!(Some(run.status), host.status.code(), "{source}, {flavour}: {run:?}");
}

const RING_0: &str = "\"hardening.smap\" = false\n\"hardening.isolation\" = \"ring0\"\n";

#[test]
fn signals_are_as_on_linux() {
    // It ends itself with SIGTERM.
    for (flavour, set) in [("musl", ""), ("glibc", ""), ("glibc", RING_0)] {
        all_ok("signals.c", flavour, set, 143);
    }
}

#[test]
fn arithmetic_exceptions_are_as_on_linux() {
    // QEMU's translator has none of SSE: with "sse" for the folder this is for machines that do.
    for (flavour, set) in [("glibc", ""), ("musl", RING_0)] {
        as_on_the_host("fpe.c", flavour, set, "x87");
    }
}

#[test]
fn random_numbers_come_from_the_host() {
    let program = program("random.c", "musl");
    let scratch = Scratch::for_program(&program, "everything", "\"debug.log\" = false\n");
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    // What the host gives, where it can be recognised; a processor without numbers of its own.
    let given: Vec<u8> = (0..16_384u32).map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    let file = scratch.path().join("given");
    std::fs::write(&file, &given).expect("a file");
    let boot = |machine, device: &str| {
        let object = format!("rng-random,id=given,filename={}", file.display());
        let extra = ["-cpu", "max,-rdrand,-rdseed", "-object", &object, "-device", device];
        let options = Options {
            machine,
            accel: Accel::Tcg,
            console: Console::Piped,
            extra: extra.map(Into::into).to_vec(),
            ..Options::default()
        };
        let outcome = run::run(&scratch.path().join("app.img"), &options).expect("a machine that ends");
        String::from_utf8_lossy(&outcome.console).replace('\r', "")
    };
    for (machine, device) in
        [(Machine::Microvm, "virtio-rng-device,rng=given"), (Machine::Q35, "virtio-rng-pci,rng=given")]
    {
        let said = boot(machine, device);
        let lines: Vec<&str> = said.lines().collect();
        let (bytes, rest) = lines.split_first().expect("a line");
        assert_eq!(rest, ["3000 bytes", "they differ"], "{said}");
        let bytes = bytes.strip_prefix("device 0xab7, 32 bytes: ").expect(&said).split(' ');
        // The last of what was asked for at once is given first.
        let bytes: Vec<u8> = bytes.map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).rev().collect();
        assert!(given.windows(bytes.len()).any(|part| part == bytes), "{said}");
    }
    // The runner attaches a device of its own; without one there is no such file.
    let run = scratch.boot(&[]);
    assert!(run.status == 0 && run.out.ends_with("they differ\n"), "{run:?}");
    let run = scratch.run(&["run", "app.img"]);
    assert_eq!((run.status, run.out.as_str()), (1, "/dev/hwrng: No such file or directory\n"), "{}", run.err);
}

#[test]
fn go_stops_goroutines_that_never_yield() {
    let program = program("spin.go", "go");
    let run = Scratch::for_program(&program, "everything", "\"debug.log\" = false\n").boot(&[]);
    assert_eq!(
        run.out,
        "the collector stopped spinning goroutines\ngot user defined signal 1\n\
         recovered: runtime error: invalid memory address or nil pointer dereference\n"
    );
    assert_eq!(run.status, 9);
}

#[test]
fn clocks_and_timers_are_as_on_linux() {
    for flavour in ["musl", "glibc"] {
        all_ok("timers.c", flavour, "", 0);
    }
    // Without the vDSO the calls say the same, but for its own line.
    let program = program("timers.c", "musl");
    let set = "\"debug.log\" = false\n\"abi.vdso\" = false\n";
    let run = Scratch::for_program(&program, "everything", set).boot(&[]);
    let bad: Vec<_> = run.out.lines().filter(|line| !line.ends_with(": ok")).collect();
    assert_eq!(bad, ["vDSO: WRONG", "the end"], "{run:?}");
}

#[test]
fn threads_and_locks_are_as_on_linux() {
    for flavour in ["musl", "glibc"] {
        all_ok("threads.c", flavour, "", 0);
    }
    // Short turns find what long ones hide.
    all_ok("threads.c", "glibc", "\"sched.policy.preemptive.slice\" = \"100us\"\n", 0);
}

#[test]
fn without_turns_a_thread_that_waits_lets_others_run() {
    let program = program("hello.rs", "rust");
    let set = "\"debug.log\" = false\n\"sched.policy\" = \"cooperative\"\n";
    let run = Scratch::for_program(&program, "everything", set).boot(&[]);
    assert_eq!(run.status, 5, "{run:?}");
}

#[test]
fn mappings_are_as_on_linux() {
    for flavour in ["musl", "glibc"] {
        all_ok("memory.c", flavour, "", 0);
    }
    all_ok("memory.c", "musl", "\"memory.overcommit\" = \"strict\"\n", 0);
}

#[test]
fn mappings_share_pages_with_files() {
    for flavour in ["musl", "glibc"] {
        all_ok("shared.c", flavour, "", 0);
    }
    all_ok("shared.c", "glibc", RING_0, 0);
}

#[test]
fn signals_are_read_from_a_descriptor() {
    for flavour in ["musl", "glibc"] {
        all_ok("signalfd.c", flavour, "", 0);
    }
}

#[test]
fn files_are_as_on_linux() {
    for flavour in ["musl", "glibc"] {
        all_ok("files.c", flavour, "", 0);
    }
}

#[test]
fn corners_of_calls_are_as_on_linux() {
    for set in ["", RING_0] {
        as_on_the_host("corners.c", "glibc", set, "/tmp");
    }
}

/// Whether this process may change its root and become somebody else (`capabilities(7)`: CAP_SETGID, CAP_SETUID, CAP_SYS_CHROOT).
fn may_shut_itself_in() -> bool {
    const WANTED: u64 = 1 << 6 | 1 << 7 | 1 << 18;
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line =
        status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("a line of capabilities");
    u64::from_str_radix(line, 16).expect("a number") & WANTED == WANTED
}

#[test]
fn a_process_shuts_itself_in_as_on_linux() {
    let said = include_str!("programs/chroot.out");
    let program = program("chroot.c", "glibc");
    let scratch = Scratch::for_program(&program, "everything", "\"debug.log\" = false\n");
    if may_shut_itself_in() {
        let output = std::process::Command::new(&program).arg(scratch.path().join("around")).output();
        let output = output.expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), said, "on Linux: {output:?}");
    } else {
        eprintln!("skipped: chroot on Linux itself, which only root may try");
    }
    for around in ["/tmp/around", "/around"] {
        let run = scratch.boot(&[around]);
        assert_eq!((run.out.as_str(), run.status), (said, 4), "{around}: {}", run.err);
    }
}

#[test]
fn locks_are_as_on_linux() {
    for set in ["", RING_0] {
        as_on_the_host("locks.c", "glibc", set, "/tmp");
    }
}

#[test]
fn objects_of_system_v_are_as_on_linux() {
    // Keys are the whole host's.
    let number = std::process::id().to_string();
    for (flavour, set) in [("musl", ""), ("glibc", RING_0)] {
        as_on_the_host_with("sysv.c", flavour, set, &number, &number);
    }
}

#[test]
fn open_directories_follow_their_names() {
    as_on_the_host("moved.c", "glibc", "", "/tmp");
}

#[test]
fn files_are_watched_as_on_linux() {
    for (flavour, set) in [("musl", ""), ("glibc", RING_0)] {
        as_on_the_host("inotify.c", flavour, set, "/tmp");
    }
}

#[test]
fn memory_is_shared_by_name_and_threads_have_names() {
    for flavour in ["musl", "glibc"] {
        all_ok("named.c", flavour, "", 0);
    }
}

#[test]
fn permissions_are_as_on_linux() {
    all_ok("permissions.c", "musl", "", 0);
    // Not heeded, and nothing falls over.
    let program = program("permissions.c", "musl");
    let run =
        Scratch::for_program(&program, "everything", "\"debug.log\" = false\n\"fs.permissions\" = false\n")
            .boot(&[]);
    assert!(run.out.contains("secret: WRONG\n") && run.out.ends_with("the end\n"), "{run:?}");
}

#[test]
fn a_program_runs_as_whom_the_config_names() {
    let program = program("who.c", "musl");
    let boot = |lines: &str, arguments: &[&str]| {
        let scratch = Scratch::new(&format!(
            "schema = 1\nextends = \"preset:everything\"\n[program]\npath = {program:?}\n{lines}\n\
             [files]\n\"/etc/passwd\" = \"passwd\"\n\"/etc/group\" = \"group\"\n[set]\n\"debug.log\" = false\n"
        ));
        std::fs::write(scratch.path().join("passwd"), "root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n")
            .unwrap();
        std::fs::write(scratch.path().join("group"), "data:x:77:\n").unwrap();
        scratch.boot(arguments)
    };
    let others = "stays what it is: ok\nnot root: ok\nno groups: ok\n";
    for (lines, ids, name, owner) in [
        ("user = \"web\"", "33 33 34 34 33 34", "bespoke", "33:34"),
        ("user = \"web:data\"\nhostname = \"front-1\"", "33 33 77 77 33 77", "front-1", "33:77"),
        ("user = \"1000:1001\"", "1000 1000 1001 1001 1000 1001", "bespoke", "1000:1001"),
    ] {
        let out = format!("{ids} {name} {name} {name}\nmakes files of {owner}\n{others}");
        let run = boot(lines, &[]);
        assert_eq!((run.out, run.status), (out, 0), "{}", run.err);
    }
    let run = boot("", &["become"]);
    assert!(run.out.starts_with("0 0 0 0 0 0 bespoke bespoke bespoke\n"), "{run:?}");
    assert_eq!(run.out.lines().skip(2).filter(|line| !line.ends_with(": ok")).count(), 0, "{run:?}");
    assert_eq!(run.out.lines().count(), 8, "{run:?}");
    let run = boot("user = \"nginx\"", &[]);
    assert!(run.status == 1 && run.err.contains("`nginx` is in no /etc/passwd of the image"), "{run:?}");
}

#[test]
fn calls_are_traced_and_refusals_counted() {
    let program = program("hello.c", "musl");
    let set = "\"debug.log\" = false\n\"debug.trace\" = true\n\"debug.refused-count\" = true\n\"abi.terminal\" = false\n";
    let run = Scratch::for_program(&program, "everything", set).boot(&[]);
    for line in [
        "[1] set_tid_address(0x",
        "[1] ioctl(1, 0x5413, 0x",
        " = -1 ENOSYS (38)",
        "[1] exit_group(42) = ?",
        "bespoke: calls refused with ENOSYS:",
        "     1 ioctl (16): abi.terminal is off",
    ] {
        assert!(run.out.contains(line), "{line} is missing: {run:?}");
    }
    assert_eq!(run.status, 42);
}

#[test]
fn a_kernel_stack_that_runs_over_is_reported() {
    // In ring 0 a program can call a routine of the kernel with the stack pointer at the stack's end.
    let program = program("fault.c", "musl");
    let scratch = Scratch::for_program(&program, "everything", &format!("\"debug.log\" = false\n{RING_0}"));
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    let symbols =
        std::process::Command::new("nm").arg("-C").arg(scratch.path().join("app.img.sym")).output().unwrap();
    let symbols = String::from_utf8(symbols.stdout).unwrap();
    let routine = symbols.lines().find(|line| line.ends_with("::debug::fault::report")).expect("the routine");
    let address = format!("0x{}", routine.split_whitespace().next().expect("an address"));
    let run = scratch.run(&["run", "app.img", "--", "overflow", &address]);
    assert_eq!(run.status, 255, "{run:?}");
    assert!(run.out.contains("page fault writing 0xffffc00000000ff8 at"), "{run:?}");
}
