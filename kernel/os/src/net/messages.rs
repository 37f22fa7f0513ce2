//! `sendmsg(2)`, `recvmsg(2)`, `sendmmsg(2)`, `recvmmsg(2)`.

use super::socket::control::Messages;
use super::socket::{self, Part, Protocol, Reply};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use crate::fs::file::Description;
use crate::memory::user;
use alloc::vec::Vec;
use linux_raw_sys::general::*;
use linux_raw_sys::net::{MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT};

crate::register!("syscall": Handler = {
    __NR_sendmsg => sendmsg,
    __NR_recvmsg => recvmsg,
    __NR_sendmmsg => sendmmsg,
    __NR_recvmmsg => recvmmsg,
});

/// `struct msghdr` as words: name and its length, parts and their count, control messages and their length, flags.
type Header = [u64; 7];
const HEADER: u64 = size_of::<Header>() as u64;
/// `struct mmsghdr`: a header, and how many bytes went.
const ENTRY: u64 = HEADER + 8;
/// Of `recvmmsg(2)`: wait for the first message only.
const MSG_WAITFORONE: u32 = 0x10000;
/// Bytes of control messages at most.
const CONTROL: u64 = 20 << 10;

fn parts(header: &Header) -> Result<Vec<Part>> {
    let [_, _, address, count, ..] = *header;
    if count > u64::from(UIO_MAXIOV) {
        return Err(Errno::EMSGSIZE);
    }
    socket::parts(address, count)
}

fn send_one(description: &Description, protocol: &dyn Protocol, header: u64, flags: u32) -> Result<u64> {
    let header: Header = user::read(header)?;
    let [name, name_length, _, _, control_address, control_length, _] = header;
    let parts = parts(&header)?;
    let name = if name == 0 { None } else { Some(socket::read_name(name, name_length)?) };
    if control_length > CONTROL {
        return Err(Errno::ENOBUFS);
    }
    let mut control = alloc::vec![0; control_length as usize];
    user::read_bytes(control_address, &mut control)?;
    let call = socket::call(description, &parts, flags);
    Ok(socket::send(protocol, &call, name.as_deref(), &control)? as u64)
}

fn receive_one(description: &Description, protocol: &dyn Protocol, address: u64, flags: u32) -> Result<u64> {
    let header: Header = user::read(address)?;
    let [name, name_length, _, _, control, control_room, _] = header;
    let parts = parts(&header)?;
    let room = if control == 0 { 0 } else { control_room.min(CONTROL) as usize };
    let messages = Messages { room, ..Messages::default() };
    let mut reply = Reply { wants_name: name != 0, control: messages, ..Reply::default() };
    let done = protocol.receive(&socket::call(description, &parts, flags), &mut reply)?;
    if name != 0 {
        let length = reply.name.len().min(name_length as u32 as usize);
        user::write_bytes(name, &reply.name[..length])?;
    }
    user::write(address + 8, &(reply.name.len() as u32))?;
    user::write_bytes(control, &reply.control.bytes)?;
    user::write(address + 40, &(reply.control.bytes.len() as u64))?;
    let cut = if reply.control.is_cut { MSG_CTRUNC } else { 0 };
    let flags = reply.flags | cut | flags & MSG_CMSG_CLOEXEC;
    user::write(address + 48, &flags)?;
    Ok(done as u64)
}

fn sendmsg(args: &Args) -> Result<u64> {
    let [fd, header, flags, ..] = args.0;
    let (description, protocol) = socket::get(fd)?;
    send_one(&description, &*protocol, header, flags as u32)
}

fn recvmsg(args: &Args) -> Result<u64> {
    let [fd, header, flags, ..] = args.0;
    let (description, protocol) = socket::get(fd)?;
    receive_one(&description, &*protocol, header, flags as u32)
}

/// Does one message after another until one fails; an error counts if it is the first.
fn many(address: u64, count: u64, mut one: impl FnMut(u64, u64) -> Result<Option<u64>>) -> Result<u64> {
    let count = (count as u32).min(UIO_MAXIOV);
    let mut done = 0;
    while done < u64::from(count) {
        let entry = address + done * ENTRY;
        match one(entry, done) {
            Ok(Some(length)) => user::write(entry + HEADER, &(length as u32))?,
            Ok(None) => break,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        done += 1;
    }
    Ok(done)
}

fn sendmmsg(args: &Args) -> Result<u64> {
    let [fd, messages, count, flags, ..] = args.0;
    let (description, protocol) = socket::get(fd)?;
    many(messages, count, |entry, _| send_one(&description, &*protocol, entry, flags as u32).map(Some))
}

fn recvmmsg(args: &Args) -> Result<u64> {
    let [fd, messages, count, flags, timeout, _] = args.0;
    let (description, protocol) = socket::get(fd)?;
    let flags = flags as u32;
    // The time is looked at between messages only, as on Linux (`recvmmsg(2)`, bugs); zero is "do not wait".
    let hurry = timeout != 0 && user::read::<[u64; 2]>(timeout)? == [0, 0];
    many(messages, count, |entry, done| {
        let wait_no_more = hurry || done > 0 && flags & MSG_WAITFORONE != 0;
        let flags = flags & !MSG_WAITFORONE | if wait_no_more { MSG_DONTWAIT } else { 0 };
        receive_one(&description, &*protocol, entry, flags).map(Some)
    })
}
