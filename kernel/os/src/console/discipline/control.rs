//! `ioctl_tty(2)`.

use super::{Port, State, Terminal, controlling};
use crate::errno::{Errno, Result};
use crate::memory::user;
use crate::typed::Typed;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::*;

/// Bytes of the kernel's `struct termios`: four words of flags, the line discipline, 19 control characters.
const SIZE: usize = 36;

impl Terminal {
    fn termios(&self) -> [u8; SIZE] {
        let state = self.state.borrow();
        let mut bytes = [0; SIZE];
        let words = [state.input, self.output.load(Ordering::Relaxed), state.control, state.local];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[16] = state.discipline;
        bytes[17..].copy_from_slice(&state.characters);
        bytes
    }

    fn set(&self, state: &mut State, typed: &Typed, bytes: &[u8; SIZE]) {
        let word = |index: usize| {
            let at = 4 * index;
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let was_canonical = state.is_canonical();
        state.input = word(0);
        self.output.store(word(1), Ordering::Relaxed);
        state.control = word(2);
        state.local = word(3);
        state.discipline = bytes[16];
        state.characters.copy_from_slice(&bytes[17..]);
        if was_canonical && !state.is_canonical() {
            // What was being edited is there to be read now.
            state.line.finish(typed);
        }
    }

    /// Throws away what was typed.
    fn flush(&self, port: &dyn Port) {
        self.state.borrow().line.clear();
        port.typed().clear();
        port.taken();
    }

    /// Whether the keys of START and STOP do what they usually do: what packet mode tells (`TIOCPKT`).
    pub fn has_usual_flow(&self) -> bool {
        let state = self.state.borrow();
        state.input & IXON != 0 && state.character(VSTOP) == 19 && state.character(VSTART) == 17
    }

    /// `ioctl(2)`.
    pub fn control(&self, port: &dyn Port, request: u32, argument: u64) -> Result<u64> {
        let typed = port.typed();
        match request {
            TCGETS => user::write(argument, &self.termios())?,
            TCSETS | TCSETSW | TCSETSF => {
                let termios: [u8; SIZE] = user::read(argument)?;
                if request == TCSETSF {
                    self.flush(port);
                }
                self.set(&mut self.state.borrow(), typed, &termios);
                // Who waits may wait otherwise now.
                typed.queue.wake_all();
            }
            TIOCGWINSZ => {
                let size = self.state.borrow().size;
                user::write(argument, &size)?;
            }
            TIOCSWINSZ => self.set_size(port.number(), user::read(argument)?),
            FIONREAD => user::write(argument, &(typed.length() as u32))?,
            TIOCOUTQ => user::write(argument, &0u32)?,
            TIOCGPGRP | TIOCGSID | TIOCSPGRP if !controlling::is(port.number()) => {
                return Err(Errno::ENOTTY);
            }
            // One session and one group, both of process 1.
            TIOCGPGRP | TIOCGSID => user::write(argument, &1u32)?,
            TIOCSPGRP => match user::read::<u32>(argument)? as i32 {
                1 => {}
                group if group < 0 => return Err(Errno::EINVAL),
                _ => return Err(Errno::ESRCH),
            },
            TIOCSCTTY => controlling::take(port.number(), port.opener())?,
            TIOCNOTTY => controlling::leave(port.number())?,
            TCSBRK | TCSBRKP | TCXONC => {}
            TCFLSH if argument > 2 => return Err(Errno::EINVAL),
            // 0: what was received; 1: what was not sent, of which there is nothing; 2: both.
            TCFLSH if argument == 1 => {}
            TCFLSH => self.flush(port),
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }
}
