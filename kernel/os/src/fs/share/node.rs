//! Files and directories of a share.

use super::client::{Attributes, Client, DATA, Fid};
use super::message::{Kind, Reader, Writer};
use crate::errno::{Errno, Result};
use crate::fs::file::{Access, File, Stat};
use crate::fs::node::{Change, DirectoryEntry, Node, Usage};
use crate::list;
use crate::memory::user;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::Cell;
use linux_raw_sys::general::*;

/// The shared folder itself.
pub fn attach(client: Rc<Client>) -> Result<Rc<Entry>> {
    let fid = client.attach()?;
    Entry::new(client, fid)
}

/// A number of a file at the host, given up when dropped.
struct Handle {
    client: Rc<Client>,
    fid: Fid,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.client.drop_fid(self.fid);
    }
}

/// A file, directory or link.
pub struct Entry {
    handle: Handle,
    /// As last told by the host.
    known: Cell<Attributes>,
}

/// A file that is open.
struct Opened {
    entry: Rc<Entry>,
    handle: Handle,
    /// Written with O_DSYNC.
    synchronous: bool,
}

fn done(_: &mut Reader<'_>) -> Result<()> {
    Ok(())
}

impl Entry {
    fn new(client: Rc<Client>, fid: Fid) -> Result<Rc<Self>> {
        let handle = Handle { client, fid };
        let known = Cell::new(handle.client.attributes(fid)?);
        Ok(Rc::new(Self { handle, known }))
    }

    fn client(&self) -> &Rc<Client> {
        &self.handle.client
    }

    fn kind(&self) -> u32 {
        self.known.get().mode & S_IFMT
    }

    fn stat_of(&self, fid: Fid) -> Stat {
        match self.client().attributes(fid) {
            Ok(now) => self.known.set(now),
            // A file that is open and has lost its name has no attributes for the host any more.
            Err(_) => self.known.set(Attributes { links: 0, ..self.known.get() }),
        }
        let known = self.known.get();
        Stat {
            mode: known.mode,
            inode: known.inode,
            links: known.links,
            size: known.size,
            user: known.user,
            group: known.group,
            device: known.device,
            filesystem: self.client().number,
            accessed: known.accessed,
            modified: known.modified,
            changed: known.changed,
        }
    }

    /// The same file under a number of its own.
    fn again(&self) -> Result<Handle> {
        let client = self.client().clone();
        let fid = client.walk(self.handle.fid, None)?;
        Ok(Handle { client, fid })
    }

    /// An entry of the same share, given as any.
    fn same_share(&self, node: &Rc<dyn Node>) -> Result<Rc<Entry>> {
        let entry: Rc<Entry> = (node.clone() as Rc<dyn Any>).downcast().map_err(|_| Errno::EXDEV)?;
        if Rc::ptr_eq(entry.client(), self.client()) { Ok(entry) } else { Err(Errno::EXDEV) }
    }

    /// Asks for something about this file, which answers with nothing that matters.
    fn tell(&self, kind: Kind, rest: impl FnOnce(&mut Writer<'_>)) -> Result<()> {
        let fid = self.handle.fid;
        self.client().ask(
            kind,
            |message| {
                message.u32(fid);
                rest(message);
            },
            done,
        )
    }
}

impl Node for Entry {
    fn stat(&self) -> Stat {
        self.stat_of(self.handle.fid)
    }

    fn kind(&self) -> u32 {
        Self::kind(self)
    }

    fn lookup(&self, name: &[u8]) -> Result<Rc<dyn Node>> {
        let fid = self.client().walk(self.handle.fid, Some(name))?;
        Ok(Entry::new(self.client().clone(), fid)?)
    }

    fn list(&self) -> Result<Vec<DirectoryEntry>> {
        let handle = self.again()?;
        self.client().open(handle.fid, O_RDONLY | O_DIRECTORY)?;
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            let before = at;
            self.client().ask(
                Kind::ReadDirectory,
                |message| {
                    message.u32(handle.fid);
                    message.u64(before);
                    message.u32(DATA as u32);
                },
                |answer| {
                    let length = answer.u32()? as usize;
                    let mut some = Reader(answer.bytes(length)?);
                    while !some.0.is_empty() {
                        let inode = some.identity()?;
                        at = some.u64()?;
                        let kind = some.u8()?;
                        let name = some.text()?;
                        if name != b"." && name != b".." {
                            entries.push(DirectoryEntry { name, inode, mode: u32::from(kind & 0xf) << 12 });
                        }
                    }
                    Ok(())
                },
            )?;
            if at == before {
                return Ok(entries);
            }
        }
    }

    fn target(&self) -> Option<Vec<u8>> {
        if self.kind() != S_IFLNK {
            return None;
        }
        let fid = self.handle.fid;
        self.client().ask(Kind::ReadLink, |message| message.u32(fid), |answer| answer.text()).ok()
    }

    fn open(self: Rc<Self>, flags: u32) -> Result<Rc<dyn File>> {
        if !matches!(self.kind(), S_IFREG | S_IFDIR) {
            return Err(Errno::ENXIO);
        }
        let handle = self.again()?;
        self.client().open(handle.fid, flags & (O_ACCMODE | O_TRUNC))?;
        Ok(Rc::new(Opened { handle, synchronous: flags & O_DSYNC != 0, entry: self }))
    }

    fn create(&self, name: &[u8], mode: u32, target: &[u8]) -> Result<Rc<dyn Node>> {
        let permissions = mode & 0o7777;
        match mode & S_IFMT {
            S_IFREG => {
                // The number becomes that of the open file.
                let handle = self.again()?;
                self.client().ask(
                    Kind::Create,
                    |message| {
                        message.u32(handle.fid);
                        message.text(name);
                        message.u32(O_RDWR | O_CREAT | O_EXCL);
                        message.u32(permissions);
                        message.u32(0);
                    },
                    done,
                )?;
            }
            S_IFDIR => self.tell(Kind::MakeDirectory, |message| {
                message.text(name);
                message.u32(permissions);
                message.u32(0);
            })?,
            S_IFLNK => self.tell(Kind::Symlink, |message| {
                message.text(name);
                message.text(target);
                message.u32(0);
            })?,
            _ => self.tell(Kind::MakeNode, |message| {
                message.text(name);
                message.u32(mode);
                message.u32(0);
                message.u32(0);
                message.u32(0);
            })?,
        }
        self.lookup(name)
    }

    fn link(&self, name: &[u8], node: Rc<dyn Node>) -> Result<()> {
        let entry = self.same_share(&node)?;
        self.tell(Kind::Link, |message| {
            message.u32(entry.handle.fid);
            message.text(name);
        })
    }

    fn remove(&self, name: &[u8], directory: bool) -> Result<()> {
        self.tell(Kind::Unlink, |message| {
            message.text(name);
            message.u32(if directory { AT_REMOVEDIR } else { 0 });
        })
    }

    fn rename(&self, name: &[u8], to: &Rc<dyn Node>, new_name: &[u8]) -> Result<()> {
        let to = self.same_share(to)?;
        self.tell(Kind::Rename, |message| {
            message.text(name);
            message.u32(to.handle.fid);
            message.text(new_name);
        })
    }

    fn change(&self, change: &Change) -> Result<()> {
        // Which fields count (P9_ATTR_*): mode, user, group, size, times given.
        let bit = |given: bool, bits: u32| if given { bits } else { 0 };
        let valid = bit(change.permissions.is_some(), 1)
            | bit(change.user.is_some(), 2)
            | bit(change.group.is_some(), 4)
            | bit(change.size.is_some(), 8)
            | bit(change.accessed.is_some(), 0x90)
            | bit(change.modified.is_some(), 0x120);
        self.tell(Kind::SetAttributes, |message| {
            message.u32(valid);
            message.u32(change.permissions.unwrap_or(0));
            message.u32(change.user.unwrap_or(0));
            message.u32(change.group.unwrap_or(0));
            message.u64(change.size.unwrap_or(0));
            for time in [change.accessed, change.modified] {
                let (seconds, nanoseconds) = time.unwrap_or_default();
                message.u64(seconds as u64);
                message.u64(u64::from(nanoseconds));
            }
        })?;
        self.known.set(self.client().attributes(self.handle.fid).unwrap_or(self.known.get()));
        Ok(())
    }

    fn is_read_only(&self) -> bool {
        false // the host says so when it comes to it
    }

    fn usage(&self) -> Option<Usage> {
        let fid = self.handle.fid;
        let read = |answer: &mut Reader<'_>| {
            let magic = u64::from(answer.u32()?);
            let block = u64::from(answer.u32()?);
            let (blocks, free) = (answer.u64()?, answer.u64()?);
            answer.u64()?; // what others than root may have
            let (files, free_files) = (answer.u64()?, answer.u64()?);
            Ok(Usage { magic, block, blocks, free, files, free_files, read_only: false })
        };
        self.client().ask(Kind::Statfs, |message| message.u32(fid), read).ok()
    }
}

impl File for Opened {
    fn read(&self, to: u64, count: usize, access: Access) -> Result<usize> {
        let mut read = 0;
        while read < count {
            let position = access.position + read as u64;
            let length = (count - read).min(DATA);
            let got = self.handle.client.ask(
                Kind::Read,
                |message| {
                    message.u32(self.handle.fid);
                    message.u64(position);
                    message.u32(length as u32);
                },
                |answer| {
                    let got = answer.u32()? as usize;
                    // No copy of a copy: nothing is borrowed but the answer's own frames.
                    user::write_bytes(to + read as u64, answer.bytes(got.min(length))?)?;
                    Ok(got.min(length))
                },
            );
            match got {
                Err(error) if read == 0 => return Err(error),
                Ok(got) if got > 0 => read += got,
                _ => break,
            }
        }
        Ok(read)
    }

    fn write(&self, from: u64, count: usize, access: Access) -> Result<usize> {
        let mut written = 0;
        let mut bytes = list::zeroes(count.min(DATA))?;
        while written < count {
            let position = access.position + written as u64;
            bytes.truncate(count - written);
            let sent = user::read_bytes(from + written as u64, &mut bytes).and_then(|()| {
                self.handle.client.ask(
                    Kind::Write,
                    |message| {
                        message.u32(self.handle.fid);
                        message.u64(position);
                        message.u32(bytes.len() as u32);
                        message.bytes(&bytes);
                    },
                    |answer| answer.u32(),
                )
            });
            match sent {
                Err(error) if written == 0 => return Err(error),
                Ok(sent) if sent > 0 => written += (sent as usize).min(bytes.len()),
                _ => break,
            }
            let known = self.entry.known.get();
            let size = known.size.max(access.position + written as u64);
            self.entry.known.set(Attributes { size, ..known });
        }
        if self.synchronous {
            self.sync()?;
        }
        Ok(written)
    }

    fn stat(&self) -> Stat {
        self.entry.stat_of(self.handle.fid)
    }

    fn sync(&self) -> Result<()> {
        self.handle.client.ask(
            Kind::Sync,
            |message| {
                message.u32(self.handle.fid);
                message.u32(0);
            },
            done,
        )
    }

    fn is_seekable(&self) -> bool {
        true
    }
}
