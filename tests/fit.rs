//! Fitting: what the scan finds is held against what programs do, here and in the guest, and fitted images do the work.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use bespoke_tests::fitting::{
    Subject, Work, calls, cpython, http_server, json_in, lua, may_watch, memcached, needs, nginx, os_bytes,
    programs, redis, servers, shell, web_servers,
};
use bespoke_tests::{Scratch, Server, bespoke, free_port, program};
use serde_json::Value;

const EVERYTHING: &str = "schema = 1\nextends = \"preset:everything\"\n";

fn config(scratch: &Scratch) -> String {
    fs::read_to_string(scratch.path().join("app.toml")).expect("the config")
}

/// What a scan proposes is enough for every program to do its work.
#[test]
fn what_is_found_is_enough() {
    for subject in programs() {
        subject.check(&subject.new_config());
    }
}

/// And for every server to answer its clients.
#[test]
fn what_is_found_is_enough_for_servers() {
    for subject in servers().into_iter().chain(web_servers()) {
        subject.check(&subject.new_config());
    }
}

/// Nothing that a program does on the host was missed by the scan. Where tests may not trace there is nothing to hold it against.
fn nothing_is_missed(subject: &Subject) {
    let (scratch, name) = (subject.new_config(), subject.name());
    let Some(fitted) = subject.trace(&scratch) else { return };
    if let Work::Ends(_, _, status) = &subject.work {
        assert_eq!(fitted["status"].as_i64(), Some(i64::from(*status)), "{name}");
        subject.check(&scratch);
    }
    let (seen, found) = calls(&fitted["needs"]);
    let missed: Vec<&String> = seen.iter().filter(|call| !found.contains(call)).collect();
    assert!(seen.len() >= 5 && missed.is_empty(), "{name}: missed {missed:?} of {seen:?}");
}

#[test]
fn the_scan_misses_nothing_that_a_trace_sees() {
    for subject in programs() {
        nothing_is_missed(&subject);
    }
}

#[test]
fn the_scan_misses_nothing_that_a_trace_sees_of_servers() {
    for subject in [redis(), memcached(), http_server()] {
        nothing_is_missed(&subject);
    }
}

/// What a program uses in the guest is enough as well, and is much less.
fn enough_and_little(subject: &Subject) {
    let scratch = subject.new_config();
    let said = subject.learn(&scratch);
    if let Work::Ends(..) = subject.work {
        assert!(said.contains("\nproven: booted with these parts alone"), "{}: {said}", subject.name());
    }
    subject.check(&scratch);
    let (seen, found) = calls(&needs(&scratch));
    let missed: Vec<&String> = seen.iter().filter(|call| !found.contains(call)).collect();
    assert!(missed.is_empty(), "{}: missed {missed:?} of {seen:?}", subject.name());
    fs::write(scratch.path().join("all.toml"), EVERYTHING).expect("writable");
    let (fitted, all) = (os_bytes(&scratch, "app.toml"), os_bytes(&scratch, "all.toml"));
    assert!(fitted * 2 < all, "{}: {fitted} of {all} bytes", subject.name());
}

#[test]
fn what_is_learnt_is_enough_and_little() {
    for subject in programs() {
        enough_and_little(&subject);
    }
}

#[test]
fn what_is_learnt_of_servers_is_enough_and_little() {
    for subject in [redis(), nginx(), memcached()] {
        enough_and_little(&subject);
    }
}

/// Each part that a program was seen to need is missed when it is off, in the way that the evidence says.
fn every_seen_part_is_missed(subject: &Subject) {
    let Work::Ends(args, out, status) = &subject.work else { panic!("it ends") };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let scratch = subject.new_config();
    let learnt = scratch.run(&[&["fit", "app.toml", "--learn", "--json", "--"][..], &args].concat());
    let learnt = json_in(&learnt.out);
    // That something can be answered without a call is no need: without it there is the call.
    let seen = |part: &&Value| part["seen"] == true && part["decision"] == true && part["id"] != "abi.vdso";
    let parts: Vec<&Value> = learnt["parts"].as_array().expect("parts").iter().filter(seen).collect();
    assert!(parts.len() >= 5, "{}: {parts:?}", subject.name());
    let mut tried = 0;
    for part in parts {
        let id = part["id"].as_str().expect("an id");
        // What others that were seen require cannot go alone.
        if scratch.run(&["set", "app.toml", &format!("{id}=off")]).status != 0 {
            continue;
        }
        tried += 1;
        let run = scratch.boot(&args);
        let fails = (run.status, &run.out) != (*status, out);
        if !fails {
            // It goes on without: then what it asks of the part fails, as a run that is watched can tell.
            fs::remove_file(scratch.path().join("app.evidence.toml")).expect("evidence");
            let again = scratch.run(&[&["fit", "app.toml", "--learn", "--json", "--"][..], &args].concat());
            let again = json_in(&again.out);
            let needs = part["needs"].as_array().expect("needs").iter().filter_map(Value::as_str);
            let count = |all: &Value, need: &str, what: &str| all["needs"][need][what].as_u64().unwrap_or(0);
            let worse = |need: &str| {
                let (seen, failed) = (count(&again, need, "seen"), count(&again, need, "failed"));
                count(&learnt, need, "seen") > 0
                    && (seen == 0
                        || failed * count(&learnt, need, "seen") > count(&learnt, need, "failed") * seen)
            };
            let needs: Vec<&str> = needs.collect();
            assert!(
                needs.iter().any(|need| worse(need)),
                "{}: {id} is not missed: {needs:?} {again}",
                subject.name()
            );
        }
        assert_eq!(scratch.run(&["set", "app.toml", &format!("{id}=auto")]).status, 0, "{id}");
    }
    assert!(tried >= 5, "{}: {tried} parts could be turned off", subject.name());
    subject.check(&scratch);
}

#[test]
fn a_seen_part_is_missed_by_lua() {
    every_seen_part_is_missed(&lua());
}

#[test]
fn a_seen_part_is_missed_by_busybox() {
    every_seen_part_is_missed(&shell());
}

/// A server is learnt while its clients use it, and serves them then.
#[test]
fn a_server_is_learnt_with_its_clients() {
    let ask = |stream: &mut TcpStream, path: &str| {
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it is taken");
        let mut answer = String::new();
        // The last one is cut off by the server's end.
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let scratch = Scratch::new("");
    let web = program("web.go", "go").display().to_string();
    assert_eq!(scratch.run(&["new", &web, "-o", "app.toml", "--force"]).status, 0);
    let server = Server::command(&scratch, &["fit", "app.toml", "--learn", "-m", "128M"], 80, "ready");
    assert!(ask(&mut server.connect(), "/x").ends_with("hello /x\n"));
    ask(&mut server.connect(), "/quit");
    assert_eq!(server.status(), Some(0));
    let config = config(&scratch);
    assert!(config.contains("\"net.tcp\" = true") && config.contains("accept4 "), "{config}");
    assert!(!config.contains("\"net.unix\" = true"), "{config}");
    let server = Server::start(&scratch, 80, "ready", &["-m", "128M"]);
    assert!(ask(&mut server.connect(), "/again").ends_with("hello /again\n"));
}

/// Runs add up: what either of two uses is there for both.
#[test]
fn runs_add_up() {
    let scratch = lua().new_config();
    let scripts = [
        (
            "local f = io.open('/tmp/x', 'w') f:write('one') f:close() print(io.open('/tmp/x'):read('a'))",
            "one\n",
        ),
        ("print(io.open('/dev/null'):read('a') .. 'two')", "two\n"),
    ];
    let on = |id: &str| config(&scratch).contains(&format!("\"{id}\" = true"));
    for (script, _) in scripts {
        assert!(!on("fs.dev.null") || config(&scratch).contains("as far as its code tells"));
        let run = scratch.run(&["fit", "app.toml", "--learn", "--", "-e", script]);
        assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    }
    assert!(on("fs.dev.null") && on("fs.tmpfs"), "{}", config(&scratch));
    assert!(config(&scratch).contains("by its code and 2 runs that were watched"), "{}", config(&scratch));
    for (script, out) in scripts {
        let run = scratch.boot(&["-e", script]);
        assert_eq!((run.status, run.out.as_str()), (0, out), "{script}: {}", run.err);
    }
}

/// What runs on is ended by a time, or by a signal, and what was seen until then counts.
#[test]
fn what_runs_on_is_ended() {
    let (shell, lua) = (shell(), lua());
    if may_watch() {
        let scratch = shell.new_config();
        let name = shell.name();
        let watch = ["fit", "app.toml", "--json", "--for", "3s", "--trace", "--", &name, "sleep", "1000"];
        let fitted = json_in(&scratch.run(&watch).out);
        assert_eq!(fitted["status"].as_i64(), Some(128 + 15));
        // The call that it is in.
        let seen = calls(&fitted["needs"]).0;
        assert!(seen.iter().any(|call| call.ends_with("nanosleep")), "{seen:?}");
        let refused = scratch.run(&["fit", "app.toml", "--for", "3s"]);
        assert!(
            refused.status == 2 && refused.err.contains("--for is for a program that is watched"),
            "{}",
            refused.err
        );
    }
    let scratch = lua.new_config();
    let forever = "print('up') io.stdout:flush() while true do end";
    let server = Server::spawn(&scratch, "up", &["fit", "app.toml", "--learn", "--", "-e", forever]);
    let (status, said) = server.end("TERM");
    assert!(status == Some(0) && said.contains("it ends only when somebody ends it"), "{said}");
    assert!(config(&scratch).contains("\"abi.write\" = true "), "{}", config(&scratch));
}

/// A server that nobody ends is learnt for a time.
#[test]
fn a_program_is_learnt_for_a_time() {
    let scratch = lua().new_config();
    let forever = "print('up') io.stdout:flush() while true do end";
    let run = scratch.run(&["fit", "app.toml", "--learn", "--for", "15s", "--", "-e", forever]);
    assert!(
        run.status == 0 && run.out.contains("it ends only when somebody ends it"),
        "{}{}",
        run.out,
        run.err
    );
    assert!(config(&scratch).contains("\"abi.write\" = true "), "{}", config(&scratch));
}

/// What the user pinned off stays off while a program is learnt, with all that requires it.
#[test]
fn what_is_pinned_off_stays_off() {
    let scratch =
        Scratch::new("schema = 1\nextends = \"preset:lua\"\n\n[set]\n\"net.ipv4\" = false  # mine\n");
    let run = scratch.run(&["fit", "app.toml", "--learn", "--", "-e", "print('done')"]);
    assert!(run.status == 0 && run.out.contains("\nproven: "), "{}{}", run.out, run.err);
    let note = run.err.lines().find(|line| line.starts_with("note: not on while it is watched"));
    let note = note.unwrap_or_else(|| panic!("{}", run.err));
    assert!(note.contains("net.dhcp") && note.contains("net.arp") && !note.contains("net.ipv6"), "{note}");
    assert!(config(&scratch).contains("\"net.ipv4\" = false  # mine"), "{}", config(&scratch));
}

/// What a program does only when its fitted image is proven is fitted too; and what is typed then is for that machine.
#[test]
fn what_only_the_proof_shows_is_fitted_as_well() {
    let scratch = Scratch::new("");
    let program = program("sometimes.c", "musl").display().to_string();
    assert_eq!(scratch.run(&["new", &program, "-o", "app.toml", "--force"]).status, 0);
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", "600"])
        .arg(bespoke())
        .args(["fit", "app.toml", "--learn"])
        .current_dir(scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("timeout(1) runs");
    let (mut keys, mut console) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut said = String::new();
    let mut chunk = [0; 4096];
    // Each machine is typed to when it listens: as it is learnt, when it is proven, and when it is proven again.
    for (at, line) in ["no\n", "yes\n", "yes\n"].into_iter().enumerate() {
        while said.matches("ready").count() <= at {
            let count = console.read(&mut chunk).expect("a pipe");
            assert!(count > 0, "it ended early: {said}");
            said.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
        keys.write_all(line.as_bytes()).expect("it is taken");
    }
    console.read_to_string(&mut said).expect("UTF-8");
    assert!(child.wait().expect("it ends").success(), "{said}");
    let said = said.replace('\r', "");
    for words in ["heard no", "eventfd: is refused", "eventfd: works", "\nproven: "] {
        assert!(said.contains(words), "no {words:?} in: {said}");
    }
    assert!(said.contains("and was fitted again: eventfd2\n"), "{said}");
    assert!(config(&scratch).contains("eventfd2 1×"), "{}", config(&scratch));
}

/// What a server opens is packed, and that is enough for it.
#[test]
fn what_is_opened_is_packed_and_no_more() {
    if !may_watch() {
        eprintln!("not traced: nobody may watch programs here");
        return;
    }
    // Not in /tmp, where a checkout may be: what lies there is nothing that an image needs.
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    for mut subject in [nginx(), http_server()] {
        // What a trace does not find is not there.
        subject.config.clear();
        let Work::Serves(service) = &subject.work else { panic!("it serves") };
        fs::write(folder.path().join("unused"), "x").expect("a file");
        let port = free_port();
        let args = (service.args)(port, folder.path());
        let scratch = Scratch::new("");
        let name = subject.name();
        let mut command = vec!["new", &name, "-o", "app.toml", "--force", "--"];
        command.extend(args.iter().map(String::as_str));
        assert_eq!(scratch.run(&command).status, 0);
        let mut server = Server::spawn(&scratch, "", &["fit", "app.toml", "--trace"]);
        server.port = port;
        assert!(server.answers(b"PING\r\n\r\n", ""), "it does not listen: {}", server.said());
        (service.client)(&server);
        let (status, said) = server.end("TERM");
        assert_eq!(status, Some(0), "{said}");
        let page = folder.path().join("index.html").display().to_string();
        assert!(said.contains(&format!("packed: {page}  16 B\n")), "{said}");
        let config = config(&scratch);
        assert!(config.contains(&format!("{page:?} = {page:?}")) && !config.contains("unused"), "{config}");
        let server = Server::start(&scratch, port, service.ready, &["-m", service.memory]);
        (service.client)(&server);
    }
}

/// The program and libraries of another system, in a folder whose links are its own.
#[test]
fn a_program_of_another_root_brings_its_own_libraries() {
    let scratch = Scratch::new("");
    let lua = lua();
    let Work::Ends(args, ..) = &lua.work else { panic!("it ends") };
    // This machine's Lua and its libraries, laid out as distributions do.
    let here = lua.new_config();
    let libraries: Vec<String> = config(&here)
        .lines()
        .filter_map(|line| line.strip_prefix("#   /").map(|path| format!("/{path}")))
        .collect();
    assert!(libraries.len() >= 3, "{libraries:?}");
    let root = scratch.path().join("root");
    for library in &libraries {
        let to = root.join(format!("usr{library}").replace("usr/usr", "usr"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("writable");
        // Behind an absolute link, as alternatives are.
        let store = root.join("opt/store");
        fs::create_dir_all(&store).expect("writable");
        let name = Path::new(library).file_name().expect("a name");
        fs::copy(library, store.join(name)).expect("a copy");
        std::os::unix::fs::symlink(Path::new("/opt/store").join(name), &to).expect("a link");
    }
    for (link, to) in [("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin")] {
        std::os::unix::fs::symlink(to, root.join(link)).expect("a link");
    }
    fs::create_dir_all(root.join("usr/bin")).expect("writable");
    fs::copy("/usr/bin/lua5.4", root.join("usr/bin/lua5.4")).expect("a copy");
    let new = |program: &str| scratch.run(&["new", "--root", "root", program, "-o", "app.toml", "--force"]);
    for name in ["lua5.4", "/usr/bin/lua5.4", "root/usr/bin/lua5.4"] {
        let run = new(name);
        assert_eq!(run.status, 0, "{name}: {}", run.err);
        let text = config(&scratch);
        assert!(text.contains("path = \"/usr/bin/lua5.4\"\nroot = \"root\""), "{name}: {text}");
        assert!(libraries.iter().all(|library| text.contains(&format!("#   {library}\n"))), "{text}");
    }
    lua.check(&scratch);
    let learn = scratch.run(
        &[&["fit", "app.toml", "--learn", "--"], &args.iter().map(String::as_str).collect::<Vec<_>>()[..]]
            .concat(),
    );
    assert!(learn.status == 0 && learn.out.contains("\nproven: "), "{}{}", learn.out, learn.err);
    assert_eq!(scratch.run(&["check", "app.toml"]).status, 0);

    // What only this machine has does not stand in for what is missing there.
    let gone = libraries.iter().find(|library| !library.contains("ld-")).expect("a library");
    let name = Path::new(gone).file_name().expect("a name");
    fs::remove_file(root.join("opt/store").join(name)).expect("it was there");
    let run = scratch.run(&["build", "app.toml"]);
    assert!(run.status == 1 && run.err.contains("which is nowhere"), "{gone}: {}", run.err);
    let outside = new("/bin/no-such-program");
    assert!(outside.status == 1 && outside.err.contains("there is no program"), "{}", outside.err);
    let trace = scratch.run(&["fit", "app.toml", "--trace"]);
    assert!(trace.status == 1 && trace.err.contains("cannot be run here"), "{}", trace.err);
}

/// A program that changes is held against what is known of it.
#[test]
fn a_changed_program_is_told() {
    let scratch = Scratch::new("");
    let app = scratch.path().join("app");
    std::fs::copy(program("hello.c", "musl"), &app).expect("a copy");
    assert_eq!(scratch.run(&["new", "app", "-o", "app.toml", "--force"]).status, 0);
    let same = scratch.run(&["check", "app.toml"]);
    assert!(same.status == 0 && !same.out.contains("changed"), "{}{}", same.out, same.err);
    std::fs::copy(program("threads.c", "musl"), &app).expect("another copy");
    let other = scratch.run(&["check", "app.toml"]);
    assert!(other.out.contains("changed since it was fitted: /bin/app\n"), "{}{}", other.out, other.err);
    assert!(other.out.contains("  newly needs clone: served by sched.clone (off)\n"), "{}", other.out);
    assert_eq!(scratch.run(&["fit", "app.toml"]).status, 0);
    assert!(!scratch.run(&["check", "app.toml"]).out.contains("changed"));
}

/// A script in CPython is proposed all that it takes: in its code, and in the libraries that it loads as it runs.
#[test]
fn cpython_does_its_work_with_what_is_learnt() {
    enough_and_little(&cpython());
}

#[test]
fn only_what_a_program_can_start_is_told() {
    let said = |program: &str| {
        let run = Scratch::new("").run(&["new", program, "-o", "app.toml", "--force"]);
        assert_eq!(run.status, 0, "{}", run.err);
        run.out
    };
    let alone = said("/bin/true");
    assert!(!alone.contains("start processes"), "{alone}");
    let shell = said("/bin/sh");
    assert!(shell.contains("start processes") && shell.contains("fork"), "{shell}");
}
