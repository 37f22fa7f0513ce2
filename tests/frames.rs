//! Frames as they are on the wire, with a peer that is no socket of this machine's: IPv6, packets in parts, and what nobody should send.

use bespoke_tests::clients::pattern;
use bespoke_tests::segments::{checksum, control_6, frame_6};
use bespoke_tests::wire::{
    self, GUEST, GUEST_LINK_LOCAL, GUEST_MAC, PEER, PEER_LINK_LOCAL, PEER_MAC, Peer, Wire,
};
use bespoke_tests::{Scratch, Server, program};
use smoltcp::wire::IpCidr;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

const QUIET: &str = "\"debug.log\" = false\n";

fn echo_machine(set: &str, args: &[&str]) -> (Server, Wire) {
    let scratch = Scratch::for_program(&program("echo.c", "musl"), "everything", &format!("{QUIET}{set}"));
    wire::boot(&scratch, "ready", args)
}

/// A router's announcement of a network.
fn announcement(prefix: Ipv6Addr) -> Vec<u8> {
    let everybody = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0]);
    message.extend(prefix.octets());
    let message = control_6(PEER_LINK_LOCAL, everybody, message);
    frame_6([0x33, 0x33, 0, 0, 0, 1], PEER_LINK_LOCAL, everybody, 58, &message)
}

/// Whoever connects gets its bytes back.
fn echoes(peer: &mut Peer, to: IpAddr, bytes: &[u8]) {
    let back = peer.over_tcp(SocketAddr::new(to, 7), bytes, |got| got.len() == bytes.len());
    assert!(back == bytes, "the bytes from {to} differ");
}

#[test]
fn ipv6_from_its_link_local_address_to_one_that_a_router_gave() {
    for machine in ["microvm", "q35"] {
        let (_server, mut wire) = echo_machine("", &["--machine", machine]);
        let link_local = IpAddr::V6(GUEST_LINK_LOCAL);
        let mut peer = Peer::new(&mut wire, &[]);
        peer.ping(link_local, 1000);
        echoes(&mut peer, link_local, &pattern(300_000));
        assert_eq!(peer.over_udp(SocketAddr::new(link_local, 7), b"datagram"), b"datagram");

        let prefix = Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 0, 0);
        wire.send(&announcement(prefix));
        let given = Ipv6Addr::from_bits(prefix.to_bits() | GUEST_LINK_LOCAL.to_bits() & u128::from(u64::MAX));
        let own = IpCidr::new(Ipv6Addr::from_bits(prefix.to_bits() | 0xabc).into(), 64);
        let mut peer = Peer::new(&mut wire, &[own]);
        peer.ping(given.into(), 16);
        echoes(&mut peer, given.into(), &pattern(20_000));
        // The other version goes on beside it.
        peer.ping(GUEST.into(), 16);
        echoes(&mut peer, GUEST.into(), &pattern(20_000));
    }
}

#[test]
fn a_static_address_and_its_network() {
    let set = "\"net.ipv6.address\" = \"fd00::15\"\n\"net.slaac\" = false\n\"net.dhcp\" = false\n";
    let (_server, mut wire) = echo_machine(set, &[]);
    let own = IpCidr::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into(), 64);
    let mut peer = Peer::new(&mut wire, &[own]);
    echoes(&mut peer, Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x15).into(), b"a fixed address");
}

#[test]
fn packets_in_parts_both_ways() {
    let (_server, mut wire) = echo_machine("", &[]);
    // The peer cuts what it sends, and puts together what comes, as the machine does.
    let bytes = pattern(1480 * 2 + 100);
    let mut peer = Peer::new(&mut wire, &[]);
    peer.ping(GUEST.into(), 8);
    assert!(peer.over_udp(SocketAddr::new(GUEST.into(), 7), &bytes) == bytes, "the bytes differ");

    // IPv6, by hand: in the wrong order, and one part twice.
    Peer::new(&mut wire, &[]).ping(GUEST_LINK_LOCAL.into(), 8);
    let body = pattern(1200 * 3);
    let length = (body.len() + 8) as u16;
    let mut datagram = [&[0x40, 0, 0, 7], &length.to_be_bytes()[..], &[0, 0], &body].concat();
    let pseudo = [0, 0, length.to_be_bytes()[0], length.to_be_bytes()[1], 0, 0, 0, 17];
    let sum = checksum(&[&PEER_LINK_LOCAL.octets(), &GUEST_LINK_LOCAL.octets(), &pseudo, &datagram]);
    datagram[6..8].copy_from_slice(&sum);
    let parts: Vec<(usize, &[u8])> =
        datagram.chunks(1200).enumerate().map(|(i, part)| (i * 1200, part)).collect();
    let send = |wire: &mut Wire, id: u8, index: usize, shift: usize| {
        let (offset, part) = parts[index];
        let field = (offset - shift) as u16 | u16::from(offset + part.len() < datagram.len());
        let payload = [&[17, 0], &field.to_be_bytes()[..], &[0, 0, 0, id], part].concat();
        wire.send(&frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, 44, &payload));
    };
    wire.clear();
    for index in [3, 1, 1, 0, 2] {
        send(&mut wire, 1, index, 0);
    }
    let mut got = vec![0; datagram.len()];
    let mut missing = datagram.len();
    wire.find("the answer in parts", |frame| {
        if frame.get(20) != Some(&44) || frame.get(22..38) != Some(&GUEST_LINK_LOCAL.octets()) {
            return None;
        }
        let offset = usize::from(u16::from_be_bytes([frame[56], frame[57]]) & 0xfff8);
        let length = usize::from(u16::from_be_bytes([frame[18], frame[19]])) - 8;
        got[offset..offset + length].copy_from_slice(&frame[62..62 + length]);
        missing -= length;
        (missing == 0).then_some(())
    });
    assert_eq!((&got[..4], got[8..] == body[..]), (&[0, 7, 0x40, 0][..], true));

    // Parts that overlap spoil the packet: what comes next is answered, that is not.
    for (index, shift) in [(0, 0), (1, 8), (1, 0), (2, 0), (3, 0)] {
        send(&mut wire, 2, index, shift);
    }
    send(&mut wire, 3, 0, 0);
    let mut peer = Peer::new(&mut wire, &[]);
    assert_eq!(peer.over_udp(SocketAddr::new(GUEST_LINK_LOCAL.into(), 7), b"next"), b"next");
}

/// Answers a question about a name: `known.test` has one address of each version, nothing else is known.
fn name_server(question: &[u8]) -> Option<Vec<u8>> {
    let name = b"\x05known\x04test\x00";
    let end = 12 + question.get(12..)?.iter().position(|&byte| byte == 0)? + 5;
    let asked = question.get(12..end)?;
    let kind = asked[asked.len() - 3];
    let known = asked.starts_with(name);
    let address: &[u8] = match kind {
        1 => &[192, 0, 2, 7],
        28 => &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
        _ => &[],
    };
    let has_answer = known && !address.is_empty();
    // A response; the name does not exist unless it is known.
    let flags = [0x81, if known { 0x80 } else { 0x83 }];
    let mut answer = [&question[..2], &flags, &[0, 1, 0, u8::from(has_answer), 0, 0, 0, 0], asked].concat();
    if has_answer {
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, address.len() as u8]);
        answer.extend(address);
    }
    Some(answer)
}

#[test]
fn names_are_found_by_both_c_libraries() {
    let set = format!(
        "{QUIET}\"net.dhcp\" = false\n\"net.names.servers\" = \"10.0.2.2\"\n\"net.names.hosts\" = \"192.0.2.9 friend; 192.0.2.10 other\"\n"
    );
    let look_up = |program: &Path, args: &[&str]| {
        let scratch = Scratch::for_program(program, "everything", &set);
        let run = wire::around(&scratch, args, |wire| Peer::new(wire, &[]).serve_udp(53, name_server));
        (run.status, run.out)
    };
    let (status, out) =
        look_up(&program("names.c", "musl"), &["known.test", "friend", "127.0.0.1", "unknown.test"]);
    let mut lines: Vec<&str> = out.lines().collect();
    lines[..2].sort_unstable();
    let expected =
        ["known.test 192.0.2.7", "known.test 2001:db8::7", "friend 192.0.2.9", "127.0.0.1 127.0.0.1"];
    assert_eq!((status, &lines[..4]), (0, &expected[..]), "{out}");
    assert!(lines[4].starts_with("unknown.test: Name does not resolve"), "{out}");
    // getent is Debian's, on glibc.
    let (status, out) = look_up(Path::new("/usr/bin/getent"), &["ahostsv4", "known.test"]);
    assert!(status == 0 && out.starts_with("192.0.2.7 "), "{status}: {out}");
}

#[test]
fn what_the_network_tells_of_names_and_what_programs_see_of_interfaces() {
    let scratch = Scratch::for_program(&program("names.c", "musl"), "everything", QUIET);
    let run = scratch.boot(&["-f", "/etc/resolv.conf"]);
    assert_eq!((run.status, run.out.as_str()), (0, "nameserver 10.0.2.3\n"), "{}", run.err);
    let run = scratch.boot(&["-i"]);
    for line in [
        "lo 127.0.0.1\n",
        "lo ::1\n",
        "eth0 10.0.2.15\n",
        "eth0 fe80::5054:ff:fe12:3456\n",
        "lo counted both ways\n",
        "1 2\n",
    ] {
        assert!(run.status == 0 && run.out.contains(line), "{line}: {}", run.out);
    }
    let files = [
        (
            "/proc/net/route",
            ["eth0\t00000000\t0202000A\t0003\t", "eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t"],
        ),
        (
            "/proc/net/if_inet6",
            [
                "00000000000000000000000000000001 01 80 10 80       lo\n",
                "fe80000000000000505400fffe123456 02 40 20 80     eth0\n",
            ],
        ),
    ];
    for (file, lines) in files {
        let run = scratch.boot(&["-f", file]);
        let has_all = lines.iter().all(|line| run.out.contains(line));
        assert!(run.status == 0 && has_all, "{file}: {}", run.out);
    }
}

/// Frames of each kind, as they ought to be.
fn proper_frames() -> Vec<Vec<u8>> {
    let ip_4 = |protocol: u8, payload: &[u8]| {
        let mut header = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
        header.extend([10, 0, 2, 3, 10, 0, 2, 15]);
        header[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum);
        [&GUEST_MAC[..], &PEER_MAC, &[8, 0], &header, payload].concat()
    };
    let with_sum = |protocol: u8, mut payload: Vec<u8>, at: usize| {
        let length = payload.len() as u16;
        let pseudo =
            [10, 0, 2, 3, 10, 0, 2, 15, 0, protocol, length.to_be_bytes()[0], length.to_be_bytes()[1]];
        let sum = checksum(&[&pseudo, &payload]);
        payload[at..at + 2].copy_from_slice(&sum);
        ip_4(protocol, &payload)
    };
    let tcp = |flags: u8, body: &[u8]| {
        let mut segment = vec![0x75, 0x30, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0x60, flags, 0xff, 0xff, 0, 0, 0, 0];
        segment.extend([2, 4, 5, 0xb4]);
        segment.extend(body);
        with_sum(6, segment, 16)
    };
    let udp = |port: u8, body: &[u8]| {
        let mut datagram = vec![0x75, 0x30, 0, port, 0, 8 + body.len() as u8, 0, 0];
        datagram.extend(body);
        with_sum(17, datagram, 6)
    };
    let icmp = |kind: u8, code: u8, body: &[u8]| {
        let mut message = [&[kind, code, 0, 0, 0, 0, 0, 0], body].concat();
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum);
        ip_4(1, &message)
    };
    let mut arp =
        [&[0xff; 6][..], &PEER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &PEER_MAC, &[10, 0, 2, 3]].concat();
    arp.extend([0, 0, 0, 0, 0, 0, 10, 0, 2, 15]);
    let quoted = udp(7, b"quoted")[14..42].to_vec();
    let control = |message: Vec<u8>| {
        let message = control_6(PEER_LINK_LOCAL, GUEST_LINK_LOCAL, message);
        frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, 58, &message)
    };
    let neighbour = |kind: u8| {
        let target = if kind == 135 { GUEST_LINK_LOCAL } else { PEER_LINK_LOCAL };
        let head = [kind, 0, 0, 0, 0x60, 0, 0, 0];
        control([&head[..], &target.octets(), &[if kind == 135 { 1 } else { 2 }, 1], &PEER_MAC].concat())
    };
    let mut part = ip_4(17, &pattern(64));
    part[20] = 0x20; // more fragments
    let mut last = part.clone();
    last[20..22].copy_from_slice(&[0, 8]);
    let part_6 = [&[17, 0, 0, 1, 0, 0, 0, 9][..], &pattern(64)].concat();
    let options = [&[58, 0, 5, 2, 0, 0, 1, 0][..], &[128, 0, 0, 0, 0, 0, 0, 0]].concat();
    let reply = [&[2u8, 1, 6, 0][..], &[0; 232], &[99, 130, 83, 99, 53, 1, 5, 255]].concat();
    vec![
        arp,
        icmp(8, 0, b"ping"),
        icmp(3, 3, &quoted),
        icmp(3, 4, &quoted),
        udp(7, b"echo"),
        udp(9, b"nobody"),
        udp(68, &reply),
        tcp(2, b""),
        tcp(16, b"stray"),
        tcp(4, b""),
        tcp(18, b""),
        tcp(1, b"end"),
        part,
        last,
        ip_4(132, b"unknown"),
        control([&[128, 0, 0, 0, 0, 1, 0, 1][..], b"ping"].concat()),
        control([&[2, 0, 0, 0, 0, 0, 5, 0][..], &pattern(60)].concat()),
        neighbour(135),
        neighbour(136),
        announcement(Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 0)),
        frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, 44, &part_6),
        frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, 0, &options),
        frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, 43, &[59, 0, 0, 1, 0, 0, 0, 0]),
    ]
}

/// Sets the checksums that a changed frame ought to have, so that what is behind them is looked at too.
fn mend(frame: &mut [u8]) {
    let Some(packet) = frame.get_mut(14..) else { return };
    let (Some(&first), length) = (packet.first(), packet.len()) else { return };
    let header = if first >> 4 == 4 { usize::from(first & 0xf) * 4 } else { 40 };
    if length < header || header < 20 {
        return;
    }
    let (protocol, addresses) = match first >> 4 {
        4 => {
            packet[10..12].fill(0);
            let sum = checksum(&[&packet[..header]]);
            packet[10..12].copy_from_slice(&sum);
            (packet[9], packet[12..20].to_vec())
        }
        6 => (packet[6], packet[8..40].to_vec()),
        _ => return,
    };
    let segment = &mut packet[header..];
    let at = match protocol {
        1 | 58 => 2,
        6 => 16,
        17 => 6,
        _ => return,
    };
    if segment.len() < at + 2 {
        return;
    }
    segment[at..at + 2].fill(0);
    let length = (segment.len() as u32).to_be_bytes();
    let sum = match protocol {
        1 => checksum(&[segment]),
        _ => checksum(&[&addresses, &length, &[0, protocol], segment]),
    };
    segment[at..at + 2].copy_from_slice(&sum);
}

/// A frame that nobody should send.
fn spoilt(random: &mut fastrand::Rng, proper: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = proper[random.usize(..proper.len())].clone();
    match random.u8(..16) {
        // QEMU stops listening to a wire on which an empty frame comes: no card would see one.
        0 => frame = (0..random.usize(14..1514)).map(|_| random.u8(..)).collect(),
        1 => frame.truncate(random.usize(14..frame.len())),
        2 => frame.extend((0..random.usize(..200)).map(|_| random.u8(..))),
        3 => {}
        _ => {
            for _ in 0..random.usize(1..6) {
                // The addresses of the frame itself are left alone, or it would not be looked at.
                let at = random.usize(12..frame.len());
                frame[at] = if random.bool() { random.u8(..) } else { frame[at] ^ 1 << random.u8(..8) };
            }
        }
    }
    if random.u8(..4) != 0 {
        mend(&mut frame);
    }
    frame
}

/// A peer that says who it is first: what was claimed in its name is to be forgotten.
fn newcomer(wire: &mut Wire) -> Peer<'_> {
    let mut arp =
        [&[0xff; 6][..], &PEER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &PEER_MAC, &PEER.octets()].concat();
    arp.extend([0; 6]);
    arp.extend(GUEST.octets());
    wire.send(&arp);
    let question = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &GUEST_LINK_LOCAL.octets(), &[1, 1], &PEER_MAC].concat();
    let question = control_6(PEER_LINK_LOCAL, GUEST_LINK_LOCAL, question);
    wire.send(&frame_6(GUEST_MAC, PEER_LINK_LOCAL, GUEST_LINK_LOCAL, 58, &question));
    Peer::new(wire, &[])
}

/// KiB that are free in the machine.
fn free_memory(wire: &mut Wire) -> u64 {
    let answer = newcomer(wire).over_tcp(SocketAddr::new(GUEST.into(), 7), b"memory", |got| !got.is_empty());
    String::from_utf8_lossy(&answer).parse().expect("a number")
}

/// Sends so many frames that nobody should send; afterwards everybody is served as before, and no memory is lost.
fn survives(count: usize, seed: u64) {
    // What half-open connections hold is to be little beside what a leak would.
    let small = "\"net.tcp.receive-buffer\" = \"4KiB\"\n\"net.tcp.send-buffer\" = \"4KiB\"\n";
    let (_server, mut wire) = echo_machine(small, &["-m", "128M"]);
    // For a second a new address is given up to whoever claims it (RFC 4862): that is as it should be.
    std::thread::sleep(Duration::from_secs(2));
    let mut random = fastrand::Rng::with_seed(seed);
    let proper = proper_frames();
    let mut before = None;
    for round in 0..4 {
        for index in 0..count / 4 {
            wire.send(&spoilt(&mut random, &proper));
            if index % 64 == 0 {
                wire.clear();
            }
        }
        let mut peer = newcomer(&mut wire);
        peer.ping(GUEST.into(), 32);
        echoes(&mut peer, GUEST.into(), &pattern(50_000));
        peer.ping(GUEST_LINK_LOCAL.into(), 32);
        echoes(&mut peer, GUEST_LINK_LOCAL.into(), &pattern(50_000));
        let free = free_memory(&mut wire);
        println!("round {round}: {free} KiB free");
        // The first round fills what is kept: tables of neighbours, half-open connections, fragments.
        let first = *before.get_or_insert(free);
        assert!(free + 12 * 1024 >= first, "seed {seed}: {first} KiB free at first, {free} now");
    }
}

#[test]
fn frames_that_nobody_should_send_change_nothing() {
    survives(8_000, 1);
}

/// A minute on a quiet machine: `cargo test --release -p bespoke-tests --test frames -- --ignored`
#[test]
#[ignore = "long"]
fn a_million_frames_that_nobody_should_send() {
    for seed in 2..12 {
        survives(100_000, seed);
    }
}

#[test]
fn a_flood_of_requests_leaves_room_for_others() {
    let (_server, mut wire) = echo_machine("\"net.dhcp\" = false\n", &["-m", "64M"]);
    let free = free_memory(&mut wire);
    let syn = proper_frames().into_iter().find(|frame| frame[23] == 6 && frame[47] == 2).expect("a request");
    for index in 0..5_000u32 {
        let mut frame = syn.clone();
        frame[29] = 3 + (index >> 13) as u8;
        frame[34..36].copy_from_slice(&(1024 + (index & 0x1fff) as u16).to_be_bytes());
        mend(&mut frame);
        wire.send(&frame);
        if index % 64 == 0 {
            wire.clear();
        }
    }
    let now = free_memory(&mut wire);
    println!("{free} KiB free before, {now} while requests wait");
    assert!(now * 2 > free, "{free} KiB free before, {now} while requests wait");
    echoes(&mut Peer::new(&mut wire, &[]), GUEST.into(), &pattern(100_000));
}

#[test]
fn a_flood_of_frames_leaves_time_to_a_program_that_asks_for_none() {
    let scratch = Scratch::for_program(&program("spin.c", "musl"), "everything", QUIET);
    // For a port that nobody is at, and for nobody: what each of them costs is different.
    let frames = proper_frames();
    let run = wire::around(&scratch, &["-m", "64M"], |wire| {
        for frame in frames.iter().cycle().take(1000) {
            wire.send(frame);
        }
        wire.clear();
    });
    assert_eq!(run.status, 0, "{}", run.err);
    assert_eq!(run.out, "counts\ncounted\n");
}

#[test]
fn what_comes_while_the_kernel_is_busy_is_answered_whole() {
    const COUNT: u32 = 120;
    let (_server, mut wire) = echo_machine("\"net.dhcp\" = false\n", &["-m", "64M"]);
    let proper = proper_frames();
    let is_echo = |frame: &&Vec<u8>| frame.ends_with(b"echo") && frame[23] == 17;
    let echo = proper.iter().find(is_echo).expect("a datagram");
    let with = |body: &[u8]| {
        let mut frame = echo.clone();
        let at = frame.len() - body.len();
        frame[at..].copy_from_slice(body);
        mend(&mut frame);
        frame
    };
    // The peer says who it is, so that nothing has to be asked for before the answers.
    wire.send(&proper[0]);
    for round in 0..3 {
        wire.send(&with(b"busy"));
        let mut missing: BTreeSet<u32> = (0..COUNT).map(|index| round << 16 | index).collect();
        for index in &missing {
            wire.send(&with(&index.to_be_bytes()));
        }
        wire.find("an answer to each datagram", |frame| {
            if frame.len() >= 46 && frame[12..14] == [8, 0] && frame[23] == 17 && frame[34..36] == [0, 7] {
                missing.remove(&u32::from_be_bytes([frame[42], frame[43], frame[44], frame[45]]));
            }
            missing.is_empty().then_some(())
        });
    }
}

/// A datagram to a group, from the peer.
fn to_group(group: IpAddr, port: u16, body: &[u8]) -> Vec<u8> {
    let length = 8 + body.len() as u16;
    let mut datagram =
        [&[0x75, 0x30][..], &port.to_be_bytes(), &length.to_be_bytes(), &[0, 0], body].concat();
    match group {
        IpAddr::V4(group) => {
            let mut header =
                [&[0x45, 0][..], &(20 + length).to_be_bytes(), &[0, 1, 0, 0, 1, 17, 0, 0, 10, 0, 2, 2]]
                    .concat();
            header.extend(group.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum);
            let [_, b, c, d] = group.octets();
            [&[1, 0, 0x5e, b & 0x7f, c, d][..], &PEER_MAC, &[8, 0], &header, &datagram].concat()
        }
        IpAddr::V6(group) => {
            let pseudo = [0, 0, length.to_be_bytes()[0], length.to_be_bytes()[1], 0, 0, 0, 17];
            let sum = checksum(&[&PEER_LINK_LOCAL.octets(), &group.octets(), &pseudo, &datagram]);
            datagram[6..8].copy_from_slice(&sum);
            let [.., a, b, c, d] = group.octets();
            frame_6([0x33, 0x33, a, b, c, d], PEER_LINK_LOCAL, group, 17, &datagram)
        }
    }
}

#[test]
fn groups_are_joined_told_of_and_heard() {
    let scratch = Scratch::for_program(&program("groups.c", "musl"), "everything", QUIET);
    let (server, mut wire) = wire::boot(&scratch, "ready", &[]);
    let (group, group_6) =
        (IpAddr::from([239, 1, 2, 3]), IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x42)));
    let mut told = [false; 2];
    // Whoever asks later is told too.
    let mut query = vec![0x11, 100, 0, 0, 0, 0, 0, 0];
    let sum = checksum(&[&query]);
    query[2..4].copy_from_slice(&sum);
    let mut header = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 1, 2, 0, 0, 10, 0, 2, 2, 224, 0, 0, 1];
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    wire.send(&[&[1, 0, 0x5e, 0, 0, 1][..], &PEER_MAC, &[8, 0], &header, &query].concat());
    let mut reports = 0;
    wire.find("reports of membership", |frame| {
        let is_report =
            frame.get(23) == Some(&2) && frame.get(38) == Some(&0x16) && frame[42..46] == [239, 1, 2, 3];
        reports += u32::from(is_report);
        told[0] |= is_report;
        told[1] |= frame.get(20) == Some(&0) && frame.get(62) == Some(&131) && frame[70..72] == [0xff, 0x15];
        (told == [true; 2] && reports == 2).then_some(())
    });
    wire.send(&to_group(IpAddr::from([239, 9, 9, 9]), 5000, b"not for it"));
    wire.send(&to_group(group, 5000, b"four"));
    wire.send(&to_group(group_6, 5001, b"six"));
    assert_eq!(server.status(), Some(0));
}
