//! What lies between keys and a reading program (`termios(3)`), for the console and for pseudo terminals.
//!
//! Output is never held back: IXON can be set, and changes nothing.

mod control;
pub mod controlling;
mod line;

use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::errno::{Errno, Result};
use crate::fs::file::Access;
use crate::memory::user;
use crate::sched::post;
use crate::sched::wait_many::wait_in;
use crate::typed::{END, Typed};
use controlling::Opener;
use core::sync::atomic::{AtomicU32, Ordering};
use line::Line;
use linux_raw_sys::general::*;

/// What a terminal stands between.
pub trait Port {
    /// What was typed and can be read.
    fn typed(&self) -> &Typed;
    /// Shows bytes that were typed, as [`Terminal::show`] does. Nobody may be woken: the terminal's state is borrowed.
    fn echo(&self, bytes: &[u8]);
    /// What was typed has become less.
    fn taken(&self);
    /// Its device number.
    fn number(&self) -> u64;
    /// How the terminal of that number is opened once more.
    fn opener(&self) -> Opener;
}

/// A terminal's settings, and the line being typed.
pub struct Terminal {
    state: KernelCell<State>,
    /// `c_oflag`, where it can be read whatever is borrowed: the kernel's last words come this way too.
    output: AtomicU32,
}

struct State {
    input: u32,
    control: u32,
    local: u32,
    discipline: u8,
    characters: [u8; NCCS as usize],
    /// Rows, columns, and the size in pixels, which nobody knows.
    size: [u16; 4],
    line: Line,
}

impl State {
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
}

impl Terminal {
    /// A terminal with these flags of input, output and control, and the usual others.
    pub const fn new(input: u32, output: u32, control: u32) -> Self {
        let state = State {
            input,
            control,
            local: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            discipline: 0,
            // VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN, VSWTC, VSTART, VSTOP, VSUSP, VEOL, VREPRINT, VDISCARD, VWERASE, VLNEXT, VEOL2
            characters: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
            size: [0; 4],
            line: Line::new(),
        };
        Self { state: KernelCell::new(state), output: AtomicU32::new(output) }
    }

    /// Somebody else echoes.
    pub fn quiet(&self) {
        self.state.borrow().local &= !ECHO;
    }

    /// What is shown is processed here, and this large.
    pub fn process(&self, rows: u16, columns: u16) {
        self.state.borrow().size = [rows, columns, 0, 0];
        self.output.store(OPOST | ONLCR, Ordering::Relaxed);
    }

    /// Shows bytes, with a carriage return before each newline where that is wanted.
    #[inline]
    pub fn show(&self, bytes: &[u8], show: impl Fn(&[u8])) {
        const WANTED: u32 = OPOST | ONLCR;
        if self.output.load(Ordering::Relaxed) & WANTED != WANTED {
            return show(bytes);
        }
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(text) => {
                    show(text);
                    show(b"\r\n");
                }
                None => show(part),
            }
        }
    }

    /// Takes a byte that was typed. The caller wakes who reads.
    pub fn receive(&self, port: &dyn Port, byte: u8) {
        if let Some(signal) = self.take_in(port, byte)
            && controlling::is(port.number())
        {
            // Not while the terminal is borrowed: without signals this is the end, and its last words come this way.
            post::send_to_process(signal);
        }
    }

    /// Does what a byte asks for; a signal is left to the caller.
    fn take_in(&self, port: &dyn Port, byte: u8) -> Option<u32> {
        let state = &mut *self.state.borrow();
        let typed = port.typed();
        let byte = match byte {
            b'\r' if state.input & IGNCR != 0 => return None,
            b'\r' if state.input & ICRNL != 0 => b'\n',
            b'\n' if state.input & INLCR != 0 => b'\r',
            byte => byte,
        };
        if state.local & ISIG != 0 && !state.line.is_literal() {
            let signals = [(VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)];
            if let Some((_, signal)) = signals.into_iter().find(|&(which, _)| state.is(byte, which)) {
                line::echo(port, state.local, byte);
                if state.local & NOFLSH == 0 {
                    state.line.clear();
                    typed.clear();
                    port.taken();
                }
                return Some(signal);
            }
        }
        if state.is_canonical() {
            line::edit(state, port, byte);
        } else {
            line::echo(port, state.local, byte);
            typed.push(u16::from(byte));
        }
        None
    }

    /// How a read waits (`termios(3)`, canonical and noncanonical mode): for how many bytes, and how long in tenths of a second.
    fn patience(&self) -> (bool, usize, u8) {
        let state = self.state.borrow();
        if state.is_canonical() {
            return (true, 1, 0);
        }
        (false, usize::from(state.character(VMIN)), state.character(VTIME))
    }

    /// `read(2)`. EIO: the other end went away meanwhile.
    pub fn read(&self, port: &dyn Port, to: u64, count: usize, access: Access) -> Result<usize> {
        if count == 0 {
            return Ok(0);
        }
        let typed = port.typed();
        let mut deadline = None;
        let mut before = typed.length();
        let is_canonical = loop {
            let (is_canonical, least, tenths) = self.patience();
            let length = typed.length();
            let enough = if tenths > 0 { 1.max(least) } else { least }.min(count);
            if length >= enough {
                break is_canonical;
            }
            if typed.has_ended.get() {
                return Err(Errno::EIO);
            }
            // The time runs from the call on when no byte is asked for, and from byte to byte otherwise.
            if tenths > 0
                && (least == 0 || length > 0)
                && (deadline.is_none() || least > 0 && length > before)
            {
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
            match wait_in(&[&typed.queue], deadline) {
                Err(Errno::EINTR) if !is_canonical && typed.length() > 0 => break is_canonical,
                result => result?,
            }
        };
        let mut chunk = [0u8; 256];
        let mut done = 0;
        while done < count && typed.length() > 0 {
            let room = chunk.len().min(count - done);
            let was_end = typed.peek() == Some(END);
            let ends_line = |byte| is_canonical && self.state.borrow().ends_line(byte);
            let taken = typed.take(&mut chunk[..room], ends_line);
            port.taken();
            user::write_bytes(to + done as u64, &chunk[..taken])?;
            done += taken;
            let is_last = was_end || chunk[..taken].last().is_some_and(|&byte| ends_line(byte));
            if is_canonical && (is_last || taken < room) {
                break;
            }
        }
        // The end that was typed behind the last byte ends this read, and not the next.
        if is_canonical && done == count && typed.peek() == Some(END) {
            typed.take(&mut [], |_| true);
        }
        Ok(done)
    }

    /// Whether a read would not wait.
    pub fn is_readable(&self, port: &dyn Port) -> bool {
        let (_, least, tenths) = self.patience();
        port.typed().length() >= if tenths > 0 { 1 } else { least.max(1) }
    }

    /// The window has another size: rows, columns, and two that nobody knows.
    pub fn set_size(&self, number: u64, size: [u16; 4]) {
        let before = core::mem::replace(&mut self.state.borrow().size, size);
        if before != size && controlling::is(number) {
            post::send_to_process(SIGWINCH);
        }
    }
}
