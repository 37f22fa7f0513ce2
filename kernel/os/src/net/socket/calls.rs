//! The calls themselves.

use super::{
    Part, Reply, SOCK_CLOEXEC, SOCK_NONBLOCK, call, create, get, nonblocking, open, read_name, send,
    write_name,
};
use crate::abi::syscall::{Args, Handler};
use crate::errno::{Errno, Result};
use linux_raw_sys::general::*;
use linux_raw_sys::net::*;

crate::register!("syscall": Handler = {
    __NR_socket => socket,
    __NR_bind => bind,
    __NR_listen => listen,
    __NR_accept => accept,
    __NR_accept4 => accept4,
    __NR_connect => connect,
    __NR_sendto => sendto,
    __NR_recvfrom => recvfrom,
    __NR_shutdown => shutdown,
    __NR_getsockname => getsockname,
    __NR_getpeername => getpeername,
});

fn socket(args: &Args) -> Result<u64> {
    let [family, kind, protocol, ..] = args.0;
    open(create(family as u32 as u64, kind as u32, protocol as u32)?, kind as u32)
}

fn bind(args: &Args) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    let (_, protocol) = get(fd)?;
    protocol.bind(&read_name(name, length)?)?;
    Ok(0)
}

fn listen(args: &Args) -> Result<u64> {
    let (_, protocol) = get(args.0[0])?;
    // The kernel's own limit (`net.core.somaxconn`); negative is as much as can be.
    protocol.listen((args.0[1] as u32).min(4096))?;
    Ok(0)
}

fn accept_with(args: &Args, flags: u32) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let (description, protocol) = get(fd)?;
    let (connection, peer) = protocol.accept(nonblocking(&description, 0))?;
    write_name(&peer, name, length)?;
    open(connection, flags)
}

fn accept(args: &Args) -> Result<u64> {
    accept_with(args, 0)
}

fn accept4(args: &Args) -> Result<u64> {
    accept_with(args, args.0[3] as u32)
}

fn connect(args: &Args) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    let (description, protocol) = get(fd)?;
    protocol.connect(&read_name(name, length)?, nonblocking(&description, 0))?;
    Ok(0)
}

fn sendto(args: &Args) -> Result<u64> {
    let [fd, from, count, flags, name, length] = args.0;
    let (description, protocol) = get(fd)?;
    let parts = [Part { address: from, length: count as usize }];
    let call = call(&description, &parts, flags as u32);
    if name == 0 {
        return Ok(send(&*protocol, &call, None, &[])? as u64);
    }
    let name = read_name(name, length)?;
    Ok(send(&*protocol, &call, Some(&name), &[])? as u64)
}

fn recvfrom(args: &Args) -> Result<u64> {
    let [fd, to, count, flags, name, length] = args.0;
    let (description, protocol) = get(fd)?;
    let parts = [Part { address: to, length: count as usize }];
    let mut reply = Reply { wants_name: name != 0, ..Reply::default() };
    let done = protocol.receive(&call(&description, &parts, flags as u32), &mut reply)?;
    write_name(&reply.name, name, length)?;
    Ok(done as u64)
}

fn shutdown(args: &Args) -> Result<u64> {
    let (_, protocol) = get(args.0[0])?;
    match args.0[1] as u32 {
        how @ (SHUT_RD | SHUT_WR | SHUT_RDWR) => protocol.shutdown(how).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

fn getsockname(args: &Args) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    write_name(&get(fd)?.1.name()?, name, length).map(|()| 0)
}

fn getpeername(args: &Args) -> Result<u64> {
    let [fd, name, length, ..] = args.0;
    write_name(&get(fd)?.1.peer()?, name, length).map(|()| 0)
}
