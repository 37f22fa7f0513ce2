//! What each preset is booted with: by its test, and by the table of the README.

use crate::{Scratch, package, program, python, workspace};
use bespoke_kernel::run::Running;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A preset at its work.
pub struct Workload {
    /// The preset's name.
    pub preset: &'static str,
    /// The program, in a few words.
    pub what: &'static str,
    /// Entries of `[program]` and `[files]`, for a preset that leaves them to its user.
    pub config: String,
    /// Arguments of the program; none leaves the preset's own.
    pub args: Vec<&'static str>,
    /// What comes of it.
    pub answer: Answer,
}

/// What a program that works well does.
pub enum Answer {
    /// It ends, with this status, having printed this and nothing else.
    Ends(i32, &'static str),
    /// It ends, with this status, and this is in what it printed.
    Says(i32, &'static str),
    /// It answers what is sent to the port with something that has the last in it.
    Serves(u16, &'static [u8], &'static str),
}

const GET: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const HELLO: &str = "Hello from a program and the operating system cut to fit it.\n";
const LUA: &str = "local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1009 end table.sort(t) \
    local f = assert(io.open('/tmp/f', 'w')) f:write(table.concat(t, ' ')) f:close() \
    local n = 0 for _ in io.open('/tmp/f'):read('a'):gmatch('%d+') do n = n + 1 end \
    local gone, why = os.remove('/nowhere') \
    print(n, t[1], os.getenv('HOME'), os.time() > 1e9, os.clock() > 0, #os.tmpname() > 5, os.remove('/tmp/f'), why, pcall(error, 'caught')) os.exit(4)";
const SQL: &str = "create table t (id integer primary key, v text); \
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 500) insert into t (v) select 'v' || i from n; \
    create index v on t (v); delete from t where id % 2 = 0; \
    select count(*), min(v), max(id), date('now') > '2000', hex(randomblob(8)) <> '' from t; pragma integrity_check;";

fn built(source: &str, flavour: &str) -> String {
    format!("[program]\npath = {:?}\n", program(source, flavour))
}

fn source(name: &str) -> String {
    format!("{:?}", workspace().join("tests/programs").join(name))
}

/// One for each preset that ships.
pub fn workloads() -> Vec<Workload> {
    let new = |preset, what, config, args: &[&'static str], answer| Workload {
        preset,
        what,
        config,
        args: args.to_vec(),
        answer,
    };
    let none = String::new;
    let (python, library) = python();
    let python = format!(
        "[program]\npath = {python:?}\nenv = [\"HOME=/tmp\"]\n[files]\n{library:?} = {library:?}\n\"/script.py\" = {}\n",
        source("script.py")
    );
    vec![
        new("hello", "the demo", none(), &[], Answer::Ends(0, HELLO)),
        new("c", "hello, C with musl", built("hello.c", "musl"), &[], Answer::Ends(42, "hello from C\n")),
        new(
            "rust",
            "threads in Rust",
            built("hello.rs", "rust"),
            &[],
            Answer::Says(5, "hello from Rust, threads say"),
        ),
        new(
            "go",
            "goroutines in Go",
            built("hello.go", "go"),
            &[],
            Answer::Ends(7, "hello from Go, goroutines say 499500 with 64 blocks kept\n"),
        ),
        new(
            "shell",
            "a script in busybox",
            format!("[files]\n\"/script.sh\" = {}\n", source("applets.sh")),
            &["sh", "/script.sh"],
            Answer::Ends(
                3,
                "line: one\nline: two\n1 2 3 \nx is a file\n/tmp is a directory\nsums are right\n/tmp/x\n/tmp\ncd is a shell builtin\n\
                 5 llo hel\nstarts with h\nfunction with 2 arguments: p q\nleft\n",
            ),
        ),
        new(
            "lua",
            "a script in Lua",
            none(),
            &["-e", LUA],
            Answer::Ends(
                4,
                "1000\t1\t/tmp\ttrue\ttrue\ttrue\ttrue\t/nowhere: No such file or directory\tfalse\tcaught\n",
            ),
        ),
        new(
            "sqlite",
            "a database in SQLite's shell",
            none(),
            &["-batch", "-init", "/dev/null", "/tmp/db", SQL],
            Answer::Ends(0, "250|v1|499|1|1\nok\n"),
        ),
        new(
            "python",
            "a script in CPython, threads and sqlite3",
            python,
            &["-I", "-B", "/script.py"],
            Answer::Ends(
                9,
                "{\"list\": [1, 2.5, null], \"name\": \"bespoke\"}\n['file2'] 1000\nthreads [0, 1, 2, 3, 4] 1000\nsqlite (100, 5050)\n\
                 hash ba86c3e52a81fe02 4100689278\nfork: Function not implemented\nthrough a pipe\n",
            ),
        ),
        new("redis", "Redis", none(), &[], Answer::Serves(6379, b"PING\r\n", "+PONG")),
        new("memcached", "memcached", none(), &[], Answer::Serves(11211, b"version\r\n", "VERSION ")),
        new("nginx", "nginx and a page", none(), &[], Answer::Serves(80, GET, "200 OK")),
        new("http-go", "net/http in Go", built("web.go", "go"), &[], Answer::Serves(80, GET, "200 OK")),
        new(
            "http-rust",
            "hyper on tokio in Rust",
            format!("[program]\npath = {:?}\n", package("web")),
            &[],
            Answer::Serves(80, GET, "200 OK"),
        ),
        new(
            "everything",
            "the demo, and all parts",
            none(),
            &[],
            Answer::Says(0, "the operating system cut to fit it."),
        ),
    ]
}

impl Workload {
    /// Its config, in a folder of its own.
    pub fn scratch(&self) -> Scratch {
        Scratch::new(&format!("schema = 1\nextends = \"preset:{}\"\n{}", self.preset, self.config))
    }
}

/// Reads a machine's console for nobody, so that it does not fill its pipe; what does so ends with the machine.
pub fn drain(running: &mut Running) -> JoinHandle<()> {
    let mut output = running.take_output().expect("the console is piped");
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut output, &mut std::io::sink());
    })
}

/// Asks a server until it answers with these words, or is gone, or the time is over. QEMU takes connections long before the guest does, and
/// ends them or never has them answered: so each question is asked anew before the one before it is given up.
pub fn answers(port: u16, ask: &[u8], reply: &str, patience: Duration, is_gone: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    let mut questions: Vec<Question> = Vec::new();
    let (mut pause, mut next) = (Duration::from_millis(20), started);
    while started.elapsed() < patience && !is_gone() {
        if Instant::now() >= next {
            questions.extend(Question::put(port, ask));
            next = Instant::now() + pause;
            pause = (pause * 5 / 4).min(Duration::from_secs(2));
        }
        questions.retain_mut(Question::is_open);
        if questions.iter().any(|question| String::from_utf8_lossy(&question.said).contains(reply)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// A connection with a question that has been sent.
struct Question {
    stream: TcpStream,
    put: Instant,
    said: Vec<u8>,
}

impl Question {
    fn put(port: u16, ask: &[u8]) -> Option<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.write_all(ask).and_then(|()| stream.set_nonblocking(true)).ok()?;
        Some(Self { stream, put: Instant::now(), said: Vec::new() })
    }

    /// Takes what has come. False: no more will come, or it took too long.
    fn is_open(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let open = match self.stream.read(&mut chunk) {
            Ok(count) => {
                self.said.extend_from_slice(&chunk[..count]);
                count > 0
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        open && self.put.elapsed() < Duration::from_secs(10)
    }
}

/// The names of the presets that ship, sorted.
pub fn presets() -> Vec<String> {
    let folder = std::fs::read_dir(workspace().join("presets")).expect("presets/");
    let name = |path: &Path| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = folder.filter_map(|entry| name(&entry.ok()?.path())).collect();
    names.sort();
    names
}
