//! What drivers of disks offer to file systems.

use crate::cell::KernelCell;
use crate::errno::Result;
use crate::list;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Bytes of a sector, the unit of addresses.
pub const SECTOR: u64 = 512;

/// Memory of a transfer: physical address and bytes, a whole number of sectors.
pub type Piece = (u64, u32);

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
}

/// A transfer between consecutive sectors and memory. The memory must stay until the request has been carried out.
pub struct Request {
    pub operation: Operation,
    pub sector: u64,
    pub pieces: Vec<Piece>,
}

/// A disk.
pub trait Device {
    fn sectors(&self) -> u64;
    fn is_read_only(&self) -> bool;
    /// Carries requests out, in any order, several at once; other threads run meanwhile. EIO: one has failed, and others may have.
    fn execute(&self, requests: &[Request]) -> Result<()>;
    /// Returns when everything that was written is safe from a loss of power.
    fn flush(&self) -> Result<()>;
}

static DEVICES: KernelCell<Vec<Rc<dyn Device>>> = KernelCell::new(Vec::new());

/// A disk was found.
pub fn attach(device: Rc<dyn Device>) {
    // Without memory for a list of disks there will be none to read one.
    let _ = list::push(&mut DEVICES.borrow(), device);
}

/// The disks, in the order of their discovery.
pub fn devices() -> Vec<Rc<dyn Device>> {
    DEVICES.borrow().clone()
}
