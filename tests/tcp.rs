//! TCP with a peer that does what peers may do: windows that close, segments that get lost, words that come late.

use bespoke_tests::segments::{ACK, FIN, Stream};
use bespoke_tests::wire::{self, Wire};
use bespoke_tests::{Scratch, Server, program};

fn echo_machine(set: &str) -> (Server, Wire) {
    let set = format!("\"debug.log\" = false\n\"net.dhcp\" = false\n{set}");
    let scratch = Scratch::for_program(&program("echo.c", "musl"), "everything", &set);
    // Memory for buffers of any size.
    wire::boot(&scratch, "ready", &["-m", "512M"])
}

fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// A window that is told in units of more than a byte.
const LARGE: &str = "\"net.tcp.receive-buffer\" = \"256KiB\"\n";

/// Has the machine echo, and takes nothing of it, until no more than a last part fits its window. What was sent, and that window.
fn fill(stream: &mut Stream) -> (Vec<u8>, u32) {
    let start = stream.next;
    let mut window = 1400;
    // The window is as large as it is told: it ends where it was first said to end.
    loop {
        let sent = stream.next.wrapping_sub(start) as usize;
        let step = (window as usize).min(1400);
        stream.say(&pattern(sent, step));
        let next = stream.next;
        window = stream.come("an acknowledgement", |segment| segment.acknowledged == next).window;
        let sent = stream.next.wrapping_sub(start) as usize;
        // The program has its share, and the way back is full.
        if sent > 200_000 && window <= 1400 {
            return (pattern(0, sent), window);
        }
    }
}

#[test]
fn an_acknowledgement_counts_although_the_window_is_closed() {
    let (_server, mut wire) = echo_machine(LARGE);
    let mut stream = Stream::open(&mut wire, 30_001);
    let (sent, mut window) = fill(&mut stream);
    let mut at = sent.len();
    // All but a byte; what is free then is less than can be told, so the byte that was promised room has none.
    while window > 0 {
        stream.say(&pattern(at, window as usize - 1));
        at += window as usize - 1;
        let next = stream.next;
        window = stream.come("an acknowledgement", |segment| segment.acknowledged == next).window;
    }
    let first = stream.next;
    stream.say(&pattern(at, 1));
    stream.come("an answer", |segment| segment.acknowledged == first && segment.window == 0);
    // Nothing of the echo was acknowledged until now. As it is, the program goes on.
    loop {
        stream.wanted = stream.seen;
        stream.acknowledge();
        if stream.come("room", |segment| segment.window > 0 || !segment.body.is_empty()).window > 0 {
            break;
        }
    }
}

#[test]
fn an_end_behind_what_does_not_fit_waits_for_it() {
    let (_server, mut wire) = echo_machine(LARGE);
    let mut stream = Stream::open(&mut wire, 30_002);
    let (sent, window) = fill(&mut stream);
    let (before, last) = (window - 21, 21);
    let start = stream.next.wrapping_sub(sent.len() as u32);
    stream.say(&pattern(sent.len(), before as usize));
    let next = stream.next;
    stream.come("an acknowledgement", |segment| segment.acknowledged == next);
    let rest = pattern(sent.len() + before as usize, last);
    stream.send(ACK | FIN, next, &rest);
    stream.next = next.wrapping_add(last as u32 + 1);
    let total = stream.next.wrapping_sub(start).wrapping_sub(1) as usize;
    let got = stream.drain(next, &rest, Vec::new(), |got| got.len() >= total);
    assert!(got == pattern(0, total), "the bytes differ");
}

#[test]
fn what_was_lost_before_a_window_closed_is_sent_again() {
    let (_server, mut wire) = echo_machine("");
    let mut stream = Stream::open(&mut wire, 30_003);
    let sent = pattern(0, 1400);
    stream.say(&sent);
    let first = stream.wanted;
    stream.come("the echo", |segment| segment.number == first && segment.body.len() == 1400);
    // Half of it came, the rest did not, and there is no room: then there is.
    stream.wanted = first.wrapping_add(700);
    stream.window = 0;
    stream.acknowledge();
    stream.window = 65535;
    stream.acknowledge();
    let wanted = stream.wanted;
    let again = stream.come("what was lost", |segment| segment.number == wanted && !segment.body.is_empty());
    assert!(again.body == sent[700..700 + again.body.len()], "the bytes differ");
}
