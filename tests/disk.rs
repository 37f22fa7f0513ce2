//! Disks and shared folders: programs' files on ext4, held against Linux' own tools, and cuts of power.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bespoke_tests::{Run, Scratch, program};

#[path = "disk/log.rs"]
mod log;
#[path = "disk/power.rs"]
mod power;

/// A config on everything for a program, with files packed.
fn config(path: &Path, files: &[(&str, &str)]) -> Scratch {
    assert!(path.exists(), "{} is missing; tests/run installs it", path.display());
    let files: String = files.iter().map(|(guest, host)| format!("{guest:?} = {host:?}\n")).collect();
    Scratch::new(&format!(
        "schema = 1\nextends = \"preset:everything\"\n[program]\npath = {path:?}\nenv = [\"HOME=/tmp\"]\n\
         [files]\n{files}[set]\n\"debug.log\" = false\n"
    ))
}

/// A tool of e2fsprogs, where Debian has it.
fn tool(name: &str, args: &[&str]) -> Output {
    Command::new(format!("/usr/sbin/{name}"))
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; tests/run installs e2fsprogs"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Linux' own check finds nothing wrong, but for how many blocks a scattered directory is said to have: rsext4 does not count those of its
/// index of blocks.
#[track_caller]
fn check(disk: &Path) {
    let output = tool("e2fsck", &["-fn", disk.to_str().expect("UTF-8")]);
    let said = text(&output.stdout);
    if !output.status.success() {
        let known = ["Pass ", "could be narrower", "i_blocks is", "still has errors", " blocks"];
        let strange =
            said.lines().find(|line| !line.is_empty() && !known.iter().any(|word| line.contains(word)));
        assert!(strange.is_none() && said.contains("i_blocks is"), "{said}");
    }
}

/// Makes a disk with our own tool.
fn own_disk(scratch: &Scratch, name: &str) -> PathBuf {
    own_disk_of("64M", scratch, name)
}

fn own_disk_of(size: &str, scratch: &Scratch, name: &str) -> PathBuf {
    let run = scratch.run(&["disk", name, "--size", size]);
    assert_eq!(run.status, 0, "{}", run.err);
    scratch.path().join(name)
}

/// Makes a disk with Linux' tool.
fn linux_disk(scratch: &Scratch, name: &str, more: &[&str]) -> PathBuf {
    linux_disk_of("48M", scratch, name, more)
}

fn linux_disk_of(size: &str, scratch: &Scratch, name: &str, more: &[&str]) -> PathBuf {
    let path = scratch.path().join(name);
    let arguments = [&["-q", "-t", "ext4"], more, &[path.to_str().expect("UTF-8"), size]].concat();
    let output = tool("mke2fs", &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    path
}

/// Boots `app.toml` with options before the program's arguments.
fn boot(scratch: &Scratch, options: &[&str], args: &[&str]) -> Run {
    scratch.run(&[&["run", "app.toml", "-m", "96M"], options, &["--"], args].concat())
}

/// What `disk.c` says on the host itself.
fn on_the_host(files: &Path, folder: &Path, more: &[&str]) -> String {
    let output = Command::new(files).arg(folder).args(more).output().expect("a program of the host");
    text(&output.stdout)
}

#[test]
fn files_are_as_on_linux_and_stay() {
    let files = program("disk.c", "glibc");
    let scratch = config(&files, &[]);
    let native = tempfile::tempdir().expect("a scratch folder");
    let expected = on_the_host(&files, native.path(), &[]);
    let later = on_the_host(&files, native.path(), &["look"]);
    let disks = [
        (own_disk(&scratch, "own"), "microvm"),
        (linux_disk(&scratch, "linux", &[]), "q35"),
        (linux_disk(&scratch, "plain", &["-b", "4096", "-O", "^metadata_csum,^64bit,^dir_index"]), "microvm"),
    ];
    for (disk, machine) in disks {
        let disk = disk.to_str().expect("UTF-8");
        let options = ["--disk", disk, "--machine", machine];
        let run = boot(&scratch, &options, &["/data"]);
        assert_eq!((run.status, run.out.as_str()), (0, expected.as_str()), "{disk}: {}", run.err);
        check(Path::new(disk));
        let run = boot(&scratch, &options, &["/data", "look"]);
        assert_eq!((run.status, run.out.as_str()), (0, later.as_str()), "{disk}: {}", run.err);
        // Linux' tools read what was written.
        let read = |path: &str| tool("debugfs", &["-R", &format!("cat {path}"), disk]).stdout;
        assert_eq!(read("/many/f7"), b"this is file 7\n");
        assert!(read("/big") == fs::read(native.path().join("big")).expect("the host's own"), "{disk}");
        check(Path::new(disk));
    }
}

#[test]
fn mappings_write_to_files() {
    let mapped = program("mapped.c", "glibc");
    let scratch = config(&mapped, &[]);
    let native = tempfile::tempdir().expect("a scratch folder");
    let expected = on_the_host(&mapped, native.path(), &[]);
    let later = on_the_host(&mapped, native.path(), &["look"]);
    for disk in [own_disk(&scratch, "own"), linux_disk(&scratch, "linux", &[])] {
        let disk = disk.to_str().expect("UTF-8");
        let run = boot(&scratch, &["--disk", disk], &["/data"]);
        assert_eq!((run.status, run.out.as_str()), (0, expected.as_str()), "{disk}: {}", run.err);
        check(Path::new(disk));
        let run = boot(&scratch, &["--disk", disk], &["/data", "look"]);
        assert_eq!((run.status, run.out.as_str()), (0, later.as_str()), "{disk}: {}", run.err);
    }
}

#[test]
fn open_directories_follow_their_names() {
    let moved = program("moved.c", "glibc");
    let scratch = config(&moved, &[]);
    let native = tempfile::tempdir().expect("a scratch folder");
    let expected = on_the_host(&moved, native.path(), &[]);
    let disk = linux_disk(&scratch, "disk", &[]);
    let run = boot(&scratch, &["--disk", disk.to_str().expect("UTF-8")], &["/data"]);
    assert_eq!((run.status, run.out.as_str()), (0, expected.as_str()), "{}", run.err);
    check(&disk);
}

#[test]
fn files_belong_to_who_makes_them() {
    let scratch = config(Path::new("/bin/busybox"), &[]);
    let disk = linux_disk(&scratch, "disk", &[]);
    let path = disk.to_str().expect("UTF-8");
    assert!(tool("debugfs", &["-w", "-R", "set_inode_field / mode 042777", path]).status.success());
    assert!(tool("debugfs", &["-w", "-R", "set_inode_field / gid 77", path]).status.success());
    let text = fs::read_to_string(scratch.path().join("app.toml")).expect("the config");
    let text = text.replace("[program]", "[program]\nuser = \"1000:1001\"");
    fs::write(scratch.path().join("app.toml"), text).expect("the config");
    for (arguments, out) in [
        (&["mkdir", "/data/dir"][..], ""),
        (&["touch", "/data/dir/file"], ""),
        (&["stat", "-c", "%u %g %a", "/data/dir", "/data/dir/file"], "1000 77 2755\n1000 77 644\n"),
        (&["chown", "0", "/data/dir"], "chown: /data/dir: Operation not permitted\n"),
    ] {
        let run = boot(&scratch, &["--disk", path], arguments);
        assert_eq!(run.out, out, "{arguments:?}: {}", run.err);
    }
    check(&disk);
}

#[test]
fn linux_fills_a_disk() {
    let scratch = config(Path::new("/bin/busybox"), &[]);
    let tree = scratch.path().join("tree");
    fs::create_dir_all(tree.join("many")).expect("a folder");
    for number in 0..900 {
        fs::write(tree.join(format!("many/a-file-with-number-{number}")), format!("{number}\n"))
            .expect("a file");
    }
    let big: Vec<u8> = (0..3_000_000u32).map(|index| (index ^ index >> 9) as u8).collect();
    fs::write(tree.join("big"), &big).expect("a file");
    std::os::unix::fs::symlink("many/a-file-with-number-7", tree.join("link")).expect("a link");
    let disk = linux_disk(&scratch, "disk", &["-d", tree.to_str().expect("UTF-8")]);
    let path = disk.to_str().expect("UTF-8");
    // Directories as Linux has them when they are large: with an index.
    assert!(tool("e2fsck", &["-fyD", path]).status.code().is_some_and(|code| code < 2));
    let sum = text(&Command::new("sha256sum").arg(tree.join("big")).output().expect("coreutils").stdout);
    let sum = sum.split(' ').next().expect("a sum");
    for (arguments, out) in [
        (&["cat", "/data/link"][..], "7\n".to_owned()),
        (&["sha256sum", "/data/big"], format!("{sum}  /data/big\n")),
        (&["tail", "-n", "1", "/data/many/a-file-with-number-899"], "899\n".to_owned()),
        (&["cp", "/data/big", "/data/many/copy"], String::new()),
        (&["sha256sum", "/data/many/copy"], format!("{sum}  /data/many/copy\n")),
        (&["rm", "-r", "/data/many"], String::new()),
        (&["find", "/data", "-type", "f"], "/data/big\n".to_owned()),
    ] {
        let run = boot(&scratch, &["--disk", path], arguments);
        assert_eq!((run.status, run.out.as_str()), (0, out.as_str()), "{arguments:?}: {}", run.err);
        check(&disk);
    }
}

#[test]
fn what_cannot_be_written_or_mounted_says_so() {
    let scratch = config(Path::new("/bin/busybox"), &[]);
    let disk = own_disk(&scratch, "disk");
    let path = disk.to_str().expect("UTF-8");
    let before = fs::read(&disk).expect("the disk");
    let run = boot(&scratch, &["--disk", &format!("{path}:ro")], &["touch", "/data/x"]);
    assert_eq!((run.status, run.out.as_str()), (1, "touch: /data/x: Read-only file system\n"), "{}", run.err);
    assert!(fs::read(&disk).expect("the disk") == before, "a disk to be read only was written to");

    let run = boot(&scratch, &["--disk", "gone"], &["true"]);
    assert_eq!(run.status, 1);
    assert!(
        run.err.contains("the disk gone cannot be opened") && run.err.contains("bespoke disk gone"),
        "{}",
        run.err
    );
    let run = scratch.run(&["disk", "disk"]);
    assert!(run.status == 1 && run.err.contains("disk exists"), "{}", run.err);

    let run = scratch.run(&["run", "preset:hello", "--disk", "disk"]);
    assert!(run.status == 1 && run.err.contains("fs.disk is off"), "{}", run.err);

    // No room, and room again.
    let run = boot(&scratch, &["--disk", path], &["dd", "if=/dev/zero", "of=/data/all", "bs=65536"]);
    assert!(run.status == 1 && run.out.contains("No space left on device"), "{} {}", run.out, run.err);
    check(&disk);
    assert_eq!(boot(&scratch, &["--disk", path], &["rm", "/data/all"]).status, 0);
    let run =
        boot(&scratch, &["--disk", path], &["dd", "if=/dev/zero", "of=/data/some", "bs=65536", "count=500"]);
    assert_eq!(run.status, 0, "{}", run.out);
    check(&disk);

    // What is no file system, and one of the future.
    fs::write(scratch.path().join("blank"), vec![0; 1 << 20]).expect("a file");
    let run = boot(&scratch, &["--disk", "blank"], &["true"]);
    assert_eq!(run.status, 126, "{}", run.out);
    assert!(run.out.contains("the disk at /data cannot be mounted"), "{}", run.out);
    let future = linux_disk(&scratch, "future", &["-O", "inline_data"]);
    let run = boot(&scratch, &["--disk", future.to_str().expect("UTF-8")], &["true"]);
    assert_eq!(run.status, 126, "{}", run.out);
    assert!(run.out.contains("unsupported filesystem feature"), "{}", run.out);
    // One whose unknown feature only matters to who writes can be read.
    let quota = linux_disk(&scratch, "quota", &["-O", "quota"]);
    let run = boot(&scratch, &["--disk", quota.to_str().expect("UTF-8")], &["touch", "/data/x"]);
    assert_eq!(run.status, 1, "{}", run.out);
    assert!(run.out.contains("can only be read") && run.out.contains("Read-only file system"), "{}", run.out);
}

#[test]
fn memory_that_runs_out_is_told() {
    let scratch = config(&program("scarce.c", "glibc"), &[]);
    for memory in ["16M", "64M"] {
        let disk = own_disk(&scratch, memory);
        let run = scratch.run(&["run", "app.toml", "-m", memory, "--disk", memory, "--", "/data"]);
        assert_eq!(
            (run.status, run.out.as_str()),
            (0, "told, rightly\nall goes on\n"),
            "{memory}: {}",
            run.err
        );
        check(&disk);
    }
}

#[test]
fn damaged_disks_do_no_harm() {
    let files = program("disk.c", "glibc");
    let scratch = config(&files, &[]);
    let disk = linux_disk(&scratch, "disk", &["-O", "^metadata_csum,^metadata_csum_seed,^orphan_file"]);
    let path = disk.to_str().expect("UTF-8");
    assert_eq!(boot(&scratch, &["--disk", path], &["/data"]).status, 0);
    let good = fs::read(&disk).expect("the disk");
    // A file that claims to be larger than any.
    let sized = tool("debugfs", &["-w", "-R", "set_inode_field /hard size 0xc000000000000000", path]);
    assert!(sized.status.success());
    let run = boot(&scratch, &["--disk", path], &["/data", "look"]);
    assert_eq!(run.status, 0, "{}", run.out);
    let kind = |block: &[u8]| block.iter().any(|&byte| byte != block[0]);
    let blocks: Vec<usize> = (0..good.len() / 1024).filter(|&at| kind(&good[at * 1024..][..1024])).collect();
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..4 {
        let mut damaged = good.clone();
        for _ in 0..40 {
            // Most of it where the file system's own blocks are: at the front.
            let most = if random.bool() { blocks.len() } else { blocks.len().min(80) };
            let at = blocks[random.usize(..most)] * 1024 + random.usize(..1020);
            damaged[at..at + 4].copy_from_slice(&random.u32(..).to_le_bytes());
        }
        fs::write(&disk, damaged).expect("the disk");
        let run = boot(&scratch, &["--disk", path], &["/data"]);
        assert!(matches!(run.status, 0 | 1 | 126), "round {round}: {} {}", run.out, run.err);
    }
}

/// How fast disks and shared folders are; for a quiet machine.
#[test]
#[ignore = "figures: cargo test --release -p bespoke-tests --test disk -- --ignored --nocapture figures"]
fn figures() {
    let scratch = config(&program("transfer.c", "glibc"), &[]);
    let disk = own_disk(&scratch, "disk");
    let shared = tempfile::tempdir().expect("a scratch folder");
    let share = format!("{}:/share", shared.path().display());
    for folder in ["/data", "/share", "/tmp"] {
        let run = boot(&scratch, &["--disk", disk.to_str().expect("UTF-8"), "--share", &share], &[folder]);
        assert_eq!(run.status, 0, "{} {}", run.out, run.err);
        println!("{folder}\n{}", run.out);
    }
    check(&disk);
}

#[test]
fn a_shared_folder_works_both_ways() {
    let files = program("disk.c", "glibc");
    let scratch = config(&files, &[]);
    let native = tempfile::tempdir().expect("a scratch folder");
    // QEMU changes a file's size by its name, which this one has lost; Linux as a guest is told the same.
    let expected = on_the_host(&files, native.path(), &[]);
    let expected = expected.replace("ftruncate(fd, 100000): 0 ok", "ftruncate(fd, 100000): -1 ENOENT");
    for machine in ["microvm", "q35"] {
        let shared = tempfile::tempdir().expect("a scratch folder");
        let share = format!("{}:/in/here", shared.path().display());
        let options = ["--share", share.as_str(), "--machine", machine];
        let run = boot(&scratch, &options, &["/in/here"]);
        assert_eq!((run.status, run.out.as_str()), (0, expected.as_str()), "{}", run.err);
        // The host sees what the guest made, as if it had been made here.
        assert_eq!(
            on_the_host(&files, shared.path(), &["look"]),
            on_the_host(&files, native.path(), &["look"])
        );
        // And the guest sees what the host changes.
        fs::write(shared.path().join("many/f7"), "changed\n").expect("a file");
        let run = boot(&scratch, &options, &["/in/here", "look"]);
        assert_eq!(run.out, on_the_host(&files, shared.path(), &["look"]), "{}", run.err);
        let run = boot(&scratch, &["--share", &format!("{share}:ro"), "--machine", machine], &["/in/here"]);
        assert!(run.out.contains("mkdir(\"tree\", 0755): -1 EEXIST"), "{}", run.out);
        assert!(run.out.contains("symlink(path, \"long\"): -1 EROFS"), "{}", run.out);
    }
    let run = boot(&scratch, &["--share", "/nowhere"], &["/"]);
    assert!(run.status == 1 && run.err.contains("/nowhere is not a folder"), "{}", run.err);
}
