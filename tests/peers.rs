//! TCP with peers that vanish, forget, forge or are slow: segments by hand, and a program that does what its peers say.

use bespoke_tests::segments::{
    ACK, FIN, Packing, RESET, SYN, Segment, Stream, URGENT, checksum, control_6, frame_4, frame_6,
};
use bespoke_tests::wire::{self, GUEST_LINK_LOCAL, GUEST_MAC, PEER_LINK_LOCAL, Wire};
use bespoke_tests::{Scratch, Server, program};

fn machine(set: &str, args: &[&str]) -> (Server, Wire) {
    let set = format!("\"debug.log\" = false\n\"net.dhcp\" = false\n{set}");
    let scratch = Scratch::for_program(&program("puppet.c", "musl"), "everything", &set);
    wire::boot(&scratch, "ready", &[&["-m", "128M", "--"], args].concat())
}

/// The bytes that the program sends, and expects.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| b'a' + (index % 26) as u8).collect()
}

#[test]
fn a_peer_that_vanished_is_found_out_by_probes() {
    let (server, mut wire) = machine("", &[]);
    let mut stream = Stream::open(&mut wire, 30_001);
    stream.tell("keep 1 1 9");
    // The byte before the next: whoever has it says so.
    let wanted = stream.wanted;
    let is_probe = |segment: &Segment| segment.number == wanted.wrapping_sub(1);
    for _ in 0..3 {
        stream.come("a probe", is_probe);
        stream.acknowledge();
    }
    stream.tell("keep 1 1 3");
    stream.tell("alive");
    server.says("30001 alive: 0");
    let mut probes = 0;
    while !stream.come("a probe, or the end", |segment| is_probe(segment) || segment.flags & RESET != 0).flags
        & RESET
        != 0
    {
        probes += 1;
        assert!(probes <= 3, "more probes than asked for");
    }
    assert_eq!(probes, 3);
    server.says("30001 read: Operation timed out");
}

#[test]
fn what_a_vanished_peer_does_not_acknowledge_is_sent_again_and_given_up() {
    let (server, mut wire) = machine("\"net.tcp.give-up\" = \"8s\"\n", &[]);
    let mut limited = Stream::open(&mut wire, 30_002);
    limited.tell("limit 2000");
    limited.tell("send 5");
    let mut stream = Stream::open(&mut wire, 30_003);
    stream.tell("send 5");
    let first = stream.wanted;
    server.says("30002 read: Operation timed out");
    server.says("30003 read: Operation timed out");
    let times = stream.came().iter().filter(|one| one.number == first && one.body == b"abcde").count();
    // At once or nearly so, then after one, two and four seconds.
    assert!((2..=5).contains(&times), "sent {times} times");
}

#[test]
fn idle_connections_are_not_given_up() {
    let (server, mut wire) = machine("\"net.tcp.give-up\" = \"1s\"\n", &[]);
    let mut stream = Stream::open(&mut wire, 30_004);
    stream.tell("limit 500");
    stream.tell("sleep 3000");
    // The machine is the first to speak again.
    stream.tell("send 5");
    let first = stream.wanted;
    let said = stream.come("what it says", |segment| segment.number == first && !segment.body.is_empty());
    assert_eq!(said.body, b"abcde");
    stream.wanted = said.end();
    stream.tell("alive");
    server.says("30004 alive: 0");
}

#[test]
fn only_what_fits_resets_a_connection() {
    let (server, mut wire) = machine("", &[]);
    let mut stream = Stream::open(&mut wire, 30_005);
    stream.tell("alive");
    let next = stream.next;
    let is_challenge =
        |segment: &Segment| (segment.flags, segment.acknowledged, segment.body.len()) == (ACK, next, 0);
    stream.came();
    // Old, far off, and a guess that hits the window: the last is asked about (RFC 5961, section 3.2).
    stream.send(RESET, next.wrapping_sub(5000), &[]);
    stream.send(RESET, next.wrapping_add(50_000_000), &[]);
    stream.send(RESET, next.wrapping_add(100), &[]);
    stream.come("a question", is_challenge);
    stream.tell("well");
    server.says("30005 well: 0");
    stream.send(RESET, stream.next, &[]);
    server.says("30005 read: Connection reset by peer");

    // A peer that has forgotten asks again, with a number that happens to be within the window (section 4.2), or is not.
    for (port, ahead) in [(30_006, 50), (30_007, 80_000_000)] {
        let mut stream = Stream::open(&mut wire, port);
        stream.tell("alive");
        stream.came();
        stream.send(SYN, stream.next.wrapping_add(ahead), &[]);
        let next = stream.next;
        let question = stream.come("a question", |segment| segment.flags & ACK != 0);
        assert_eq!((question.flags, question.acknowledged), (ACK, next));
        stream.send(RESET, question.acknowledged, &[]);
        server.says(&format!("{port} read: Connection reset by peer"));
        Stream::open(&mut wire, port).tell("anew");
        server.says(&format!("{port} anew: 0"));
    }
}

#[test]
fn pieces_come_in_any_order_and_more_than_once() {
    let (server, mut wire) = machine("", &[]);
    let mut stream = Stream::open(&mut wire, 30_008);
    stream.tell("take 4000");
    let (first, bytes) = (stream.next, pattern(4000));
    let mut piece =
        |from: usize, to: usize| stream.send(ACK, first.wrapping_add(from as u32), &bytes[from..to]);
    piece(1000, 2000);
    piece(1500, 2500);
    piece(1000, 2000);
    piece(3000, 4000);
    // Outside of the window, on either side, and one that acknowledges what was never sent.
    stream.send(ACK, first.wrapping_add(9_000_000), b"zzzzz");
    stream.send(ACK, first.wrapping_sub(9_000_000), b"zzzzz");
    stream.wanted = stream.wanted.wrapping_add(70_000);
    stream.send(ACK, first, &[b'z'; 1000]);
    stream.wanted = stream.wanted.wrapping_sub(70_000);
    // Begins with what has been read, and ends where something waits.
    stream.send(ACK, first.wrapping_sub(5), &[b"4000\n", &bytes[..1200]].concat());
    stream.send(ACK, first.wrapping_add(2400), &bytes[2400..3100]);
    stream.next = first.wrapping_add(4000);
    let next = stream.next;
    stream.come("an acknowledgement of all", |segment| segment.acknowledged == next);
    server.says("30008 take: 4000");
}

#[test]
fn a_window_that_stays_closed_is_asked_about() {
    let (server, mut wire) = machine("", &[]);
    let mut stream = Stream::open(&mut wire, 30_009);
    stream.window = 1000;
    stream.tell("send 50000");
    let first = stream.wanted;
    let mut got =
        stream.come("a window's worth", |segment| segment.number == first && !segment.body.is_empty()).body;
    while got.len() < 1000 {
        let at = first.wrapping_add(got.len() as u32);
        got.extend(stream.come("the rest of it", |segment| segment.number == at).body);
    }
    stream.wanted = first.wrapping_add(1000);
    stream.window = 0;
    stream.acknowledge();
    let wanted = stream.wanted;
    for _ in 0..2 {
        let probe = stream.come("a question", |segment| segment.number == wanted);
        assert!(probe.body.len() <= 1, "more than a byte for a closed window");
        stream.acknowledge();
    }
    stream.window = 65535;
    stream.acknowledge();
    let next = stream.next;
    let got = stream.drain(next, &[], got, |got| got.len() >= 50_000);
    assert!(got == pattern(50_000), "the bytes differ");
    // A program that does not want to wait for room for ever does not, although the peer answers (`tcp(7)`).
    stream.window = 0;
    stream.tell("limit 3000");
    stream.tell("send 5");
    let wanted = stream.wanted;
    stream.come("a question", |segment| segment.number == wanted && segment.body.len() == 1);
    stream.acknowledge();
    while !server.said().contains("30009 read: Operation timed out") {
        let segment = stream.come("a question, or the end", |_| true);
        if segment.flags & RESET != 0 {
            break;
        }
        stream.acknowledge();
    }
    server.says("30009 read: Operation timed out");
}

/// A router says of a packet that it is too large.
fn too_big(packet: &[u8], mtu: u16) -> Vec<u8> {
    let mut message = [&[3, 4, 0, 0, 0, 0][..], &mtu.to_be_bytes(), &packet[..28]].concat();
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum);
    frame_4(1, &message)
}

#[test]
fn segments_fit_a_narrow_way() {
    let (_server, mut wire) = machine("", &[]);
    let mut stream = Stream::open(&mut wire, 30_010);
    let full = |segment: &Segment| segment.packet.len() == 1500;
    stream.tell("send 3000");
    let first = stream.wanted;
    let large = stream.come("a full segment", full);
    // Somebody who guesses does not know what is on its way (RFC 5927, section 4.1).
    let mut forged = large.packet.clone();
    forged[24..28].copy_from_slice(&first.wrapping_sub(1_000_000).to_be_bytes());
    stream.send_frame(&too_big(&forged, 700));
    let next = stream.next;
    stream.drain(next, &[], Vec::new(), |got| got.len() >= 3000);
    stream.tell("send 20000");
    let large = stream.come("a full segment still", full);
    stream.send_frame(&too_big(&large.packet, 700));
    let wanted = stream.wanted;
    let again =
        stream.come("less at once", |segment| segment.number == wanted && segment.packet.len() <= 700);
    stream.wanted = again.end();
    stream.acknowledge();
    let got = stream.drain(next, &[], again.body, |got| got.len() >= 20_000);
    assert!(got == pattern(20_000), "the bytes differ");
    assert!(stream.came().iter().all(|segment| segment.packet.len() <= 700));
}

/// A router says the same of a packet of IPv6.
fn too_big_6(packet: &[u8], mtu: u32) -> Vec<u8> {
    let message = [&[2, 0, 0, 0][..], &mtu.to_be_bytes(), &packet[..1200]].concat();
    let message = control_6(PEER_LINK_LOCAL, GUEST_LINK_LOCAL, message);
    frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, 58, &message)
}

#[test]
fn segments_of_ipv6_fit_a_narrow_way() {
    let (_server, mut wire) = machine("", &[]);
    let mut stream = Stream::new(&mut wire, 30_011, 7);
    stream.packing = Packing::Six;
    stream.request();
    stream.answered();
    stream.acknowledge();
    let full = |segment: &Segment| segment.packet.len() == 1500;
    stream.tell("send 3000");
    let first = stream.wanted;
    let large = stream.come("a full segment", full);
    let mut forged = large.packet.clone();
    forged[44..48].copy_from_slice(&first.wrapping_sub(1_000_000).to_be_bytes());
    stream.send_frame(&too_big_6(&forged, 1300));
    let next = stream.next;
    stream.drain(next, &[], Vec::new(), |got| got.len() >= 3000);
    stream.tell("send 20000");
    let large = stream.come("a full segment still", full);
    let wanted = stream.wanted;
    stream.send_frame(&too_big_6(&large.packet, 1400));
    let less =
        stream.come("less at once", |segment| segment.number == wanted && segment.packet.len() <= 1400);
    assert_eq!(less.packet.len(), 1400);
    // No link of IPv6 is as narrow as that (RFC 8200, section 5): whoever says so gets no more than the least.
    stream.send_frame(&too_big_6(&less.packet, 600));
    let least =
        stream.come("less once more", |segment| segment.number == wanted && segment.packet.len() <= 1280);
    assert_eq!(least.packet.len(), 1280);
    stream.wanted = least.end();
    stream.acknowledge();
    let mut got = stream.drain(next, &[], least.body, |got| got.len() >= 20_000);
    got.truncate(20_000);
    assert!(got == pattern(20_000), "the bytes differ");
    assert!(stream.came().iter().all(|segment| segment.packet.len() <= 1280));
}

#[test]
fn urgent_bytes_are_told_of() {
    let (server, mut wire) = machine("", &[]);
    let mut stream = Stream::open(&mut wire, 30_012);
    stream.tell("urgent");
    let wanted = stream.wanted;
    for time in ["what is urgent", "what is urgent once more"] {
        let said = stream.come(time, |segment| segment.number == wanted && !segment.body.is_empty());
        assert_eq!((said.flags & URGENT, said.urgent, &said.body[..]), (URGENT, 4, &b"abcX"[..]), "{time}");
    }
    server.says("30012 urgent: 4");
    stream.wanted = wanted.wrapping_add(4);
    stream.tell("send 5");
    let plain = stream.come("what is not", |segment| segment.body == b"abcde");
    assert_eq!((plain.flags & URGENT, plain.urgent), (0, 0));
    stream.wanted = plain.end();
    stream.urgent = 9;
    stream.say(b"special\nX");
    server.says("30012 special: 88");
    // Told of where nothing will be for long, and by somebody who guesses.
    stream.urgent = 0xffff;
    stream.say(b"special\n");
    server.says("30012 special: Resource temporarily unavailable");
    for number in [stream.next.wrapping_sub(1_000_000), stream.next.wrapping_add(10_000_000)] {
        stream.send(ACK, number, b"?");
    }
    stream.urgent = 0;
    stream.tell("alive");
    server.says("30012 alive: 0");
}

#[test]
fn both_ends_ask_and_close_at_once() {
    let (server, mut wire) = machine("", &[]);
    let mut stream = Stream::open(&mut wire, 30_011);
    stream.tell("dial 4000 30012");
    let mut other = Stream::new(&mut wire, 30_012, 4000);
    let request = other.come("a request", |segment| segment.flags == SYN);
    other.request();
    other.wanted = request.end();
    let answer = other.come("an answer", |segment| segment.flags & (SYN | ACK) == SYN | ACK);
    assert_eq!((answer.number, answer.acknowledged), (request.number, other.next));
    // As both answer at once.
    other.send(SYN | ACK, other.next.wrapping_sub(1), &[]);
    other.acknowledge();
    let wanted = other.wanted;
    let said = other.come("what it says", |segment| segment.number == wanted && !segment.body.is_empty());
    assert_eq!(said.body, b"abcde");
    server.says("30012 dial: 5");

    let mut stream = Stream::open(&mut wire, 30_013);
    stream.tell("close 100");
    let end = stream.come("its end", |segment| segment.flags & FIN != 0);
    // Sent before its end came.
    stream.send(FIN | ACK, stream.next, &[]);
    stream.next += 1;
    let next = stream.next;
    stream.come("an acknowledgement of ours", |segment| segment.acknowledged == next);
    stream.wanted = end.end();
    stream.acknowledge();
    server.says("30013 close: 0");
    // Ours once more, as if that acknowledgement had been lost.
    stream.came();
    stream.send(FIN | ACK, next.wrapping_sub(1), &[]);
    stream.come("an acknowledgement again", |segment| (segment.acknowledged, segment.flags) == (next, ACK));
}

#[test]
fn closing_lingers_for_as_long_as_it_is_told() {
    let (server, mut wire) = machine("", &[]);
    let mut stream = Stream::open(&mut wire, 30_014);
    stream.tell("send 5");
    stream.tell("close 200");
    // Once more: time goes by, and nothing is acknowledged.
    for _ in 0..2 {
        stream.come("its end", |segment| segment.flags & FIN != 0);
    }
    assert!(!server.said().contains("30014 close"), "it did not wait");
    stream.wanted = stream.seen;
    stream.acknowledge();
    server.says("30014 close: 0");

    let mut stream = Stream::open(&mut wire, 30_015);
    stream.tell("close 1");
    stream.come("its end", |segment| segment.flags & FIN != 0);
    server.says("30015 close: 0");

    let mut stream = Stream::open(&mut wire, 30_016);
    stream.say(b"close 0\n");
    stream.come("no end, but a reset", |segment| segment.flags & RESET != 0);
    server.says("30016 close: 0");
}

#[test]
fn what_a_full_backlog_keeps_has_headers_of_any_length() {
    // One at a time, and one that waits.
    let (server, mut wire) = machine("", &["0"]);
    let mut first = Stream::new(&mut wire, 30_020, 7);
    first.packing = Packing::Six;
    first.request();
    first.answered();
    first.tell("alive");
    server.says("30020 alive: 0");
    let (next, wanted) = (first.next, first.wanted);
    // More are being made than have buffers for it.
    for port in 30_100..30_140 {
        Stream::ask(&mut wire, port).answered();
    }
    let mut noted = Stream::new(&mut wire, 30_021, 7);
    noted.packing = Packing::SixWithOptions;
    noted.request();
    noted.answered();
    let (noted_next, noted_wanted) = (noted.next, noted.wanted);
    Stream::open(&mut wire, 30_022).tell("waits");
    // The backlog is full. What comes now is kept.
    let mut noted = Stream::new(&mut wire, 30_021, 7);
    (noted.packing, noted.next, noted.wanted) = (Packing::SixWithOptions, noted_next, noted_wanted);
    noted.say(b"kept\n");
    let mut first = Stream::new(&mut wire, 30_020, 7);
    (first.packing, first.next, first.wanted) = (Packing::Six, next, wanted);
    first.tell("close 1");
    server.says("30022 waits: 0");
    let mut second = Stream::new(&mut wire, 30_022, 7);
    second.next = 1_000_001 + 6;
    second.send(RESET, second.next, &[]);
    server.says("30021 kept: 0");
}
