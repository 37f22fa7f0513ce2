//! Programs from Debian's packages, unmodified: their interpreters and libraries are collected by the build.

use bespoke_tests::{Run, Scratch, program, python, run_in, workspace};

const SET: &str = "\"debug.log\" = false\n";

/// A config on everything for an installed program, with files packed.
fn installed(path: &str, files: &[(&str, &str)]) -> Scratch {
    assert!(std::path::Path::new(path).exists(), "{path} is missing; tests/run installs it");
    let files: String = files.iter().map(|(guest, host)| format!("{guest:?} = {host:?}\n")).collect();
    Scratch::new(&format!(
        "schema = 1\nextends = \"preset:everything\"\n[program]\npath = {path:?}\nenv = [\"HOME=/tmp\", \"PATH=/bin\"]\n\
         [files]\n{files}[set]\n{SET}"
    ))
}

#[track_caller]
fn expect(run: &Run, status: i32, out: &str) {
    assert_eq!((run.status, run.out.as_str()), (status, out), "standard error: {}", run.err);
}

fn source(name: &str) -> String {
    workspace().join("tests/programs").join(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn busybox_shell() {
    let scratch = installed("/bin/busybox", &[("/script.sh", &source("applets.sh"))]);
    let out = "line: one\nline: two\n1 2 3 \nx is a file\n/tmp is a directory\nsums are right\n/tmp/x\n/tmp\ncd is a shell builtin\n\
               5 llo hel\nstarts with h\nfunction with 2 arguments: p q\nleft\n";
    expect(&scratch.boot(&["sh", "/script.sh"]), 3, out);
}

#[test]
fn busybox_applets_one_by_one() {
    let scratch = installed("/bin/busybox", &[("/data/text", &source("applets.sh"))]);
    let real = std::fs::canonicalize("/bin/busybox").expect("it is installed");
    let exe = format!("{}\n", real.display());
    for (arguments, out) in [
        (&["head", "-n", "1", "/data/text"][..], "# What busybox' shell does without a second process.\n"),
        (&["wc", "-l", "/data/text"], "19 /data/text\n"),
        (&["grep", "-c", "echo", "/data/text"], "12\n"),
        (&["sed", "-n", "s/^set -//p", "/data/text"], "eu\n"),
        (&["awk", "BEGIN { print 6 * 7, length(\"bespoke\") }"], "42 7\n"),
        (&["ls", "/data"], "text\n"),
        (&["find", "/data", "-type", "f"], "/data/text\n"),
        (&["expr", "6", "*", "7"], "42\n"),
        (&["basename", "/a/b.c", ".c"], "b\n"),
        (&["seq", "3"], "1\n2\n3\n"),
        (&["uname", "-s"], "Linux\n"),
        (&["id", "-u"], "0\n"),
        (&["readlink", "/proc/self/exe"], &exe),
        (&["cat", "/proc/self/comm"], "busybox\n"),
        (&["sleep", "0.01"], ""),
    ] {
        expect(&scratch.boot(arguments), 0, out);
    }
    let run = scratch.boot(&["cat", "/missing"]);
    expect(&run, 1, "cat: can't open '/missing': No such file or directory\n");
}

#[test]
fn lua() {
    let script = "local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1009 end table.sort(t) \
                  local f = assert(io.open('/tmp/f', 'w')) f:write(table.concat(t, ' ')) f:close() \
                  local n = 0 for _ in io.open('/tmp/f'):read('a'):gmatch('%d+') do n = n + 1 end \
                  print(n, t[1], string.format('%5.2f', math.pi), select(2, pcall(error, 'caught'))) os.exit(4)";
    expect(&installed("/usr/bin/lua5.4", &[]).boot(&["-e", script]), 4, "1000\t1\t 3.14\tcaught\n");
}

#[test]
fn sqlite_shell() {
    let sql = "create table t (id integer primary key, v text); \
               with recursive n(i) as (select 1 union all select i + 1 from n where i < 500) insert into t (v) select 'v' || i from n; \
               create index v on t (v); delete from t where id % 2 = 0; \
               select count(*), min(v), max(id) from t; pragma integrity_check;";
    let scratch = installed("/usr/bin/sqlite3", &[]);
    expect(&scratch.boot(&["-batch", "-init", "/dev/null", "/tmp/db", sql]), 0, "250|v1|499\nok\n");
}

#[test]
fn cpython() {
    let (program, library) = python();
    let scratch = installed(&program, &[(&library, &library), ("/script.py", &source("script.py"))]);
    assert_eq!(scratch.run(&["build", "app.toml", "-o", "app.img"]).status, 0);
    let run = run_in(scratch.path(), &["run", "app.img", "-m", "512M", "--", "-I", "-B", "/script.py"]);
    let out = "{\"list\": [1, 2.5, null], \"name\": \"bespoke\"}\n['file2'] 1000\nthreads [0, 1, 2, 3, 4] 1000\nsqlite (100, 5050)\n\
               hash ba86c3e52a81fe02 4100689278\nfork: Function not implemented\nthrough a pipe\n";
    expect(&run, 9, out);
}

#[test]
fn a_program_named_by_a_link_finds_what_lies_beside_it() {
    let scratch = Scratch::new(
        "schema = 1\nextends = \"preset:everything\"\n[program]\npath = \"app\"\n[set]\n\"debug.log\" = false\n",
    );
    let folder = scratch.path();
    for name in ["bin", "lib"] {
        std::fs::create_dir(folder.join(name)).expect("a writable scratch folder");
    }
    let sources =
        [("own.c", "int own(void) { return 42; }"), ("app.c", "int own(void); int main() { return own(); }")];
    for (name, text) in sources {
        std::fs::write(folder.join(name), text).expect("a writable scratch folder");
    }
    for arguments in [
        &["-shared", "-fPIC", "-o", "lib/libown.so", "own.c"][..],
        &["-o", "bin/app", "app.c", "-Llib", "-lown", "-Wl,-rpath,$ORIGIN/../lib"],
    ] {
        let built = std::process::Command::new("gcc").args(arguments).current_dir(folder).status();
        assert!(built.expect("gcc runs; tests/run installs it").success());
    }
    std::os::unix::fs::symlink("bin/app", folder.join("app")).expect("a link");
    expect(&scratch.boot(&[]), 42, "");
}

#[test]
fn what_unwinds_a_thread_is_brought_along() {
    let program = program("unwinds.c", "shared");
    let scratch = Scratch::new("");
    let program = program.to_str().expect("a path in UTF-8");
    assert_eq!(scratch.run(&["new", program, "-o", "app.toml", "--force"]).status, 0);
    expect(&scratch.run(&["run", "app.toml"]), 3, "left\ncancelled\n");
}

#[test]
fn what_a_program_names_and_does_not_have_is_told() {
    let scratch = Scratch::new("");
    let run = scratch.run(&["new", "/usr/bin/lua5.4", "-o", "app.toml", "--force", "--", "/etc/passwd"]);
    assert!(run.out.contains(" /etc/passwd") && run.out.contains("--trace"), "{run:?}");
}
