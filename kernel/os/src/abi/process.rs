//! The process: what it is given at start, and where things lie in its address space.

use crate::cell::KernelCell;
use crate::console::print::Text;
use crate::fs::path;
use alloc::vec::Vec;
use core::cell::RefMut;
use core::sync::atomic::{AtomicU64, Ordering};

crate::param! {
    /// Bytes of the first thread's stack.
    pub static STACK: u64 = "stack"
}

// Arguments given at boot: the monitor's command line, and the process to replace the configured ones of (argv[0] stays).
crate::hook!(fn arguments() -> "arguments": fn(&'static [u8], &mut Process));
// A number of pages to move things by, for address space randomisation.
crate::hook!(fn randomisers() -> "randomise": fn() -> u64);

/// What the program is started with.
pub struct Process {
    path: &'static [u8],
    pub arguments: Vec<Vec<u8>>,
    pub environment: Vec<Vec<u8>>,
}

/// Who the process is (`credentials(7)`): real, effective and saved ids, and the groups besides.
pub struct Credentials {
    pub users: [u32; 3],
    pub groups: [u32; 3],
    pub more_groups: Vec<u32>,
}

impl Credentials {
    /// The user that rights are judged by.
    pub fn user(&self) -> u32 {
        self.users[1]
    }

    /// The group that files are made with.
    pub fn group(&self) -> u32 {
        self.groups[1]
    }

    /// Whether all is allowed.
    pub fn is_root(&self) -> bool {
        self.user() == 0
    }
}

static CREDENTIALS: KernelCell<Credentials> =
    KernelCell::new(Credentials { users: [0; 3], groups: [0; 3], more_groups: Vec::new() });
static HOSTNAME: KernelCell<&'static [u8]> = KernelCell::new(&[]);
static PROGRAM: KernelCell<&'static [u8]> = KernelCell::new(&[]);
static ARGUMENTS: KernelCell<Vec<Vec<u8>>> = KernelCell::new(Vec::new());
static STACK_START: AtomicU64 = AtomicU64::new(0);
static DATA_END: AtomicU64 = AtomicU64::new(0);

impl Process {
    /// The program's file.
    pub fn path_bytes(&self) -> &'static [u8] {
        self.path
    }

    pub fn path(&self) -> Text<'static> {
        text_of(self.path_bytes())
    }
}

fn text_of(path: &'static [u8]) -> Text<'static> {
    // SAFETY: a path of the config, which is text.
    unsafe { Text::of_composer(path) }
}

/// The next string of the composer's table. One copy of the search is enough.
#[inline(never)]
fn next_string(rest: &mut &'static [u8]) -> &'static [u8] {
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    let (string, behind) = rest.split_at(end);
    *rest = behind.get(1..).unwrap_or_default();
    string
}

/// The process that the image was built for.
pub fn from_image(command_line: &'static [u8]) -> Process {
    let table = crate::table!("program");
    let (numbers, mut rest) = table.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    let number = |index: usize| {
        let at = 4 * index;
        u32::from_le_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]])
    };
    let (argc, envc) = (number(0), number(1));
    {
        let mut who = CREDENTIALS.borrow();
        who.users = [number(2); 3];
        who.groups = [number(3); 3];
    }
    let program = next_string(&mut rest);
    let directory = next_string(&mut rest);
    *HOSTNAME.borrow() = next_string(&mut rest);
    let found = path::resolve(&path::root(), directory, true);
    if found.and_then(path::set_working_directory).is_err() {
        crate::println!("bespoke: there is no directory {}; starting in /", text_of(directory));
    }
    *PROGRAM.borrow() = program;
    let mut process = Process { path: program, arguments: Vec::new(), environment: Vec::new() };
    process.arguments.extend((0..argc).map(|_| next_string(&mut rest).to_vec()));
    process.environment.extend((0..envc).map(|_| next_string(&mut rest).to_vec()));
    for source in arguments() {
        (source.item)(command_line, &mut process);
    }
    process
}

/// Who the process is.
pub fn credentials() -> RefMut<'static, Credentials> {
    CREDENTIALS.borrow()
}

/// What the machine is called.
pub fn hostname() -> &'static [u8] {
    *HOSTNAME.borrow()
}

/// The program's file in the root; links to it are followed.
pub fn program() -> &'static [u8] {
    *PROGRAM.borrow()
}

/// What a thread is called before it says otherwise: the last part of the path that the program was started by, cut to 15 bytes (`PR_SET_NAME`).
pub fn thread_name() -> [u8; 16] {
    let arguments = ARGUMENTS.borrow();
    let path = arguments.first().map_or(&[][..], Vec::as_slice);
    let file = &path[path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1)..];
    let mut name = [0; 16];
    for (to, from) in name[..15].iter_mut().zip(file) {
        *to = *from;
    }
    name
}

/// Keeps what the program may be asked about later, once it is loaded.
pub fn started(process: Process) {
    *ARGUMENTS.borrow() = process.arguments;
}

/// The arguments that the program was started with.
pub fn with_arguments(look: impl FnOnce(&[Vec<u8>])) {
    look(&ARGUMENTS.borrow())
}

/// Where the first thread's stack pointer started.
pub fn stack() -> u64 {
    STACK_START.load(Ordering::Relaxed)
}

pub fn set_stack(start: u64) {
    STACK_START.store(start, Ordering::Relaxed)
}

/// The end of the program's data, where the break starts.
pub fn data_end() -> u64 {
    DATA_END.load(Ordering::Relaxed)
}

pub fn set_data_end(end: u64) {
    DATA_END.store(end, Ordering::Relaxed);
}

/// Bytes to move a mapping by: a whole number of pages, below 2^`bits` pages; zero without randomisation.
pub fn random_offset(bits: u32) -> u64 {
    let pages = randomisers().first().map_or(0, |entry| (entry.item)());
    (pages & ((1 << bits) - 1)) * crate::memory::paging::PAGE
}
