//! What a program may need of the operating system, as words: `call:openat`, `socket:AF_INET/SOCK_STREAM`, `path:/proc/self/exe`.
//!
//! Everything that finds needs speaks of them in these words: the scan of the program's code, the trace on the host, and the
//! learning guest. Parts say in their declarations which of them they serve (`serves`); that a part serves a call follows from its
//! registrations.
//!
//! | word | means |
//! |---|---|
//! | `call:NAME` | the system call |
//! | `socket:FAMILY/TYPE` | a socket |
//! | `sockopt:LEVEL/OPTION` | an option of a socket |
//! | `ioctl:NAME`, `fcntl:NAME`, `prctl:NAME` | a command |
//! | `thread:CALL` | a thread is made |
//! | `process:CALL` | a process is made, or another program started; a machine of one program cannot |
//! | `path:/…` | a path is looked at |
//! | `write:/…` | a file is made, changed or removed there |
//! | `vdso:CALL` | the call can be answered without one |
//! | `file:/…` | what an image needs to have at that path; no part serves it |
//!
//! Parts of the words are separated by `/`; `*` stands for what is not known.

use syscalls::Sysno;

use crate::paths;

/// The word of a call that has a name.
pub fn call(number: u64) -> Option<String> {
    name(number).map(|name| format!("call:{name}"))
}

/// The word for all sockets of a family.
pub(crate) fn family(number: u64) -> String {
    format!("socket:{}", word(Some(number), FAMILIES))
}

/// The name of a call, by its number on x86-64.
pub fn name(number: u64) -> Option<&'static str> {
    usize::try_from(number).ok().and_then(Sysno::new).map(|call| call.name())
}

/// The number of a call, by its name.
pub fn number(name: &str) -> Option<u64> {
    name.parse::<Sysno>().ok().map(|call| call.id() as u64)
}

/// Whether what a part says that it serves covers a need. Parts of a word are compared one by one; what a need says beyond
/// what is served does not matter, and `*` in it stands for anything.
pub fn covers(served: &str, need: &str) -> bool {
    let (kind, what) = served.split_once(':').unwrap_or((served, ""));
    let Some((needed, rest)) = need.split_once(':') else { return false };
    if kind != needed {
        return false;
    }
    if what.is_empty() || rest == "*" {
        return true;
    }
    let mut rest = rest.split('/');
    what.split('/').all(|part| match rest.next() {
        Some("*") => true,
        Some(other) => part == other || part == "*",
        None => false,
    })
}

/// Calls that are tried when another answers ENOSYS, by those who make it: with the other, they are one family.
const FALLBACKS: &[(&str, &[&str])] = &[
    ("accept4", &["accept"]),
    ("clock_gettime", &["gettimeofday"]),
    ("clock_nanosleep", &["nanosleep"]),
    ("clone3", &["clone"]),
    ("close_range", &["close", "getdents64"]),
    ("copy_file_range", &["sendfile", "read", "write"]),
    ("dup3", &["dup2", "fcntl"]),
    ("epoll_create1", &["epoll_create"]),
    ("epoll_pwait2", &["epoll_pwait"]),
    ("eventfd2", &["eventfd"]),
    ("exit_group", &["exit"]),
    ("faccessat2", &["faccessat"]),
    ("fchmodat2", &["fchmodat"]),
    ("getrandom", &["open", "read"]),
    ("inotify_init1", &["inotify_init"]),
    ("newfstatat", &["stat", "lstat", "fstat"]),
    ("pipe2", &["pipe"]),
    ("preadv2", &["preadv"]),
    ("prlimit64", &["getrlimit", "setrlimit"]),
    ("pwritev2", &["pwritev"]),
    ("recvmmsg", &["recvmsg"]),
    ("renameat2", &["renameat", "rename"]),
    ("sendfile", &["read", "write"]),
    ("sendmmsg", &["sendmsg"]),
    ("signalfd4", &["signalfd"]),
    ("statx", &["newfstatat"]),
    ("utimensat", &["utimes"]),
];

/// What is tried when a call is refused.
pub fn fallbacks(name: &str) -> &'static [&'static str] {
    FALLBACKS.iter().find(|(call, _)| *call == name).map_or(&[], |(_, others)| others)
}

/// Calls that a vDSO answers.
pub const VDSO: [&str; 4] = ["clock_gettime", "gettimeofday", "time", "getcpu"];

/// A call with what is known of its arguments.
pub trait Made {
    /// The values that an argument may have; `None` for one that is not known.
    fn values(&self, argument: usize) -> Vec<Option<u64>>;
    /// The texts that an argument may point to; `None` for one that is not known.
    fn texts(&self, argument: usize) -> Vec<Option<String>>;
}

const O_ACCMODE: u64 = 3;
const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1000;
const O_TMPFILE: u64 = 0o20_000_000;
const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;

/// What a call needs beyond being served at all, from its arguments.
pub fn flavours(call: &str, made: &dyn Made) -> Vec<String> {
    let mut out = Vec::new();
    let named = |kind: &str, argument: usize, names: &[(u64, &str)]| -> Vec<String> {
        let values = made.values(argument);
        values.into_iter().map(|value| format!("{kind}:{}", word(value.map(low), names))).collect()
    };
    match call {
        "socket" | "socketpair" => {
            for family in made.values(0) {
                for kind in made.values(1) {
                    // The flags SOCK_CLOEXEC and SOCK_NONBLOCK are no types.
                    let kind = kind.map(|kind| kind & 0xf);
                    out.push(format!("socket:{}/{}", word(family.map(low), FAMILIES), word(kind, TYPES)));
                }
            }
        }
        "setsockopt" | "getsockopt" => {
            for level in made.values(1) {
                let names = match level {
                    Some(1) => OPTIONS,
                    Some(6) => TCP_OPTIONS,
                    Some(0) => IP_OPTIONS,
                    Some(41) => IP6_OPTIONS,
                    _ => &[],
                };
                for option in made.values(2) {
                    out.push(format!(
                        "sockopt:{}/{}",
                        word(level.map(low), LEVELS),
                        word(option.map(low), names)
                    ));
                }
            }
        }
        "ioctl" => out = named("ioctl", 1, IOCTLS),
        "fcntl" => out = named("fcntl", 1, FCNTLS),
        "prctl" => out = named("prctl", 0, PRCTLS),
        "clone" => {
            for flags in made.values(0) {
                out.push(match flags {
                    None => "thread:clone".into(),
                    Some(flags) if flags & CLONE_VM == 0 => "process:fork".into(),
                    Some(flags) if flags & CLONE_VFORK != 0 => "process:vfork".into(),
                    Some(_) => "thread:clone".into(),
                });
            }
        }
        "clone3" => out.push("thread:clone3".into()),
        "fork" | "vfork" | "execve" | "execveat" => out.push(format!("process:{call}")),
        _ => {}
    }
    if VDSO.contains(&call) {
        out.push(format!("vdso:{call}"));
    }
    if let Some((path, flags)) = opens(call) {
        let writes = match flags {
            Flags::Argument(at) => made
                .values(at)
                .iter()
                .any(|flags| flags.is_none_or(|f| f & (O_ACCMODE | O_CREAT | O_TRUNC | O_TMPFILE) != 0)),
            Flags::Changes => true,
            Flags::Looks => false,
        };
        for text in made.texts(path) {
            let text = text.as_deref().map(plain_path);
            match &text {
                // Relative paths say nothing about who serves them.
                Some(Some(path)) => {
                    out.push(format!("path:{path}"));
                    if writes && !["/dev/", "/proc/", "/sys/"].iter().any(|dir| path.starts_with(dir)) {
                        out.push(format!("write:{path}"));
                    }
                }
                _ if writes => out.push("write:*".into()),
                _ => {}
            }
        }
    }
    out.sort();
    out.dedup();
    out
}

/// A need without what makes no difference to the operating system: which ordinary file it is. `None`: nothing remains.
pub fn general(word: &str) -> Option<String> {
    const MADE: [&str; 6] = ["/proc", "/dev", "/sys", "/tmp", "/var/tmp", "/run"];
    const NAMES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];
    let is_made = |path: &str| MADE.iter().any(|dir| paths::is_in(path, dir));
    match word.split_once(':') {
        Some(("path", path)) if !is_made(path) && !NAMES.contains(&path) => None,
        Some(("write", path)) if !is_made(path) => Some("write:*".to_owned()),
        _ => Some(word.to_owned()),
    }
}

/// Which argument of a call is a path.
pub(crate) fn path_argument(call: &str) -> Option<usize> {
    opens(call).map(|(path, _)| path)
}

/// What a call that went well had to find.
pub(crate) enum Touched<'p> {
    /// The file that it opened.
    Opened,
    /// Something at this path: what it looked at, or the folder in which it made or changed something.
    Looked(&'p str),
}

/// What a call on a path had to find there.
pub(crate) fn touched<'p>(call: &str, made: &dyn Made, path: &'p str) -> Touched<'p> {
    let above = || match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) => "/",
        Some((above, _)) => above,
        None => ".",
    };
    match opens(call) {
        Some((_, Flags::Argument(at))) => {
            let creates = made
                .values(at)
                .iter()
                .any(|flags| flags.is_none_or(|flags| flags & (O_CREAT | O_TMPFILE) != 0));
            if creates { Touched::Looked(above()) } else { Touched::Opened }
        }
        Some((_, Flags::Changes)) => Touched::Looked(above()),
        _ if call == "openat2" => Touched::Opened,
        _ => Touched::Looked(path),
    }
}

/// Which argument of a call is the directory that its path starts from.
pub(crate) fn directory_argument(call: &str) -> Option<usize> {
    let (path, _) = opens(call)?;
    (call.contains("at") && path > 0 && !matches!(call, "stat" | "lstat" | "statfs")).then(|| path - 1)
}

/// The low half of a register: what an `int` is passed in.
fn low(value: u64) -> u64 {
    value & 0xffff_ffff
}

/// A constant's name, its number, or `*`.
fn word(value: Option<u64>, names: &[(u64, &str)]) -> String {
    match value {
        None => "*".into(),
        Some(value) => match names.iter().find(|(number, _)| *number == value) {
            Some((_, name)) => (*name).into(),
            None => format!("{value:#x}"),
        },
    }
}

/// How a call treats the file that it names.
enum Flags {
    /// Its flags say.
    Argument(usize),
    Changes,
    Looks,
}

/// Which argument of a call is a path.
fn opens(call: &str) -> Option<(usize, Flags)> {
    Some(match call {
        "open" => (0, Flags::Argument(1)),
        "openat" => (1, Flags::Argument(2)),
        "openat2" | "statx" | "newfstatat" | "faccessat" | "faccessat2" | "readlinkat" => (1, Flags::Looks),
        "stat" | "lstat" | "access" | "readlink" | "chdir" | "chroot" | "statfs" | "execve"
        | "inotify_add_watch" => (0, Flags::Looks),
        "creat" | "mkdir" | "rmdir" | "unlink" | "rename" | "truncate" | "chmod" | "chown" | "lchown"
        | "mknod" | "utime" | "utimes" => (0, Flags::Changes),
        "link" | "symlink" | "mkdirat" | "unlinkat" | "renameat" | "renameat2" | "fchmodat" | "fchmodat2"
        | "fchownat" | "mknodat" | "futimesat" => (1, Flags::Changes),
        "linkat" | "symlinkat" => (if call == "linkat" { 3 } else { 2 }, Flags::Changes),
        _ => return None,
    })
}

/// A path as a word has it: absolute, with what is a number or a pattern of one replaced.
pub fn plain_path(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.len() > 255 {
        return None;
    }
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    // Of the processes there is one.
    if parts.first() == Some(&"proc")
        && let Some(second) = parts.get_mut(1)
        && (second.starts_with('%') || second.bytes().all(|b| b.is_ascii_digit()))
    {
        *second = "self";
    }
    for part in &mut parts {
        if part.contains('%') {
            *part = "*";
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// The number of a constant, by the name that headers and strace have for it.
pub(crate) fn constant(name: &str) -> Option<u64> {
    let tables = [
        FAMILIES,
        TYPES,
        LEVELS,
        OPTIONS,
        TCP_OPTIONS,
        IP_OPTIONS,
        IP6_OPTIONS,
        IOCTLS,
        FCNTLS,
        PRCTLS,
        FLAGS,
    ];
    tables.iter().find_map(|table| table.iter().find(|(_, known)| *known == name)).map(|(value, _)| *value)
}

// Numbers as in Linux' headers (`include/uapi`), for x86-64.
const FAMILIES: &[(u64, &str)] = &[
    (0, "AF_UNSPEC"),
    (1, "AF_UNIX"),
    (2, "AF_INET"),
    (10, "AF_INET6"),
    (16, "AF_NETLINK"),
    (17, "AF_PACKET"),
    (40, "AF_VSOCK"),
];
const TYPES: &[(u64, &str)] =
    &[(1, "SOCK_STREAM"), (2, "SOCK_DGRAM"), (3, "SOCK_RAW"), (5, "SOCK_SEQPACKET")];
const LEVELS: &[(u64, &str)] =
    &[(0, "SOL_IP"), (1, "SOL_SOCKET"), (6, "SOL_TCP"), (17, "SOL_UDP"), (41, "SOL_IPV6")];
const OPTIONS: &[(u64, &str)] = &[
    (2, "SO_REUSEADDR"),
    (3, "SO_TYPE"),
    (4, "SO_ERROR"),
    (6, "SO_BROADCAST"),
    (7, "SO_SNDBUF"),
    (8, "SO_RCVBUF"),
    (9, "SO_KEEPALIVE"),
    (13, "SO_LINGER"),
    (15, "SO_REUSEPORT"),
    (10, "SO_OOBINLINE"),
    (16, "SO_PASSCRED"),
    (17, "SO_PEERCRED"),
    (20, "SO_RCVTIMEO"),
    (21, "SO_SNDTIMEO"),
    (26, "SO_ATTACH_FILTER"),
    (38, "SO_PROTOCOL"),
    (39, "SO_DOMAIN"),
    (66, "SO_RCVTIMEO"),
    (67, "SO_SNDTIMEO"),
];
const TCP_OPTIONS: &[(u64, &str)] = &[
    (1, "TCP_NODELAY"),
    (2, "TCP_MAXSEG"),
    (3, "TCP_CORK"),
    (4, "TCP_KEEPIDLE"),
    (5, "TCP_KEEPINTVL"),
    (6, "TCP_KEEPCNT"),
    (9, "TCP_DEFER_ACCEPT"),
    (11, "TCP_INFO"),
    (18, "TCP_USER_TIMEOUT"),
    (23, "TCP_FASTOPEN"),
];
const IP_OPTIONS: &[(u64, &str)] =
    &[(1, "IP_TOS"), (2, "IP_TTL"), (11, "IP_RECVERR"), (24, "IP_BIND_ADDRESS_NO_PORT")];
const IP6_OPTIONS: &[(u64, &str)] = &[(26, "IPV6_V6ONLY"), (25, "IPV6_RECVERR")];
const IOCTLS: &[(u64, &str)] = &[
    (0x5401, "TCGETS"),
    (0x5402, "TCSETS"),
    (0x5403, "TCSETSW"),
    (0x5404, "TCSETSF"),
    (0x540e, "TIOCSCTTY"),
    (0x540f, "TIOCGPGRP"),
    (0x5410, "TIOCSPGRP"),
    (0x5413, "TIOCGWINSZ"),
    (0x5414, "TIOCSWINSZ"),
    (0x541b, "FIONREAD"),
    (0x5420, "TIOCPKT"),
    (0x5421, "FIONBIO"),
    (0x5422, "TIOCNOTTY"),
    (0x5441, "TIOCGPTPEER"),
    (0x5450, "FIONCLEX"),
    (0x5451, "FIOCLEX"),
    (0x5452, "FIOASYNC"),
    (0x8901, "FIOSETOWN"),
    (0x8902, "SIOCSPGRP"),
    (0x8905, "SIOCATMARK"),
    (0x8910, "SIOCGIFNAME"),
    (0x8912, "SIOCGIFCONF"),
    (0x8913, "SIOCGIFFLAGS"),
    (0x8915, "SIOCGIFADDR"),
    (0x8933, "SIOCGIFINDEX"),
    (0x4004_5431, "TIOCSPTLCK"),
    (0x8004_5430, "TIOCGPTN"),
];
/// Flags of calls, which are no needs of their own.
const FLAGS: &[(u64, &str)] = &[
    (-100i32 as u32 as u64, "AT_FDCWD"),
    (1, "AF_LOCAL"),
    (1, "PF_LOCAL"),
    (20, "SO_RCVTIMEO_OLD"),
    (21, "SO_SNDTIMEO_OLD"),
    (66, "SO_RCVTIMEO_NEW"),
    (67, "SO_SNDTIMEO_NEW"),
    (0o2_000_000, "SOCK_CLOEXEC"),
    (0o4000, "SOCK_NONBLOCK"),
    (0, "O_RDONLY"),
    (1, "O_WRONLY"),
    (2, "O_RDWR"),
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o10_000, "O_DSYNC"),
    (0o40_000, "O_DIRECT"),
    (0o100_000, "O_LARGEFILE"),
    (0o200_000, "O_DIRECTORY"),
    (0o400_000, "O_NOFOLLOW"),
    (0o1_000_000, "O_NOATIME"),
    (0o2_000_000, "O_CLOEXEC"),
    (0o4_010_000, "O_SYNC"),
    (0o10_000_000, "O_PATH"),
    (0o20_200_000, "O_TMPFILE"),
    (0x100, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (0x4000, "CLONE_VFORK"),
    (0x10000, "CLONE_THREAD"),
    (0x40000, "CLONE_SYSVSEM"),
    (0x80000, "CLONE_SETTLS"),
    (0x10_0000, "CLONE_PARENT_SETTID"),
    (0x20_0000, "CLONE_CHILD_CLEARTID"),
    (0x100_0000, "CLONE_CHILD_SETTID"),
    (17, "SIGCHLD"),
];
const FCNTLS: &[(u64, &str)] = &[
    (0, "F_DUPFD"),
    (1, "F_GETFD"),
    (2, "F_SETFD"),
    (3, "F_GETFL"),
    (4, "F_SETFL"),
    (5, "F_GETLK"),
    (6, "F_SETLK"),
    (7, "F_SETLKW"),
    (8, "F_SETOWN"),
    (9, "F_GETOWN"),
    (10, "F_SETSIG"),
    (11, "F_GETSIG"),
    (15, "F_SETOWN_EX"),
    (16, "F_GETOWN_EX"),
    (36, "F_OFD_GETLK"),
    (37, "F_OFD_SETLK"),
    (38, "F_OFD_SETLKW"),
    (1030, "F_DUPFD_CLOEXEC"),
    (1031, "F_SETPIPE_SZ"),
    (1032, "F_GETPIPE_SZ"),
    (1033, "F_ADD_SEALS"),
];
const PRCTLS: &[(u64, &str)] = &[
    (1, "PR_SET_PDEATHSIG"),
    (4, "PR_SET_DUMPABLE"),
    (8, "PR_SET_KEEPCAPS"),
    (15, "PR_SET_NAME"),
    (16, "PR_GET_NAME"),
    (22, "PR_SET_SECCOMP"),
    (23, "PR_CAPBSET_READ"),
    (24, "PR_CAPBSET_DROP"),
    (29, "PR_SET_TIMERSLACK"),
    (36, "PR_SET_CHILD_SUBREAPER"),
    (38, "PR_SET_NO_NEW_PRIVS"),
    (41, "PR_SET_THP_DISABLE"),
    (0x5356_4d41, "PR_SET_VMA"),
];

/// Whether a name is one that arguments are told by.
#[cfg(test)]
pub(crate) fn is_constant(name: &str) -> bool {
    let tables =
        [FAMILIES, TYPES, LEVELS, OPTIONS, TCP_OPTIONS, IP_OPTIONS, IP6_OPTIONS, IOCTLS, FCNTLS, PRCTLS];
    tables.iter().any(|table| table.iter().any(|(_, known)| *known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call whose arguments are known.
    struct Known(Vec<u64>, Option<&'static str>);

    impl Made for Known {
        fn values(&self, argument: usize) -> Vec<Option<u64>> {
            vec![self.0.get(argument).copied()]
        }

        fn texts(&self, _: usize) -> Vec<Option<String>> {
            vec![self.1.map(str::to_owned)]
        }
    }

    #[test]
    fn calls_have_names() {
        assert_eq!(call(257).as_deref(), Some("call:openat"));
        assert_eq!(number("accept4"), Some(288));
        assert_eq!(call(9999), None);
        for (call, others) in FALLBACKS {
            assert!(number(call).is_some(), "{call}");
            others.iter().for_each(|other| assert!(number(other).is_some(), "{other}"));
        }
        assert!(VDSO.iter().all(|call| number(call).is_some()));
    }

    #[test]
    fn what_is_served_covers_what_is_needed() {
        for (served, need, covered) in [
            ("socket:AF_INET", "socket:AF_INET/SOCK_STREAM", true),
            ("socket:AF_INET", "socket:AF_INET6/SOCK_STREAM", false),
            ("socket:AF_INET/SOCK_STREAM", "socket:*/SOCK_DGRAM", false),
            ("socket:AF_INET/SOCK_STREAM", "socket:*/*", true),
            ("socket:*/SOCK_STREAM", "socket:AF_INET6/SOCK_STREAM", true),
            ("path:/dev/null", "path:/dev/nullx", false),
            ("path:/proc/self", "path:/proc/self/fd/3", true),
            ("path:/proc/self", "path:/proc", false),
            ("write", "write:*", true),
            ("write:/tmp", "write:*", true),
            ("write:/tmp", "write:/var/x", false),
            ("vdso", "vdso:time", true),
            ("path:/tmp", "write:/tmp", false),
        ] {
            assert_eq!(covers(served, need), covered, "{served} {need}");
        }
    }

    #[test]
    fn arguments_become_words() {
        let words = |call, args: &[u64], text| flavours(call, &Known(args.to_vec(), text));
        assert_eq!(words("socket", &[2, 0x80801], None), ["socket:AF_INET/SOCK_STREAM"]);
        assert_eq!(words("socket", &[99, 7], None), ["socket:0x63/0x7"]);
        assert_eq!(words("socket", &[], None), ["socket:*/*"]);
        assert_eq!(words("setsockopt", &[3, 1, 20], None), ["sockopt:SOL_SOCKET/SO_RCVTIMEO"]);
        assert_eq!(words("openat", &[0, 0, 0], Some("/proc/123/maps")), ["path:/proc/self/maps"]);
        assert_eq!(words("open", &[0, 0o101], Some("/tmp/x")), ["path:/tmp/x", "write:/tmp/x"]);
        assert_eq!(words("open", &[0, 2], Some("/dev/tty")), ["path:/dev/tty"]);
        assert_eq!(words("open", &[0, 0], Some("relative")), Vec::<String>::new());
        assert_eq!(words("unlink", &[], None), ["write:*"]);
        assert_eq!(words("clone", &[0x3d0f00], None), ["thread:clone"]);
        assert_eq!(words("clone", &[0x1200011], None), ["process:fork"]);
        assert_eq!(words("clone", &[0x4111], None), ["process:vfork"]);
        assert_eq!(words("time", &[], None), ["vdso:time"]);
        assert_eq!(words("getpid", &[], None), Vec::<String>::new());
    }

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(plain_path("//proc//%d/fd/%d").as_deref(), Some("/proc/self/fd/*"));
        assert_eq!(plain_path("/proc/self/./exe").as_deref(), Some("/proc/self/exe"));
        assert_eq!(plain_path("etc"), None);
    }
}
