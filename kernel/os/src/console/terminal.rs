//! The console as a terminal: `termios(3)`, `ioctl_tty(2)`. It controls the session from the start, where there are keys at its other end.

use super::discipline::controlling::{self, Opener};
use super::discipline::{Port, Terminal};
use super::input::{self, Discipline, Input};
use super::output;
use crate::boot::pvh::StartInfo;
use crate::errno::Result;
use crate::fs::file::Access;
use crate::fs::stdio::CONSOLE;
use crate::typed::Typed;
use linux_raw_sys::general::*;

crate::register!("init": fn(&StartInfo) = { 86 => init });
crate::register!("line-discipline": &'static Discipline = { 10 => &DISCIPLINE });
crate::register!("message": fn(&[u8]) = { 10 => write });
crate::register!("terminal-size": fn(u16, u16) = { 10 => resize });

static DISCIPLINE: Discipline = Discipline { receive, read, is_readable, write, control };

static TERMINAL: Terminal = Terminal::new(ICRNL | IUTF8, 0, B38400 | CS8 | CREAD | HUPCL | CLOCAL);

const OPENER: Opener = |_| Some(input::console());

impl Port for Input {
    fn typed(&self) -> &Typed {
        &self.typed
    }

    fn echo(&self, bytes: &[u8]) {
        write(bytes);
    }

    fn taken(&self) {
        self.listen_again();
    }

    fn number(&self) -> u64 {
        CONSOLE
    }

    fn opener(&self) -> Opener {
        OPENER
    }
}

/// What `bespoke run` says of the other end: `ROWSxCOLUMNS`, of a terminal that leaves all to this one; or `quiet`, where somebody else echoes.
fn init(info: &StartInfo) {
    let word = input::other_end(info).and_then(|word| core::str::from_utf8(word).ok());
    match word.map(|word| word.split_once('x').ok_or(word)) {
        None => {}
        Some(Ok((rows, columns))) => {
            TERMINAL.process(rows.parse().unwrap_or(0), columns.parse().unwrap_or(0));
        }
        Some(Err(word)) => {
            TERMINAL.quiet();
            if word == "none" {
                return;
            }
        }
    }
    // Nothing else has it yet.
    let _ = controlling::take(CONSOLE, OPENER);
}

fn write(bytes: &[u8]) {
    TERMINAL.show(bytes, output::write);
}

fn receive(input: &Input, byte: u8) {
    TERMINAL.receive(input, byte);
    input.typed.queue.wake_all();
}

fn read(input: &Input, to: u64, count: usize, access: Access) -> Result<usize> {
    TERMINAL.read(input, to, count, access)
}

fn is_readable(input: &Input) -> bool {
    TERMINAL.is_readable(input)
}

fn resize(rows: u16, columns: u16) {
    TERMINAL.set_size(CONSOLE, [rows, columns, 0, 0]);
}

fn control(input: &Input, request: u32, argument: u64) -> Result<u64> {
    TERMINAL.control(input, request, argument)
}
