//! Programs that are fitted: by tests, and for README's table.

use crate::clients::{self, REDIS_READY, curl};
use crate::workloads::workloads;
use crate::{Scratch, Server, free_port, package, program, python, workspace};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// A program with something for it to do, the same here and in a guest.
pub struct Subject {
    /// What it is, in a few words.
    pub what: &'static str,
    /// Its file.
    pub program: PathBuf,
    /// Tables for the end of its config.
    pub config: String,
    /// Its work.
    pub work: Work,
}

/// What a program does.
pub enum Work {
    /// It is run with these arguments, prints this and ends with this status.
    Ends(Vec<String>, String, i32),
    /// It serves.
    Serves(Service),
}

/// A server and its client.
pub struct Service {
    /// The port in the guest.
    pub port: u16,
    /// Its arguments, for a port, and a folder that is its own.
    pub args: fn(u16, &Path) -> Vec<String>,
    /// What it says when it is ready.
    pub ready: &'static str,
    /// Uses what is at a port of this machine; panics when that does not answer as it has to.
    pub client: fn(&Server),
    /// The memory that a guest needs for it.
    pub memory: &'static str,
}

const SQL: &str = "create table t (id integer primary key, v text); insert into t (v) values ('a'), ('b'); select count(*) from t;";
const LUA: &str = "local f = assert(io.open('/tmp/bespoke-fit', 'w')) f:write('x') f:close() \
                   print(#io.open('/tmp/bespoke-fit'):read('a'), 6 * 7) os.remove('/tmp/bespoke-fit') os.exit(4)";

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A program with arguments, and what comes of it here.
pub fn ends(what: &'static str, program: impl AsRef<Path>, args: &[&str]) -> Subject {
    let program = program.as_ref().to_owned();
    // The environment that a new config has.
    let here = Command::new(&program).args(args).env_clear().env("HOME", "/").output();
    let here = here.unwrap_or_else(|error| panic!("{}: {error}; tests/run installs it", program.display()));
    let out = String::from_utf8(here.stdout).expect("UTF-8");
    let status = here.status.code().expect("no signal");
    Subject { what, program, config: String::new(), work: Work::Ends(words(args), out, status) }
}

/// Lua with a script that makes and removes a file.
pub fn lua() -> Subject {
    ends("a script in Lua", "/usr/bin/lua5.4", &["-e", LUA])
}

/// Busybox' shell.
pub fn shell() -> Subject {
    ends(
        "a script in busybox",
        "/bin/busybox",
        &["sh", "-c", "x=$((6 * 7)); echo $x; test -d /tmp && exit 5"],
    )
}

/// Programs that come to an end.
pub fn programs() -> Vec<Subject> {
    vec![
        ends("hello, C with musl", program("hello.c", "musl"), &[]),
        ends("hello, C with glibc", program("hello.c", "glibc"), &[]),
        ends("hello, the same as static PIE", program("hello.c", "glibc-pie"), &[]),
        ends("hello, C++", program("hello.cc", "c++"), &[]),
        ends("threads in Rust", program("hello.rs", "rust"), &[]),
        ends("goroutines in Go", program("hello.go", "go"), &[]),
        lua(),
        ends("SQLite's shell", "/usr/bin/sqlite3", &["-batch", "-init", "/dev/null", ":memory:", SQL]),
        shell(),
    ]
}

/// CPython with a script that uses threads, hashes and sqlite3. In a guest only: its script wants to be without a second process.
pub fn cpython() -> Subject {
    let workload = workloads().into_iter().find(|workload| workload.preset == "python").expect("a workload");
    let crate::workloads::Answer::Ends(status, out) = workload.answer else { panic!("it ends") };
    let (program, library) = python();
    let script = workspace().join("tests/programs/script.py");
    Subject {
        what: "a script in CPython, threads and sqlite3",
        program: program.into(),
        config: format!("[files]\n{library:?} = {library:?}\n\"/script.py\" = {script:?}\n"),
        work: Work::Ends(words(&workload.args), out.to_owned(), status),
    }
}

fn serves(what: &'static str, program: impl AsRef<Path>, config: String, service: Service) -> Subject {
    Subject { what, program: program.as_ref().to_owned(), config, work: Work::Serves(service) }
}

/// Redis, asked by its own client.
pub fn redis() -> Subject {
    let args = |port: u16, folder: &Path| {
        let folder = folder.display().to_string();
        let port = port.to_string();
        words(&[
            "--port",
            &port,
            "--bind",
            "0.0.0.0",
            "--protected-mode",
            "no",
            "--dir",
            &folder,
            "--save",
            "",
        ])
    };
    let client = |server: &Server| {
        let ask = |words: &[&str]| clients::redis(server, words);
        assert_eq!(ask(&["SET", "fitted", "yes", "EX", "1000"]), ["OK"]);
        assert_eq!(ask(&["GET", "fitted"]), ["yes"]);
        assert_eq!(ask(&["RPUSH", "list", "a", "b", "c"]), ["3"]);
        assert_eq!(ask(&["LRANGE", "list", "0", "-1"]), ["a", "b", "c"]);
        assert!(ask(&["INFO"]).iter().any(|line| line.starts_with("redis_version:")));
    };
    let service = Service { port: 6379, args, ready: REDIS_READY, client, memory: "128M" };
    serves("Redis", "/usr/bin/redis-server", String::new(), service)
}

/// memcached, asked in its own words.
pub fn memcached() -> Subject {
    let args = |port: u16, _: &Path| {
        let port = port.to_string();
        words(&["-u", "root", "-t", "1", "-m", "32", "-b", "1024", "-U", "0", "-l", "0.0.0.0", "-p", &port])
    };
    let client = |server: &Server| {
        let stored = server.answers(b"set fitted 0 0 3\r\nyes\r\nget fitted\r\n", "VALUE fitted 0 3\r\nyes");
        assert!(stored, "{}", server.said());
        assert!(server.answers(b"stats\r\n", "curr_items 1"), "{}", server.said());
    };
    // It says nothing: the client asks until it is answered.
    let service = Service { port: 11211, args, ready: "", client, memory: "128M" };
    let passwd = "[text]\n\"/etc/passwd\" = \"root:x:0:0::/:/bin/false\\n\"\n".to_owned();
    serves("memcached", "/usr/bin/memcached", passwd, service)
}

/// The page that web servers serve.
pub const PAGE: &str = "<h1>fitted</h1>\n";

fn page(server: &Server) {
    assert!(server.answers(b"GET /index.html HTTP/1.0\r\n\r\n", "200 OK"), "no answer: {}", server.said());
    assert_eq!(curl(server, &[":/index.html"]), PAGE.as_bytes());
    assert_eq!(curl(server, &["-o", "/dev/null", "-w", "%{http_code}", ":/missing"]), b"404");
}

/// nginx with a configuration and a page in a folder: that of the arguments.
pub fn nginx() -> Subject {
    let args = |port: u16, folder: &Path| {
        let config = folder.join("nginx.conf");
        // In a guest the folder is packed.
        if folder != Path::new(SITE) {
            site(folder);
            fs::write(&config, nginx_conf(port, folder, "/tmp/bespoke-")).expect("a configuration");
        }
        words(&["-e", "stderr", "-c", &config.display().to_string()])
    };
    let service = Service { port: 80, args, ready: "", client: page, memory: "128M" };
    let config = format!(
        "[text]\n\"/etc/passwd\" = \"nobody:x:65534:65534::/:/bin/false\\n\"\n\"/etc/group\" = \"nogroup:x:65534:\\n\"\n\
         \"{SITE}/index.html\" = {PAGE:?}\n\"{SITE}/nginx.conf\" = {:?}\n",
        nginx_conf(80, Path::new(SITE), "/tmp/")
    );
    serves("nginx", "/usr/sbin/nginx", config, service)
}

/// Where a guest has its pages.
pub const SITE: &str = "/site";

/// `temporary` is how the names of its temporary folders begin.
fn nginx_conf(port: u16, folder: &Path, temporary: &str) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {temporary}{kind};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\nerror_log stderr notice;\npid /tmp/bespoke-nginx-{port}.pid;\nevents {{}}\n\
         http {{\naccess_log off;\nsendfile on;\n{temporary}server {{ listen {port}; root {folder}; }}\n}}\n"
    )
}

fn site(folder: &Path) {
    fs::write(folder.join("index.html"), PAGE).expect("a page");
}

/// CPython's own web server.
pub fn http_server() -> Subject {
    let args = |port: u16, folder: &Path| {
        if folder != Path::new(SITE) {
            site(folder);
        }
        let (port, folder) = (port.to_string(), folder.display().to_string());
        words(&["-IBu", "-m", "http.server", &port, "--directory", &folder])
    };
    let (program, library) = python();
    let config = format!("[files]\n{library:?} = {library:?}\n[text]\n\"{SITE}/index.html\" = {PAGE:?}\n");
    let ready = "Serving HTTP on";
    serves(
        "CPython's http.server",
        program,
        config,
        Service { port: 80, args, ready, client: page, memory: "512M" },
    )
}

fn greeted(server: &Server) {
    assert!(server.answers(b"GET /x HTTP/1.0\r\n\r\n", "hello /x"), "no answer: {}", server.said());
    assert_eq!(curl(server, &[":/bytes/5"]), [0, 1, 2, 3, 4]);
}

/// The web servers that tests build.
pub fn web_servers() -> Vec<Subject> {
    let service =
        || Service { port: 80, args: |_, _| Vec::new(), ready: "ready", client: greeted, memory: "128M" };
    vec![
        serves("net/http in Go", program("web.go", "go"), String::new(), service()),
        serves("hyper on tokio in Rust", package("web"), String::new(), service()),
    ]
}

/// Servers as Debian packages them, each with its client.
pub fn servers() -> Vec<Subject> {
    vec![redis(), nginx(), memcached(), http_server()]
}

impl Subject {
    /// Its name, for messages.
    pub fn name(&self) -> String {
        self.program.display().to_string()
    }

    /// Whether it can do the same work here, beside whatever else runs here.
    pub fn runs_here(&self) -> bool {
        match &self.work {
            Work::Ends(..) => self.config.is_empty(),
            Work::Serves(service) => !(service.args)(1, Path::new(self.folder())).is_empty(),
        }
    }

    /// A folder with the config that `bespoke new` writes, and what the program needs besides.
    pub fn new_config(&self) -> Scratch {
        let scratch = Scratch::new("");
        let name = self.name();
        let mut args = vec!["new", &name, "-o", "app.toml", "--force"];
        let own = match &self.work {
            Work::Serves(service) => (service.args)(service.port, Path::new(self.folder())),
            Work::Ends(..) => Vec::new(),
        };
        if !own.is_empty() {
            args.push("--");
            args.extend(own.iter().map(String::as_str));
        }
        let run = scratch.run(&args);
        assert_eq!(run.status, 0, "{name}: {}", run.err);
        let path = scratch.path().join("app.toml");
        let text = fs::read_to_string(&path).expect("the config");
        fs::write(&path, format!("{text}\n{}", self.config)).expect("a writable folder");
        // What the other files ask for counts too.
        if !self.config.is_empty() {
            let run = scratch.run(&["fit", "app.toml"]);
            assert_eq!(run.status, 0, "{name}: {}", run.err);
        }
        scratch
    }

    /// Its own folder in a guest.
    fn folder(&self) -> &'static str {
        if self.config.contains(SITE) { SITE } else { "/tmp" }
    }

    /// Boots what is in a folder, and holds what it does against what it has to do.
    #[track_caller]
    pub fn check(&self, scratch: &Scratch) {
        match &self.work {
            Work::Ends(args, out, status) => {
                // What comes with a language takes more than is usual.
                let boot = ["run", "app.toml", "-m", "512M", "--"].into_iter();
                let run = scratch.run(&boot.chain(args.iter().map(String::as_str)).collect::<Vec<_>>());
                assert_eq!((run.status, own(&run.out)), (*status, own(out)), "{}: {}", self.name(), run.err);
            }
            Work::Serves(service) => {
                let server = Server::start(scratch, service.port, service.ready, &["-m", service.memory]);
                (service.client)(&server);
            }
        }
    }

    /// Has `bespoke fit --learn` watch it in a guest at its work; what that printed.
    #[track_caller]
    pub fn learn(&self, scratch: &Scratch) -> String {
        match &self.work {
            Work::Ends(args, ..) => {
                let mut command = vec!["fit", "app.toml", "--learn", "--"];
                command.extend(args.iter().map(String::as_str));
                // Which calls of the scheduler a threaded program makes hangs on how its threads meet: then another run adds what one lacks.
                let mut run = scratch.run(&command);
                for _ in 0..3 {
                    if run.out.contains("not proven: ") && run.out.contains("; refused were sched_yield\n") {
                        run = scratch.run(&command);
                    }
                }
                assert_eq!(run.status, 0, "{}: {}{}", self.name(), run.out, run.err);
                run.out
            }
            Work::Serves(service) => {
                let command = ["fit", "app.toml", "--learn", "-m", service.memory];
                let server = Server::command(scratch, &command, service.port, service.ready);
                (service.client)(&server);
                let (status, said) = server.end("TERM");
                assert_eq!(status, Some(0), "{}: {said}", self.name());
                said
            }
        }
    }

    /// Has `bespoke fit --trace` watch it here; what was found out, unless nobody may watch here. A server's own folder is gone afterwards, so that
    /// the config boots no more.
    #[track_caller]
    pub fn trace(&self, scratch: &Scratch) -> Option<Value> {
        let name = self.name();
        let mut command = vec!["fit", "app.toml", "--json", "--trace", "--", &name];
        let (said, forbidden) = match &self.work {
            Work::Ends(args, ..) => {
                command.extend(args.iter().map(String::as_str));
                let run = scratch.run(&command);
                (run.out, run.err.contains("cannot be watched"))
            }
            Work::Serves(service) => {
                let port = free_port();
                // Not in /tmp: what lies there is nothing that an image needs.
                let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
                let own = (service.args)(port, folder.path());
                command.extend(own.iter().map(String::as_str));
                if !may_watch() {
                    eprintln!("not traced: nobody may watch programs here");
                    return None;
                }
                let mut server = Server::spawn(scratch, "", &command);
                server.port = port;
                assert!(server.answers(b"PING\r\n\r\n", ""), "{name} does not listen: {}", server.said());
                (service.client)(&server);
                let (status, said) = server.end("TERM");
                assert_eq!(status, Some(0), "{name}: {said}");
                (said, false)
            }
        };
        if forbidden {
            eprintln!("not traced: nobody may watch programs here");
            return None;
        }
        Some(json_in(&said))
    }
}

/// Whether programs may be watched here.
pub fn may_watch() -> bool {
    static MAY: LazyLock<bool> = LazyLock::new(|| {
        let scratch = Scratch::new("schema = 1\n[program]\npath = \"/bin/true\"\n");
        !scratch.run(&["fit", "app.toml", "--trace"]).err.contains("cannot be watched")
    });
    *MAY
}

/// The program's own words, with what its threads say in one order. Which calls of the scheduler a threaded program makes hangs on how its threads
/// meet, and that it goes on without one is named on the console.
fn own(out: &str) -> String {
    let own = |line: &&str| !(line.starts_with("bespoke: system call ") && line.contains(": sched."));
    let settled = |line: &str| match line
        .split_once("threads say [")
        .and_then(|(before, rest)| Some((before, rest.split_once(']')?)))
    {
        Some((before, (said, after))) => {
            let mut said: Vec<&str> = said.split(", ").collect();
            said.sort_unstable();
            format!("{before}threads say [{}]{after}", said.join(", "))
        }
        None => line.to_owned(),
    };
    out.split_inclusive('\n').filter(own).map(settled).collect()
}

/// The JSON that stands behind a program's own output.
pub fn json_in(said: &str) -> Value {
    let answer = said.find("\n{\n").map_or(said, |at| &said[at + 1..]);
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// What `bespoke size` says of a config's operating system, in bytes.
pub fn os_bytes(scratch: &Scratch, config: &str) -> u64 {
    scratch.sizes(config)["os_bytes"].as_u64().expect("a size")
}

/// The calls in what `fit --json` said, or in evidence: those seen, and those found.
pub fn calls(needs: &Value) -> (Vec<String>, Vec<String>) {
    let needs = needs.as_object().expect("needs");
    let with = |key: &str| {
        let some = needs.iter().filter(|(need, witness)| {
            need.starts_with("call:") && witness.get(key).and_then(Value::as_u64) > Some(0)
        });
        some.map(|(need, _)| need["call:".len()..].to_owned()).collect()
    };
    (with("seen"), with("found"))
}

/// The needs in the evidence beside a folder's config.
pub fn needs(scratch: &Scratch) -> Value {
    let text = fs::read_to_string(scratch.path().join("app.evidence.toml")).expect("evidence");
    let evidence: toml::Value = text.parse::<toml::Table>().map(toml::Value::Table).expect("TOML");
    serde_json::to_value(&evidence["needs"]).expect("JSON")
}
