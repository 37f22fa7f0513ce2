//! A page of figures for Prometheus (its text format, version 0.0.4), served while the program runs.
//!
//! Nobody waits here: what arrives at a connection is looked at where it arrives.

use crate::boot::pvh::StartInfo;
use crate::cell::KernelCell;
use crate::driver::tsc;
use crate::list;
use crate::memory::frames;
use crate::memory::paging::PAGE;
use crate::net::inet::STREAM;
use crate::net::socket::{AF_INET6, Common};
use crate::net::tcp::connection::Connection;
use crate::net::tcp::engine;
use crate::net::tcp::listener::{self, Listener};
use crate::sched::thread;
use crate::sched::wait::{Observer, Queue};
use alloc::format;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::{Ipv6Addr, SocketAddr};

crate::param! {
    static PORT: u64 = "port"
}

crate::register!("init": fn(&StartInfo) = { 90 => start });

// Adds lines of the page.
crate::hook!(fn contributors() -> "metric": fn(&mut Vec<u8>));

/// The number of TCP.
const TCP: u32 = 6;
/// Connections at once; of more, the oldest ends.
const MOST: usize = 8;
/// The longest request that is read.
const LONGEST: usize = 4096;

/// Those who ask.
static SESSIONS: KernelCell<Vec<Rc<Session>>> = KernelCell::new(Vec::new());
static SERVICE: KernelCell<Option<Rc<Service>>> = KernelCell::new(None);

struct Service {
    listener: Rc<Listener>,
}

struct Session {
    connection: Rc<Connection>,
    request: RefCell<Vec<u8>>,
    /// What of the answer has not been sent, once there is one.
    answer: RefCell<Option<Vec<u8>>>,
    /// Being looked at.
    busy: Cell<bool>,
}

fn start(_: &StartInfo) {
    let address = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT.get() as u16);
    let common = Common::new(AF_INET6, STREAM, TCP);
    let claimed = engine::ports(|ports| {
        let (id, _) = ports.claim(address, &common, false)?;
        ports.listen(id)
    });
    if claimed.is_err() {
        return;
    }
    let queue = Rc::new(Queue::new());
    let listener = listener::listen(address, false, MOST, queue.clone(), engine::sizes(&common));
    let service = Rc::new(Service { listener });
    let observer: Weak<dyn Observer> = Rc::downgrade(&service) as _;
    queue.observe(observer);
    *SERVICE.borrow() = Some(service);
}

impl Observer for Service {
    fn notify(&self) {
        while let Some(connection) = self.listener.accept() {
            let session = Rc::new(Session {
                connection,
                request: RefCell::new(Vec::new()),
                answer: RefCell::new(None),
                busy: Cell::new(false),
            });
            let observer: Weak<dyn Observer> = Rc::downgrade(&session) as _;
            session.connection.queue.observe(observer);
            let oldest = {
                let mut sessions = SESSIONS.borrow();
                let oldest = if sessions.len() >= MOST { Some(sessions.remove(0)) } else { None };
                // Without memory nobody keeps the session, and it ends below.
                let _ = list::push(&mut sessions, session.clone());
                oldest
            };
            if let Some(oldest) = oldest {
                oldest.connection.release(true);
            }
            // The request may be there already.
            session.notify();
        }
    }
}

impl Observer for Session {
    fn notify(&self) {
        if self.busy.replace(true) {
            return;
        }
        if self.go_on() {
            SESSIONS.borrow().retain(|other| !core::ptr::eq(&**other, self));
            self.connection.release(false);
        }
        self.busy.set(false);
    }
}

impl Session {
    /// Reads and answers as far as it goes. True: that was all.
    fn go_on(&self) -> bool {
        let mut request = self.request.borrow_mut();
        let (room, over) = self.connection.with(|machine| {
            let room = LONGEST.saturating_sub(request.len());
            // Whatever is beyond is thrown away.
            let _ = machine
                .recv(|bytes| (bytes.len(), request.extend_from_slice(&bytes[..bytes.len().min(room)])));
            (room, !machine.may_recv())
        });
        let mut answer = self.answer.borrow_mut();
        let complete = request.windows(4).any(|four| four == b"\r\n\r\n");
        if answer.is_none() && complete {
            *answer = Some(page(&request));
        }
        let Some(rest) = answer.as_mut() else { return over || room == 0 };
        let sent = self.connection.with(|machine| machine.send_slice(rest));
        self.connection.starved.set(true);
        let Ok(sent) = sent else { return true };
        rest.drain(..sent);
        let done = rest.is_empty();
        drop((answer, request));
        self.connection.push();
        done
    }
}

/// What a request is answered with.
fn page(request: &[u8]) -> Vec<u8> {
    let known = [&b"GET /metrics "[..], b"GET / "].iter().any(|start| request.starts_with(start));
    let (status, body) =
        if known { ("200 OK", figures()) } else { ("404 Not Found", b"see /metrics\n".to_vec()) };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    answer
}

fn figures() -> Vec<u8> {
    let (free, total) = frames::counts();
    let milliseconds = tsc::now() / 1_000_000;
    let mut text = format!(
        "# TYPE bespoke_uptime_seconds counter\nbespoke_uptime_seconds {}.{:03}\n\
         # TYPE bespoke_memory_free_bytes gauge\nbespoke_memory_free_bytes {}\n\
         # TYPE bespoke_memory_total_bytes gauge\nbespoke_memory_total_bytes {}\n\
         # TYPE bespoke_threads gauge\nbespoke_threads {}\n",
        milliseconds / 1000,
        milliseconds % 1000,
        free as u64 * PAGE,
        total as u64 * PAGE,
        thread::count(),
    )
    .into_bytes();
    for contributor in contributors() {
        (contributor.item)(&mut text);
    }
    text
}
