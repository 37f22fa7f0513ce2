//! Runs a program under `ptrace(2)` and takes its system calls down, those of its threads, and those of its children until
//! they start other programs.
//!
//! The vDSO is hidden from the program (as `rr` does), since what it answers could not be seen.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::IoSliceMut;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{self, Signal};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Recorder, TraceError, Watched};
use crate::need::{self, Made};
use crate::program;

/// How long a program that is asked to end may take.
const GRACE: Duration = Duration::from_secs(10);
/// How long it may take when a terminal has told it too, as terminals do with Ctrl-C.
const TOLD: Duration = Duration::from_secs(2);
/// Within this time a signal is the same one: who signals a group and its leader signals twice.
const SAME: Duration = Duration::from_millis(200);

/// Runs a command and answers with what it did; in an environment of its own when one is given. When `asked` becomes a signal's number the program
/// is asked to end (SIGTERM; a moment later for SIGINT, which it has from its terminal). If it does not, or is asked again, it is killed.
///
/// # Errors
/// When it cannot be started, or not watched.
pub fn watch(
    command: &[OsString],
    environment: Option<&[String]>,
    asked: &AtomicUsize,
) -> Result<Watched, TraceError> {
    let Some(program) = command.first() else {
        return Err(TraceError::NoProgram("in an empty command".into()));
    };
    let name = program.to_string_lossy().into_owned();
    let path = find(Path::new(program)).ok_or_else(|| TraceError::NoProgram(name.clone()))?;
    // The shell stops itself until it is watched, and then becomes the program.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(path).args(&command[1..]);
    if let Some(environment) = environment {
        shell.env_clear().envs(environment.iter().filter_map(|entry| entry.split_once('=')));
    }
    let child = shell.spawn().map_err(|error| TraceError::Start { program: name, error })?;
    let root = Pid::from_raw(child.id() as i32);
    let mut tracer = Tracer {
        _child: child,
        root,
        started: false,
        uncounted: HashSet::new(),
        pending: HashMap::new(),
        recorder: Recorder::default(),
        status: None,
    };
    tracer.attach().map_err(|error| {
        let _ = signal::kill(root, Signal::SIGKILL);
        TraceError::Forbidden(error)
    })?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut ending = Ending::default();
            while !over.load(Ordering::Relaxed) {
                if let Some(signal) = ending.next(asked.swap(0, Ordering::Relaxed), Instant::now()) {
                    let _ = signal::kill(root, signal);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let result = tracer.run();
        over.store(true, Ordering::Relaxed);
        result
    })
    .map_err(TraceError::Forbidden)?;
    Ok(tracer.recorder.finish(tracer.status))
}

/// How far a program has been asked to end.
#[derive(Debug, Default)]
struct Ending {
    /// When it was asked first.
    since: Option<Instant>,
    /// When SIGTERM goes out, and when SIGKILL does.
    next: Option<(Instant, Signal)>,
}

impl Ending {
    /// The signal that it gets now, when `asked` is what arrived here since the last time (0: nothing).
    fn next(&mut self, asked: usize, now: Instant) -> Option<Signal> {
        match self.since {
            None if asked == 0 => return None,
            None => {
                self.since = Some(now);
                let told = asked == Signal::SIGINT as usize;
                self.next = Some((if told { now + TOLD } else { now }, Signal::SIGTERM));
            }
            Some(since) if asked != 0 && now.duration_since(since) > SAME => {
                self.next = Some((now, Signal::SIGKILL));
            }
            Some(_) => {}
        }
        let (_, signal) = self.next.take_if(|(when, _)| *when <= now)?;
        if signal == Signal::SIGTERM {
            self.next = Some((now + GRACE, Signal::SIGKILL));
        }
        Some(signal)
    }
}

/// Finds a command as the shell does.
fn find(name: &Path) -> Option<PathBuf> {
    if name.as_os_str().as_bytes().contains(&b'/') {
        return name.is_file().then(|| name.to_owned());
    }
    program::in_path(name)
}

struct Tracer {
    /// Kept so that it is waited for by nobody else.
    _child: Child,
    root: Pid,
    /// Whether the program itself runs, no longer the shell.
    started: bool,
    /// Children that run other programs.
    uncounted: HashSet<Pid>,
    /// Calls that have begun.
    pending: HashMap<Pid, Call>,
    recorder: Recorder,
    status: Option<i32>,
}

/// A call that a thread makes.
struct Call {
    number: u64,
    arguments: [u64; 6],
    /// The path that it names, and which argument that is.
    path: Option<(usize, String)>,
}

impl Made for Call {
    fn values(&self, argument: usize) -> Vec<Option<u64>> {
        vec![self.arguments.get(argument).copied()]
    }

    fn texts(&self, argument: usize) -> Vec<Option<String>> {
        vec![self.path.as_ref().filter(|(at, _)| *at == argument).map(|(_, path)| path.clone())]
    }
}

impl Tracer {
    fn attach(&self) -> Result<(), Errno> {
        waitpid(self.root, Some(WaitPidFlag::WUNTRACED))?;
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(self.root, options)?;
        signal::kill(self.root, Signal::SIGCONT)
    }

    fn run(&mut self) -> Result<(), Errno> {
        loop {
            // Whose children they are matters where other threads have some.
            let status = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(error),
            };
            let (pid, pass_on) = match status {
                WaitStatus::PtraceSyscall(pid) => {
                    self.syscall(pid);
                    (pid, None)
                }
                WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => {
                    self.other_program(pid);
                    (pid, None)
                }
                WaitStatus::PtraceEvent(pid, _, _) => {
                    // What a child that runs another program starts is no business of ours either.
                    if self.uncounted.contains(&pid)
                        && let Ok(new) = ptrace::getevent(pid)
                    {
                        self.uncounted.insert(Pid::from_raw(new as i32));
                    }
                    (pid, None)
                }
                WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
                WaitStatus::Exited(pid, status) => {
                    self.ended(pid, status);
                    continue;
                }
                WaitStatus::Signaled(pid, signal, _) => {
                    self.ended(pid, 128 + signal as i32);
                    continue;
                }
                _ => continue,
            };
            // It may have been killed in the meantime.
            match ptrace::syscall(pid, pass_on) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: i32) {
        // It was waiting for something that never came.
        if let Some(call) = self.pending.remove(&pid) {
            self.record(pid, &call, None);
        }
        if pid == self.root {
            self.status = Some(status);
        }
    }

    /// A thread has become another program.
    fn other_program(&mut self, pid: Pid) {
        self.pending.remove(&pid);
        if pid != self.root {
            self.uncounted.insert(pid);
            return;
        }
        // What came before was the shell's, or that of a script which starts the program.
        self.started = true;
        self.recorder = Recorder::default();
        hide_vdso(pid);
    }

    fn syscall(&mut self, pid: Pid) {
        if !self.started || self.uncounted.contains(&pid) {
            return;
        }
        let Ok(info) = ptrace::syscall_info(pid) else { return };
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                if let Some((number, arguments)) = entry(pid) {
                    let path = need::name(number)
                        .and_then(need::path_argument)
                        .and_then(|at| Some((at, text(pid, arguments[at])?)));
                    let call = Call { number, arguments, path };
                    // What does not come back is told at once. What the kernel goes on with after a signal is the call from before.
                    match need::name(number) {
                        Some("restart_syscall") => {}
                        Some("exit" | "exit_group" | "rt_sigreturn") => self.record(pid, &call, None),
                        _ => drop(self.pending.insert(pid, call)),
                    }
                }
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                // Calls that are begun again by the kernel, after a signal, are one call.
                if let Some(result) = result(pid).filter(|result| !matches!(result, -516..=-512))
                    && let Some(call) = self.pending.remove(&pid)
                {
                    let error = (-4095..0).contains(&result).then(|| Errno::from_raw(-result as i32));
                    self.record(pid, &call, error.map(|error| format!("{error:?}")).as_deref());
                }
            }
            _ => {}
        }
    }

    fn record(&mut self, pid: Pid, call: &Call, error: Option<&str>) {
        let Some(name) = need::name(call.number) else { return };
        let directory = || {
            let link = match need::directory_argument(name).map(|at| call.arguments[at] as u32 as i32) {
                Some(fd) if fd >= 0 => format!("/proc/{pid}/fd/{fd}"),
                _ => format!("/proc/{pid}/cwd"),
            };
            std::fs::read_link(link).ok().map(|path| path.to_string_lossy().into_owned())
        };
        self.recorder.call(name, call, error, &directory);
    }
}

/// The number and the arguments of a call that has just begun.
fn entry(pid: Pid) -> Option<(u64, [u64; 6])> {
    let r = ptrace::getregs(pid).ok()?;
    Some((r.orig_rax, [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9]))
}

/// What a call has returned.
fn result(pid: Pid) -> Option<i64> {
    ptrace::getregs(pid).ok().map(|r| r.rax as i64)
}

/// Bytes of a program's memory, as far as they can be read.
fn memory(pid: Pid, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let remote = [RemoteIoVec { base: address as usize, len: length }];
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &remote).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// A text of the program that ends with a NUL.
fn text(pid: Pid, address: u64) -> Option<String> {
    let mut out = Vec::new();
    let mut at = address;
    while out.len() < 4096 {
        // To the end of a page: the next may not be there.
        let chunk = memory(pid, at, (4096 - at % 4096).min(256) as usize);
        if chunk.is_empty() {
            return None;
        }
        if let Some(end) = memchr::memchr(0, &chunk) {
            out.extend_from_slice(&chunk[..end]);
            return String::from_utf8(out).ok();
        }
        at += chunk.len() as u64;
        out.extend(chunk);
    }
    None
}

/// Takes the vDSO out of what a program that has just been loaded is told about its machine: the entry AT_SYSINFO_EHDR of
/// its auxiliary vector, which lies above its arguments and environment (`getauxval(3)`).
fn hide_vdso(pid: Pid) {
    const AT_IGNORE: i64 = 1;
    const AT_SYSINFO_EHDR: u64 = 33;
    let word = |at: u64| memory(pid, at, 8).try_into().ok().map(u64::from_le_bytes);
    let Ok(registers) = ptrace::getregs(pid) else { return };
    let Some(count) = word(registers.rsp) else { return };
    let mut at = registers.rsp.wrapping_add(8).wrapping_add(count.wrapping_mul(8)).wrapping_add(8);
    while word(at).is_some_and(|entry| entry != 0) {
        at = at.wrapping_add(8);
    }
    at = at.wrapping_add(8);
    while let Some(kind) = word(at).filter(|kind| *kind != 0) {
        if kind == AT_SYSINFO_EHDR {
            let _ = ptrace::write(pid, at as ptrace::AddressType, AT_IGNORE);
        }
        at = at.wrapping_add(16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(command: &[&str]) -> Option<Watched> {
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        match watch(&command, None, &AtomicUsize::new(0)) {
            Ok(watched) => Some(watched),
            // Where tests may not trace there is nothing to test.
            Err(TraceError::Forbidden(error)) => {
                eprintln!("not watched: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn calls_files_and_status_are_seen() {
        let Some(seen) = watched(&["cat", "/etc/passwd", "/no/such/file"]) else { return };
        let needs = &seen.evidence.needs;
        for call in ["call:execve", "call:openat", "call:read", "call:write", "call:exit_group"] {
            assert_eq!(needs.contains_key(call), call != "call:execve", "{call}: {needs:?}");
        }
        assert_eq!(needs["call:openat"].error.as_deref(), Some("ENOENT"));
        assert!(seen.files.contains("/etc/passwd"), "{:?}", seen.files);
        assert!(seen.missing.contains("/no/such/file"), "{:?}", seen.missing);
        assert_eq!((seen.status, seen.evidence.runs), (Some(1), 1));
    }

    #[test]
    fn the_time_is_asked_of_the_kernel_and_other_programs_do_not_count() {
        let Some(seen) = watched(&["sh", "-c", "date > /dev/null; kill -KILL $$"]) else { return };
        let needs = &seen.evidence.needs;
        assert!(needs.contains_key("process:fork") || needs.contains_key("process:vfork"), "{needs:?}");
        assert!(needs.contains_key("path:/dev/null"), "{needs:?}");
        assert!(!needs.contains_key("call:clock_gettime"), "date is another program: {needs:?}");
        assert_eq!(seen.status, Some(128 + 9));
        let Some(date) = watched(&["date"]) else { return };
        assert!(date.evidence.needs.contains_key("call:clock_gettime"), "{:?}", date.evidence.needs);
    }

    #[test]
    fn who_does_not_end_is_killed() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut ending = Ending::default();
        assert_eq!(ending.next(0, at(0)), None);
        assert_eq!(ending.next(Signal::SIGTERM as usize, at(1)), Some(Signal::SIGTERM));
        assert_eq!(ending.next(Signal::SIGTERM as usize, at(1) + SAME), None, "the same one");
        assert_eq!(ending.next(0, at(10)), None);
        assert_eq!(ending.next(0, at(11)), Some(Signal::SIGKILL));
        assert_eq!(ending.next(0, at(30)), None);
        let mut told = Ending::default();
        assert_eq!(told.next(Signal::SIGINT as usize, at(1)), None, "its terminal has told it");
        assert_eq!(told.next(0, at(3)), Some(Signal::SIGTERM));
        assert_eq!(
            told.next(Signal::SIGINT as usize, at(4)),
            Some(Signal::SIGKILL),
            "somebody would not wait"
        );
    }

    #[test]
    fn what_is_asked_to_end_ends() {
        let asked = AtomicUsize::new(0);
        let command = ["sh", "-c", "trap 'exit 7' TERM; echo up > /dev/null; while :; do sleep 0.05; done"];
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        let watched = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(500));
                asked.store(Signal::SIGTERM as usize, Ordering::Relaxed);
            });
            watch(&command, None, &asked)
        });
        match watched {
            // 128 and 15: it had not got to its trap yet.
            Ok(watched) => assert!(matches!(watched.status, Some(7 | 143)), "{:?}", watched.status),
            Err(TraceError::Forbidden(error)) => eprintln!("not watched: {error}"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_is_not_there_is_told() {
        let error = watch(&["no-such-program".into()], None, &AtomicUsize::new(0)).unwrap_err();
        assert!(error.to_string().starts_with("there is no program no-such-program; "), "{error}");
    }
}
