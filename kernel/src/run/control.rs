//! The line to the guest: a second serial port whose other end is a socket here (`driver.control` of the library OS says what is spoken).

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::{FdFlags, fcntl_setfd};

use super::{RunError, io};

/// What the guest writes when it listens.
const READY: u8 = b'R';
/// Begins a terminal's size.
const SIZE: u8 = 0x80;

/// The runner's end. The line has no name in the file system, so that nothing is left of it however the two processes end.
#[derive(Debug)]
pub(super) struct Control {
    stream: UnixStream,
    is_ready: bool,
}

/// QEMU's end, which it inherits when it is started while this is held.
pub(super) struct Line(OwnedFd);

impl Control {
    pub(super) fn new() -> Result<(Self, Line), RunError> {
        let make = || {
            let (stream, theirs) = UnixStream::pair()?;
            // Another child that is started at this moment inherits it as well, which keeps nobody waiting: neither end waits for the line's end.
            fcntl_setfd(&theirs, FdFlags::empty())?;
            Ok((Self { stream, is_ready: false }, Line(theirs.into())))
        };
        make().map_err(io("cannot make a socket for the machine's control port"))
    }

    /// Sends a message. False: nobody in the guest listens.
    fn send(&mut self, message: &[u8]) -> bool {
        let stream = &mut self.stream;
        if !self.is_ready {
            let mut said = [0; 16];
            let _ = stream.set_nonblocking(true);
            self.is_ready = match stream.read(&mut said) {
                Ok(count) => said[..count].contains(&READY),
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                Err(_) => return false,
            };
            let _ = stream.set_nonblocking(false);
        }
        self.is_ready && stream.write_all(message).is_ok()
    }

    /// Sends the program a signal.
    pub(super) fn signal(&mut self, number: u8) -> bool {
        self.send(&[number])
    }

    /// Tells of a terminal's size.
    pub(super) fn resize(&mut self, rows: u16, columns: u16) {
        let [rows, more_rows] = rows.to_le_bytes();
        let [columns, more_columns] = columns.to_le_bytes();
        self.send(&[SIZE, rows, more_rows, columns, more_columns]);
    }
}

impl Line {
    /// What makes QEMU add the port: COM2 of a PC.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let backend = format!("socket,id=control,fd={}", self.0.as_raw_fd());
        let device = "isa-serial,chardev=control,iobase=0x2f8,irq=3";
        vec!["-chardev".into(), backend.into(), "-device".into(), device.into()]
    }
}
