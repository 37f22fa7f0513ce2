//! The console as a terminal: `termios(3)`, `ioctl_tty(2)`, and what lies between keys and a reading program.
//!
//! One program, so it is always the foreground. Output is never held back: IXON can be set, and changes nothing.

mod line;

use super::input::{self, Discipline, END, Input};
use super::output;
use crate::boot::pvh::StartInfo;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::fs::file::Access;
use crate::memory::user;
use crate::sched::post;
use crate::sched::wait_many::wait_in;
use core::sync::atomic::{AtomicU32, Ordering};
use line::Line;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::*;

crate::register!("init": fn(&StartInfo) = { 86 => init });
crate::register!("line-discipline": &'static Discipline = { 10 => &DISCIPLINE });
crate::register!("message": fn(&[u8]) = { 10 => write });
crate::register!("terminal-size": fn(u16, u16) = { 10 => resize });

static DISCIPLINE: Discipline = Discipline { receive, read, is_readable, write, control };

/// Bytes of the kernel's `struct termios`: four words of flags, the line discipline, 19 control characters.
const SIZE: usize = 36;

/// The settings.
struct Terminal {
    input: u32,
    control: u32,
    local: u32,
    discipline: u8,
    characters: [u8; NCCS as usize],
    /// Rows, columns, and the size in pixels, which nobody knows.
    size: [u16; 4],
    line: Line,
}

static TERMINAL: KernelCell<Terminal> = KernelCell::new(Terminal {
    input: ICRNL | IUTF8,
    control: B38400 | CS8 | CREAD | HUPCL | CLOCAL,
    local: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    discipline: 0,
    // VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN, VSWTC, VSTART, VSTOP, VSUSP, VEOL, VREPRINT, VDISCARD, VWERASE, VLNEXT, VEOL2
    characters: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
    size: [0; 4],
    line: Line::new(),
});

/// `c_oflag`, where it can be read whatever is borrowed: the kernel's last words come this way too.
static OUTPUT: AtomicU32 = AtomicU32::new(0);

/// What `bespoke run` says of the other end: `ROWSxCOLUMNS`, of a terminal that leaves all to this one; or `quiet`, where somebody else echoes.
fn init(info: &StartInfo) {
    let mut terminal = TERMINAL.borrow();
    let Some(word) = input::other_end(info).and_then(|word| core::str::from_utf8(word).ok()) else { return };
    if let Some((rows, columns)) = word.split_once('x') {
        terminal.size[0] = rows.parse().unwrap_or(0);
        terminal.size[1] = columns.parse().unwrap_or(0);
        OUTPUT.store(OPOST | ONLCR, Ordering::Relaxed);
    } else {
        terminal.local &= !ECHO;
    }
}

/// Shows bytes, with a carriage return before each newline where that is wanted.
fn write(bytes: &[u8]) {
    const WANTED: u32 = OPOST | ONLCR;
    if OUTPUT.load(Ordering::Relaxed) & WANTED != WANTED {
        return output::write(bytes);
    }
    for part in bytes.split_inclusive(|&byte| byte == b'\n') {
        match part.strip_suffix(b"\n") {
            Some(text) => {
                output::write(text);
                output::write(b"\r\n");
            }
            None => output::write(part),
        }
    }
}

impl Terminal {
    fn is_canonical(&self) -> bool {
        self.local & ICANON != 0
    }

    fn character(&self, which: u32) -> u8 {
        self.characters[which as usize]
    }

    /// Whether a byte is the special character of this role; a zero in the table means that there is none.
    fn is(&self, byte: u8, which: u32) -> bool {
        byte != 0 && self.character(which) == byte
    }

    fn ends_line(&self, byte: u8) -> bool {
        byte == b'\n' || self.is(byte, VEOL) || self.is(byte, VEOL2) && self.local & IEXTEN != 0
    }

    fn termios(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let words = [self.input, OUTPUT.load(Ordering::Relaxed), self.control, self.local];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[16] = self.discipline;
        bytes[17..].copy_from_slice(&self.characters);
        bytes
    }

    fn set(&mut self, input: &Input, bytes: &[u8; SIZE]) {
        let word = |index: usize| {
            let at = 4 * index;
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let was_canonical = self.is_canonical();
        self.input = word(0);
        OUTPUT.store(word(1), Ordering::Relaxed);
        self.control = word(2);
        self.local = word(3);
        self.discipline = bytes[16];
        self.characters.copy_from_slice(&bytes[17..]);
        if was_canonical && !self.is_canonical() {
            // What was being edited is there to be read now.
            self.line.finish(input);
        }
    }
}

/// Takes a byte that was typed.
fn receive(input: &Input, byte: u8) {
    if let Some(signal) = take_in(input, byte) {
        // Not while the terminal is borrowed: without signals this is the end, and its last words come this way.
        post::send_to_process(signal);
    }
    input.queue.wake_all();
}

/// Does what a byte asks for; a signal is left to the caller.
fn take_in(input: &Input, byte: u8) -> Option<u32> {
    let terminal = &mut *TERMINAL.borrow();
    let byte = match byte {
        b'\r' if terminal.input & IGNCR != 0 => return None,
        b'\r' if terminal.input & ICRNL != 0 => b'\n',
        b'\n' if terminal.input & INLCR != 0 => b'\r',
        byte => byte,
    };
    if terminal.local & ISIG != 0 && !terminal.line.is_literal() {
        let signals = [(VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)];
        if let Some((_, signal)) = signals.into_iter().find(|&(which, _)| terminal.is(byte, which)) {
            line::echo(terminal.local, byte);
            if terminal.local & NOFLSH == 0 {
                terminal.line.clear();
                input.clear();
            }
            return Some(signal);
        }
    }
    if terminal.is_canonical() {
        line::edit(terminal, input, byte);
    } else {
        line::echo(terminal.local, byte);
        input.push(u16::from(byte));
    }
    None
}

/// How a read waits (`termios(3)`, canonical and noncanonical mode): for how many bytes, and how long in tenths of a second.
fn patience() -> (bool, usize, u8) {
    let terminal = TERMINAL.borrow();
    if terminal.is_canonical() {
        return (true, 1, 0);
    }
    (false, usize::from(terminal.character(VMIN)), terminal.character(VTIME))
}

fn read(input: &Input, to: u64, count: usize, access: Access) -> Result<usize> {
    if count == 0 {
        return Ok(0);
    }
    let mut deadline = None;
    let mut before = input.length();
    let is_canonical = loop {
        let (is_canonical, least, tenths) = patience();
        let length = input.length();
        let enough = if tenths > 0 { 1.max(least) } else { least }.min(count);
        if length >= enough {
            break is_canonical;
        }
        // The time runs from the call on when no byte is asked for, and from byte to byte otherwise.
        if tenths > 0 && (least == 0 || length > 0) && (deadline.is_none() || least > 0 && length > before) {
            deadline = Some(tsc::now() + u64::from(tenths) * 100_000_000);
        }
        before = length;
        if deadline.is_some_and(|deadline| deadline <= tsc::now()) {
            break is_canonical;
        }
        if access.nonblocking {
            if length > 0 {
                break is_canonical;
            }
            return Err(Errno::EAGAIN);
        }
        match wait_in(&[&input.queue], deadline) {
            Err(Errno::EINTR) if !is_canonical && input.length() > 0 => break is_canonical,
            result => result?,
        }
    };
    let mut chunk = [0u8; 256];
    let mut done = 0;
    while done < count && input.length() > 0 {
        let room = chunk.len().min(count - done);
        let was_end = input.peek() == Some(END);
        let taken = input.take(&mut chunk[..room], |byte| is_canonical && TERMINAL.borrow().ends_line(byte));
        user::write_bytes(to + done as u64, &chunk[..taken])?;
        done += taken;
        let is_last = was_end || chunk[..taken].last().is_some_and(|&byte| TERMINAL.borrow().ends_line(byte));
        if is_canonical && (is_last || taken < room) {
            break;
        }
    }
    // The end that was typed behind the last byte ends this read, and not the next.
    if is_canonical && done == count && input.peek() == Some(END) {
        input.take(&mut [], |_| true);
    }
    Ok(done)
}

fn is_readable(input: &Input) -> bool {
    let (_, least, tenths) = patience();
    input.length() >= if tenths > 0 { 1 } else { least.max(1) }
}

fn set_size(size: [u16; 4]) {
    let before = core::mem::replace(&mut TERMINAL.borrow().size, size);
    if before != size {
        post::send_to_process(SIGWINCH);
    }
}

fn resize(rows: u16, columns: u16) {
    set_size([rows, columns, 0, 0]);
}

fn control(input: &Input, request: u32, argument: u64) -> Result<u64> {
    match request {
        TCGETS => {
            let termios = TERMINAL.borrow().termios();
            user::write(argument, &termios)?;
        }
        TCSETS | TCSETSW | TCSETSF => {
            let termios: [u8; SIZE] = user::read(argument)?;
            let mut terminal = TERMINAL.borrow();
            if request == TCSETSF {
                terminal.line.clear();
                input.clear();
            }
            terminal.set(input, &termios);
            drop(terminal);
            // Who waits may wait otherwise now.
            input.queue.wake_all();
        }
        TIOCGWINSZ => {
            let size = TERMINAL.borrow().size;
            user::write(argument, &size)?;
        }
        TIOCSWINSZ => set_size(user::read(argument)?),
        FIONREAD => user::write(argument, &(input.length() as u32))?,
        TIOCOUTQ => user::write(argument, &0u32)?,
        // One session and one group, both of process 1.
        TIOCGPGRP | TIOCGSID => user::write(argument, &1u32)?,
        TIOCSPGRP if user::read::<u32>(argument)? != 1 => return Err(Errno::EPERM),
        TIOCSPGRP | TIOCSCTTY | TCSBRK | TCSBRKP | TCXONC => {}
        TCFLSH if argument > 2 => return Err(Errno::EINVAL),
        TCFLSH => {
            // 0: what was received; 1: what was not sent, of which there is nothing; 2: both.
            if argument != 1 {
                TERMINAL.borrow().line.clear();
                input.clear();
            }
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}
