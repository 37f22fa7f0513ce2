//! `/proc/self` and `/proc/1`.

use crate::abi::process;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::fs::file::{self, Access, File, Stat};
use crate::fs::node::{DirectoryEntry, Node};
use crate::fs::path;
use crate::fs::synthetic::{Link, Names, OpenText, Text};
use crate::memory::paging::PAGE;
use crate::memory::space::{self, Rights};
use crate::memory::user;
use crate::sched::thread::{self, Thread};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFDIR, S_IFLNK, S_IFREG};

crate::register!("process-file": fn(&mut Names) = { 10 => add });

fn add(names: &mut Names) {
    names.insert(b"self", Rc::new(Link(|| b"1".to_vec())));
    names.insert(b"thread-self", Rc::new(Link(|| format!("1/task/{}", thread::current().tid).into_bytes())));
    names.insert(b"mounts", Rc::new(Link(|| b"1/mounts".to_vec())));
    names.insert(b"1/stat", Rc::new(Text(|text| stat_of(&leader(), thread::all_cycles(), text))));
    names.insert(b"1/status", Rc::new(Text(|text| status_of(&leader(), text))));
    names.insert(b"1/comm", Rc::new(Name(1)));
    for (name, node) in shared() {
        names.insert(&[b"1/", name].concat(), node);
    }
}

/// What is the same for all threads of the process.
pub fn shared() -> [(&'static [u8], Rc<dyn Node>); 12] {
    [
        (b"exe", Rc::new(Link(|| process::program().to_vec()))),
        (b"cwd", Rc::new(Link(|| path::working_directory().told()))),
        (b"root", Rc::new(Link(|| b"/".to_vec()))),
        (b"cmdline", Rc::new(Text(command_line))),
        (b"maps", Rc::new(Text(maps))),
        (b"statm", Rc::new(Text(statm))),
        (b"limits", Rc::new(Text(limits))),
        (b"fd", Rc::new(Descriptors)),
        (b"oom_score_adj", Rc::new(Text(|text| text.extend(b"0\n")))),
        (b"cgroup", Rc::new(Text(|text| text.extend(b"0::/\n")))),
        (b"mountinfo", Rc::new(Text(|text| text.extend(b"1 1 0:1 / / rw - rootfs rootfs rw\n")))),
        (b"mounts", Rc::new(Text(|text| text.extend(b"rootfs / rootfs rw 0 0\n")))),
    ]
}

/// The first thread, or another when that has ended.
fn leader() -> Rc<Thread> {
    thread::find(1).unwrap_or_else(thread::current)
}

fn command_line(text: &mut Vec<u8>) {
    process::with_arguments(|arguments| {
        for argument in arguments {
            text.extend_from_slice(argument);
            text.push(0);
        }
    });
}

/// What a thread calls itself (`PR_SET_NAME`); at first the program's file name.
fn short_name(thread: &Thread) -> Vec<u8> {
    thread.name.get().split(|&byte| byte == 0).next().unwrap_or_default().to_vec()
}

/// `comm` of a thread: its name, which can be written to.
pub struct Name(pub u32);

struct OpenName {
    thread: Rc<Thread>,
    text: OpenText,
}

impl Node for Name {
    fn stat(&self) -> Stat {
        let inode = 1 << 51 | u64::from(self.0);
        let who = process::credentials();
        let (user, group) = (who.user(), who.group());
        Stat { mode: S_IFREG | 0o644, inode, links: 1, user, group, ..Stat::default() }
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        let thread = if self.0 == 1 { leader() } else { thread::find(self.0).ok_or(Errno::ENOENT)? };
        let mut text = short_name(&thread);
        text.push(b'\n');
        Ok(Rc::new(OpenName { thread, text: OpenText { stat: Node::stat(&*self), text } }))
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

impl File for OpenName {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        self.text.read(to, count, access)
    }

    fn write(&self, from: u64, count: usize, _: Access) -> Result<usize> {
        let mut name = [0; 16];
        user::read_bytes(from, &mut name[..count.min(15)])?;
        self.thread.name.set(name);
        Ok(count)
    }

    fn stat(&self) -> Stat {
        self.text.stat
    }

    fn is_seekable(&self) -> bool {
        true
    }
}

fn maps(text: &mut Vec<u8>) {
    let stack = process::stack();
    space::each_area(|start, end, rights, is_image| {
        let letter = |right, letter| if rights.contains(right) { letter } else { '-' };
        let (r, w, x) = (letter(Rights::READ, 'r'), letter(Rights::WRITE, 'w'), letter(Rights::EXECUTE, 'x'));
        let mut line = format!("{start:08x}-{end:08x} {r}{w}{x}p 00000000 00:00 0").into_bytes();
        let name = match () {
            () if (start..end).contains(&stack) => &b"[stack]"[..],
            () if start == process::data_end().next_multiple_of(PAGE) => b"[heap]",
            () if is_image => process::program(),
            () => b"",
        };
        if !name.is_empty() {
            line.resize(line.len().max(72), b' ');
            line.push(b' ');
            line.extend_from_slice(name);
        }
        line.push(b'\n');
        text.extend(line);
    });
}

/// Bytes mapped, and bytes in memory.
fn sizes() -> (u64, u64) {
    let mut mapped = 0;
    space::each_area(|start, end, _, _| mapped += end - start);
    let (free, total) = crate::memory::frames::counts();
    (mapped, (total - free) as u64 * PAGE)
}

/// The letter of what a thread does: the one that asks runs.
fn state(thread: &Thread) -> char {
    if thread.tid == thread::current().tid { 'R' } else { 'S' }
}

/// `stat` of a thread, or of the process by its first thread.
pub fn stat_of(thread: &Thread, cycles: u64, text: &mut Vec<u8>) {
    /// Nanoseconds of a tick, as `AT_CLKTCK` says.
    const TICK: u64 = 10_000_000;
    let (mapped, resident) = sizes();
    text.extend(format!("{} (", thread.tid).into_bytes());
    text.extend(short_name(thread));
    let stack = process::stack();
    // Fields 3 to 52 of proc(5); what nobody keeps is zero.
    let line = format!(
        ") {} 0 1 1 0 -1 4194304 0 0 0 0 {} 0 0 0 20 0 {} 0 0 {mapped} {} 18446744073709551615 0 0 {stack} 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
        state(thread),
        tsc::nanoseconds(cycles) / TICK,
        thread::count(),
        resident / PAGE,
    );
    text.extend(line.into_bytes());
}

fn statm(text: &mut Vec<u8>) {
    let (mapped, resident) = sizes();
    text.extend(format!("{} {} 0 0 0 0 0\n", mapped / PAGE, resident / PAGE).into_bytes());
}

/// `status` of a thread.
pub fn status_of(thread: &Thread, text: &mut Vec<u8>) {
    let (mapped, resident) = sizes();
    let (users, groups, more) = {
        let who = process::credentials();
        let more: String = who.more_groups.iter().map(|group| format!("{group} ")).collect();
        (who.users, who.groups, more)
    };
    text.extend(b"Name:\t");
    text.extend(short_name(thread));
    let lines = format!(
        "\nUmask:\t0022\nState:\t{10}\nTgid:\t1\nNgid:\t0\nPid:\t{11}\nPPid:\t0\nTracerPid:\t0\nUid:\t{3}\t{4}\t{5}\t{4}\nGid:\t{6}\t{7}\t{8}\t{7}\n\
         FDSize:\t64\nGroups:\t{9}\nVmPeak:\t{0:8} kB\nVmSize:\t{0:8} kB\nVmHWM:\t{1:8} kB\nVmRSS:\t{1:8} kB\nThreads:\t{2}\n\
         Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n",
        mapped >> 10,
        resident >> 10,
        thread::count(),
        users[0],
        users[1],
        users[2],
        groups[0],
        groups[1],
        groups[2],
        more,
        if state(thread) == 'R' { "R (running)" } else { "S (sleeping)" },
        thread.tid,
    );
    text.extend(lines.into_bytes());
}

fn limits(text: &mut Vec<u8>) {
    let lines = format!(
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max stack size            {0:<20} {0:<20} bytes     \n\
         Max open files            {1:<20} {2:<20} files     \n",
        process::STACK.get(),
        file::limit(),
        file::MOST,
    );
    text.extend(lines.into_bytes());
}

/// `/proc/self/fd`: links named by descriptor.
struct Descriptors;

struct Descriptor(u64);

impl Node for Descriptors {
    fn stat(&self) -> Stat {
        Stat {
            mode: S_IFDIR | 0o500,
            inode: 1 << 50,
            links: 2,
            user: process::credentials().users[0],
            ..Stat::default()
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        Ok(Rc::new(Descriptor(file::named(name)?)))
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        let entry = |fd: u64| DirectoryEntry {
            name: format!("{fd}").into_bytes(),
            inode: 1 << 50 | fd,
            mode: S_IFLNK,
        };
        Ok(file::all().into_iter().map(entry).collect())
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Err(Errno::EISDIR)
    }
}

impl Node for Descriptor {
    fn stat(&self) -> Stat {
        Stat { mode: S_IFLNK | 0o700, inode: 1 << 50 | self.0, links: 1, ..Stat::default() }
    }

    fn target(&self) -> Option<Vec<u8>> {
        let file = file::get_place(self.0).ok()?;
        Some(match &file.location {
            Some(location) => location.told(),
            None if self.0 < 3 => b"/dev/console".to_vec(),
            None => format!("anon_inode:[{}]", file.stat().inode).into_bytes(),
        })
    }

    fn open(self: Rc<Self>, _: u32) -> Result<Rc<dyn File>> {
        Err(Errno::ELOOP)
    }
}
