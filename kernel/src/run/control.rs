//! The line to the guest: a second serial port whose other end is a socket here (`driver.control` of the library OS says what is spoken).

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use super::{RunError, io};

/// What the guest writes when it listens.
const READY: u8 = b'R';
/// Begins a terminal's size.
const SIZE: u8 = 0x80;

/// The runner's end.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    /// Once QEMU was let in.
    stream: Option<UnixStream>,
    is_ready: bool,
    path: PathBuf,
    /// Gone with this value.
    _folder: tempfile::TempDir,
}

impl Control {
    pub(super) fn new() -> Result<Self, RunError> {
        let make = || {
            let folder = tempfile::Builder::new().prefix("bespoke-control-").tempdir()?;
            let path = folder.path().join("line");
            let listener = UnixListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            Ok(Self { listener, stream: None, is_ready: false, path, _folder: folder })
        };
        make().map_err(io("cannot make a socket for the machine's control port"))
    }

    /// What makes QEMU add the port: COM2 of a PC.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut backend = OsString::from("socket,id=control,path=");
        backend.push(self.path.as_os_str().to_string_lossy().replace(',', ",,"));
        let device = "isa-serial,chardev=control,iobase=0x2f8,irq=3";
        vec!["-chardev".into(), backend, "-device".into(), device.into()]
    }

    /// Sends a message. False: nobody in the guest listens.
    fn send(&mut self, message: &[u8]) -> bool {
        if self.stream.is_none() {
            self.stream = self.listener.accept().ok().map(|(stream, _)| stream);
        }
        let Some(stream) = &mut self.stream else { return false };
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
