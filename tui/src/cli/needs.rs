//! What a program needs of the operating system, as far as that shows from the outside.
//!
//! A program's language and C library tell what happens before and around `main`. The functions that a dynamic program
//! asks its C library for, and the paths that are written in it, tell more. A static program holds all of its C library,
//! used or not, so nothing can be told from the names in it.

use bespoke_kernel::program::{Language, Libc, Program, ProgramKind};
use bespoke_model::{Kind, Tree};
use memchr::memmem;

/// A part that a program is likely to need, and why.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// The part, or a choice.
    pub id: &'static str,
    /// The member, for a choice.
    pub member: Option<&'static str>,
    /// Why.
    pub why: &'static str,
}

impl Need {
    /// Whether the tree has it.
    pub fn is_in(&self, tree: &Tree) -> bool {
        tree.find(self.id).is_some_and(|n| (tree.node(n).kind == Kind::Choice) == self.member.is_some())
    }

    /// Its line in a config.
    pub fn line(&self) -> String {
        match self.member {
            Some(member) => format!("\"{}\" = \"{member}\"", self.id),
            None => format!("\"{}\" = true", self.id),
        }
    }
}

const fn part(id: &'static str, why: &'static str) -> Need {
    Need { id, member: None, why }
}

const fn member(id: &'static str, member: &'static str, why: &'static str) -> Need {
    Need { id, member: Some(member), why }
}

/// What is called before and around any `main`.
const EVERY: &[Need] = &[
    part("abi.write", "to print"),
    part("abi.read", "to read"),
    part("abi.descriptors", "to close and copy descriptors"),
    part("abi.tls", "thread-local storage, set up before main"),
    part("abi.open", "to open files"),
    part("abi.stat", "to look at files"),
    part("abi.terminal", "the C library asks whether it prints to a terminal"),
    part("abi.clock", "to tell the time"),
    part("abi.random", "for hash seeds and stack canaries"),
    part("memory.brk", "the C library's heap"),
    part("memory.mmap", "large allocations, and thread stacks"),
    part("memory.protect", "relocated data is made read-only"),
    part("sched.signal", "runtimes set their signal handlers up"),
];

const GLIBC: &[Need] = &[
    part("abi.limits", "glibc asks for the stack limit"),
    part("abi.system", "glibc asks for the kernel's name and release"),
    part("abi.links", "glibc finds its own path"),
];

const THREADS: &[Need] = &[
    part("sched.futex", "locks"),
    part("sched.clone", "threads"),
    part("sched.sleep", "waiting"),
    part("sched.yielding", "spinning locks give way"),
    part("sched.affinity", "the runtime counts processors"),
    part("abi.identity", "the runtime asks for thread ids"),
];

const RUST: &[Need] = &[
    part("abi.poll", "the runtime checks its standard descriptors"),
    part("memory.advice", "allocators give memory back"),
];

const GO: &[Need] = &[
    part("sched.timer", "Go's scheduler preempts with timers"),
    part("memory.advice", "Go's collector gives memory back"),
    part("fs.epoll", "Go waits for events with it, timers included"),
    part("fs.eventfd", "Go wakes its waiting thread through one"),
    part("fs.pipe", "older runtimes of Go wake it through a pipe"),
    part("abi.limits", "Go raises its limit on open files"),
];

/// Functions by which a part shows.
struct Sign {
    functions: &'static [&'static str],
    needs: &'static [Need],
}

const FUNCTIONS: &[Sign] = &[
    Sign { functions: &["pthread_create", "thrd_create"], needs: THREADS },
    Sign {
        functions: &[
            "opendir",
            "fdopendir",
            "scandir",
            "scandir64",
            "nftw",
            "nftw64",
            "fts_open",
            "getdents64",
        ],
        needs: &[part("abi.directories", "it lists folders")],
    },
    Sign {
        functions: &[
            "rename",
            "renameat",
            "unlink",
            "unlinkat",
            "mkdir",
            "rmdir",
            "symlink",
            "link",
            "truncate64",
            "ftruncate",
            "ftruncate64",
            "mkstemp",
            "mkstemp64",
            "tmpfile",
            "tmpfile64",
            "remove",
        ],
        needs: &[
            part("abi.modify", "it makes and removes files"),
            member("fs.root", "memory", "so that there is a place where files can be written"),
        ],
    },
    Sign {
        functions: &["fsync", "fdatasync", "sync", "msync"],
        needs: &[part("abi.sync", "it waits until files are on the disk")],
    },
    Sign {
        functions: &["getxattr", "lgetxattr", "listxattr", "setxattr"],
        needs: &[part("abi.attributes", "it looks at extended attributes")],
    },
    Sign {
        functions: &["poll", "__poll_chk", "ppoll", "select", "pselect"],
        needs: &[part("abi.poll", "it waits for more than one file")],
    },
    Sign { functions: &["epoll_create", "epoll_create1"], needs: &[part("fs.epoll", "it waits for events")] },
    Sign { functions: &["eventfd"], needs: &[part("fs.eventfd", "it wakes its threads with counters")] },
    Sign { functions: &["pipe", "pipe2"], needs: &[part("fs.pipe", "it makes pipes")] },
    Sign {
        functions: &["readlink", "readlinkat", "realpath", "__realpath_chk"],
        needs: &[part("abi.links", "it follows links")],
    },
    Sign {
        functions: &["getpid", "getuid", "geteuid", "getgid", "getegid", "umask", "setsid"],
        needs: &[part("abi.identity", "it asks who it is")],
    },
    Sign {
        functions: &["uname", "gethostname", "sysinfo"],
        needs: &[part("abi.system", "it asks where it runs")],
    },
    Sign {
        functions: &["getrlimit", "getrlimit64", "setrlimit", "setrlimit64", "getrusage", "sysconf"],
        needs: &[part("abi.limits", "it asks for its limits")],
    },
    Sign {
        functions: &["sendfile", "sendfile64", "copy_file_range", "splice"],
        needs: &[part("abi.transfer", "it copies between files")],
    },
    Sign {
        functions: &["nanosleep", "usleep", "sleep", "clock_nanosleep"],
        needs: &[part("sched.sleep", "it waits for some time to pass")],
    },
    Sign {
        functions: &["timer_create", "setitimer", "alarm", "timerfd_create"],
        needs: &[part("sched.timer", "it sets timers")],
    },
    Sign {
        functions: &["sigtimedwait", "sigwaitinfo", "sigwait", "signalfd"],
        needs: &[part("sched.signal-wait", "it waits for signals")],
    },
    Sign { functions: &["madvise"], needs: &[part("memory.advice", "it says how it uses its memory")] },
    Sign {
        functions: &["socket"],
        needs: &[
            part("net.socket", "it opens sockets"),
            part("net.inet", "addresses of the internet"),
            part("net.tcp", "streams"),
            part("net.udp", "datagrams"),
            part("net.timeouts", "it may wait for a peer only so long"),
            part("driver.virtio-net", "the network card"),
        ],
    },
];

/// Paths that are written in a program, and the part that serves them.
const PATHS: &[(&[&str], Need)] = &[
    (&["/dev/null"], part("fs.dev.null", "it names /dev/null")),
    (&["/dev/zero"], part("fs.dev.zero", "it names /dev/zero")),
    (&["/dev/random", "/dev/urandom"], part("fs.dev.random", "it names /dev/urandom")),
    (
        &["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/fd"],
        part("fs.dev.streams", "it names its standard streams as files"),
    ),
    (&["/proc/self", "/proc/%"], part("fs.proc.process", "it reads about itself in /proc")),
    (
        &["/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/sys/", "/proc/mounts", "/proc/filesystems"],
        part("fs.proc.system", "it reads about the system in /proc"),
    ),
    (&["/tmp/", "/var/tmp"], part("fs.tmpfs", "it names /tmp")),
];

/// Whether the functions that a library asks for tell something about its program. C libraries and language runtimes hold
/// everything that a program might use, and some others are there for services that a machine of one program has not.
pub fn tells(library: &str) -> bool {
    let name = library.rsplit('/').next().unwrap_or_default();
    const RUNTIMES: &[&str] = &[
        "ld-",
        "libc.",
        "libm.",
        "libgcc",
        "libstdc++",
        "libc++",
        "libpthread",
        "librt",
        "libresolv",
        "libnss",
        "libselinux",
        "libaudit",
        "libpam",
        "libsystemd",
    ];
    name.contains(".so") && !RUNTIMES.iter().any(|runtime| name.starts_with(runtime))
}

/// What a program is likely to need, each part once. `libraries` are the texts of those that it brings along.
pub fn needs(program: &Program, bytes: &[u8], libraries: &[Vec<u8>]) -> Vec<Need> {
    let mut found: Vec<Need> = EVERY.to_vec();
    let dynamic = matches!(program.kind, ProgramKind::Dynamic { .. });
    let glibc = program.libc == Some(Libc::Glibc);
    if glibc || dynamic {
        found.extend(GLIBC);
    }
    if program.language.is_some() || (glibc && !dynamic) {
        found.extend(THREADS);
    }
    match program.language {
        Some(Language::Go) => found.extend(GO),
        Some(Language::Rust) => found.extend(RUST),
        _ => {}
    }
    if dynamic {
        let asks = |name: &&str| {
            let name = format!("\0{name}\0");
            let mut texts = std::iter::once(bytes).chain(libraries.iter().map(Vec::as_slice));
            texts.any(|text| memmem::find(text, name.as_bytes()).is_some())
        };
        let signs = FUNCTIONS.iter().filter(|sign| sign.functions.iter().any(asks));
        found.extend(signs.flat_map(|sign| sign.needs));
    } else if program.language == Some(Language::Go) && memmem::find(bytes, b"net.(*TCPListener)").is_some() {
        let sockets = FUNCTIONS.iter().filter(|sign| sign.functions == ["socket"]);
        found.extend(sockets.flat_map(|sign| sign.needs));
    }
    // glibc and Go name such paths whether or not the program does.
    if dynamic || !(glibc || program.language == Some(Language::Go)) {
        let named = |paths: &[&str]| paths.iter().any(|path| memmem::find(bytes, path.as_bytes()).is_some());
        found.extend(PATHS.iter().filter(|(paths, _)| named(paths)).map(|(_, need)| *need));
    }
    let mut seen: Vec<&str> = Vec::new();
    found.retain(|need| {
        let new = !seen.contains(&need.id);
        seen.push(need.id);
        new
    });
    found
}
