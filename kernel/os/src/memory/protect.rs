//! `mprotect(2)`.

use super::overcommit;
use super::paging::PAGE;
use super::space::{self, Rights};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use linux_raw_sys::general::__NR_mprotect;

crate::register!("syscall": Handler = { __NR_mprotect => mprotect });

fn mprotect(args: &Args) -> Result<u64> {
    let [address, length, protection, ..] = args.0;
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
    let rights = Rights::from_bits(protection as u32).ok_or(Errno::EINVAL)?;
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    if length > 0 {
        let has = space::rights(address, length).is_some_and(|rights| rights.contains(Rights::WRITE));
        if rights.contains(Rights::WRITE) && !has && !overcommit::allows(length, true) {
            return Err(Errno::ENOMEM);
        }
        space::protect(address, length, rights)?;
    }
    Ok(0)
}
