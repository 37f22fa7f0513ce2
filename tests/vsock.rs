//! AF_VSOCK: the program with itself, and with a host whose packets are made by hand.

use bespoke_tests::clients::pattern;
use bespoke_tests::vsock_host::{
    CID, CREDIT, CREDIT_REQUEST, DATA, HOST, Host, REQUEST, RESET, RESPONSE, SHUTDOWN, Stream,
};
use bespoke_tests::{Scratch, Server, program};
use std::process::Command;

const QUIET: &str = "\"debug.log\" = false\n";

fn scratch(set: &str) -> Scratch {
    Scratch::for_program(&program("vsock.c", "glibc"), "everything", &format!("{QUIET}{set}"))
}

fn machine(machine: &str, args: &[&str]) -> (Server, Host) {
    let scratch = scratch("");
    let path = scratch.path().join("vsock");
    let host = Host::listen(&path);
    let device = format!("socket:{}", path.display());
    let words = ["--vsock", &device, "--machine", machine, "--"];
    (Server::boot(&scratch, "ready", &[&words[..], args].concat()), host)
}

/// What `vsock.c alone` prints on Linux 6.18.
const ALONE: &str = "\
another protocol: Protocol not supported
raw: Socket type not supported
unbound: 0, family 40, cid -1, length 16
peer: Transport endpoint is not connected
listen: Invalid argument
accept: Invalid argument
read: Transport endpoint is not connected
write: Transport endpoint is not connected
shutdown: Transport endpoint is not connected
bind elsewhere: Cannot assign requested address
short: Invalid argument
flags: Invalid argument
another family: Invalid argument
bind: 0
again: Invalid argument
bound: 0, family 40, cid -1, length 16
taken: Address already in use
any port: 0
listen: 0
listen again: 0
poll: 0
accept: Resource temporarily unavailable
connect: Invalid argument
size 0: 0, 262144
size 1: 0, 128
size 2: 0, 262144
set size: 0
size 0: 0, 1000
set size: 0
size 0: 0, 128
set size: 0
size 0: 0, 262144
set size: Invalid argument
set most: 0
set least: 0
size 0: 0, 262144
size 1: 0, 1000
size 2: 0, 1048576
timeout: 0
2 0
no such option: Protocol not available
";

#[test]
fn what_needs_no_peer_is_as_on_linux() {
    let on_linux = Command::new(program("vsock.c", "glibc")).arg("alone").output().expect("it runs here too");
    let said = String::from_utf8_lossy(&on_linux.stdout);
    // Where the family is not there, nothing can be compared.
    if !said.contains("Address family not supported") {
        assert_eq!(said, ALONE);
    }
    let run = scratch("").boot(&["alone"]);
    assert_eq!((run.status, run.out.as_str()), (0, ALONE), "{}", run.err);
}

#[test]
fn a_program_talks_to_itself() {
    for isolation in ["ring3", "ring0"] {
        let smap = isolation == "ring3";
        let set = format!("\"hardening.smap\" = {smap}\n\"hardening.isolation\" = \"{isolation}\"\n");
        let run = scratch(&set).boot(&["self"]);
        assert_eq!((run.status, run.out.as_str()), (0, "0 failures\n"), "{isolation}: {}", run.err);
    }
}

#[test]
fn without_the_family_it_is_refused_and_named() {
    let off = "\"net.vsock\" = false\n\"driver.virtio-vsock\" = false\n\"fs.dev.vsock\" = false\n";
    let run = scratch(off).boot(&["dial", "5000"]);
    let said = "bespoke: socket-family 40 was asked for: net.vsock is off\n";
    assert!(run.out.contains(said), "{}", run.out);
    // There, but without a way to the host.
    let run = scratch("\"driver.virtio-vsock\" = false\n").boot(&["dial", "77"]);
    assert_eq!(run.out, "ready\n77 connect: Connection reset by peer\n", "{}", run.err);
}

/// Has a program echo bytes, within what either end has room for. Of room it is told at once, or only when it asks.
fn echoes(stream: &mut Stream, bytes: &[u8], at_once: bool) {
    let (mut sent, mut got) = (0, Vec::<u8>::new());
    while got.len() < bytes.len() {
        let step = stream.credit().min(bytes.len() - sent).min(4000);
        if step > 0 {
            stream.say(DATA, 0, &bytes[sent..sent + step]);
            sent += step;
            continue;
        }
        let packet = stream.next("an echo");
        match packet.operation {
            DATA => {
                got.extend(&packet.body);
                if at_once {
                    stream.say(CREDIT, 0, &[]);
                }
            }
            CREDIT => {}
            CREDIT_REQUEST => stream.say(CREDIT, 0, &[]),
            _ => panic!("{packet:?}"),
        }
    }
    assert!(got == bytes, "the bytes differ");
}

#[test]
fn the_host_talks_to_the_program() {
    for kind in ["microvm", "q35"] {
        let (server, host) = machine(kind, &["serve"]);
        server.says("cid: 3");
        let mut stream = Stream::open(&host, 3000, 7);
        let mut other = Stream::open(&host, 3001, 7);
        echoes(&mut stream, &pattern(1_000_000), true);
        stream.room = 3000;
        echoes(&mut stream, &pattern(100_000), false);
        // The first has room no more, and holds nobody up.
        stream.room = 0;
        stream.say(DATA, 0, b"later");
        loop {
            let packet = stream.next("a question for room");
            if packet.operation == CREDIT_REQUEST {
                break;
            }
            assert_eq!(packet.operation, CREDIT, "{packet:?}");
        }
        echoes(&mut other, &pattern(20_000), true);
        stream.room = 3;
        stream.say(CREDIT, 0, &[]);
        assert_eq!(stream.bytes("as much as fits"), b"lat");
        stream.room = 100;
        stream.say(CREDIT, 0, &[]);
        assert_eq!(stream.bytes("the rest"), b"er");
        // No more comes: the program ends the connection.
        stream.say(SHUTDOWN, 2, &[]);
        while stream.next("its end").operation != SHUTDOWN {}
        stream.say(RESET, 0, &[]);
        other.say(SHUTDOWN, 3, &[]);
        while other.next("agreement").operation != RESET {}

        // Where nobody is.
        for (own, theirs, operation) in
            [(3002, 8, REQUEST), (3003, 7, DATA), (3000, 7, CREDIT), (3004, 7, 99)]
        {
            let mut nobody = Stream::new(&host, own, theirs);
            nobody.say(operation, 0, &[]);
            assert_eq!(nobody.next("a refusal").operation, RESET);
        }
        // More than there is room for is not taken, and the others do not mind.
        let mut rude = Stream::open(&host, 3005, 7);
        for _ in 0..400 {
            rude.say(DATA, 0, &[b'x'; 4000]);
        }
        rude.say(RESET, 0, &[]);
        echoes(&mut Stream::open(&host, 3006, 7), &pattern(50_000), true);
    }
}

#[test]
fn the_program_talks_to_the_host() {
    let (server, host) = machine("microvm", &["dial", "5000", "5001", "5002"]);
    let request = host.find("a request", |packet| packet.operation == REQUEST);
    assert_eq!((request.from.0, request.to), (CID, (HOST, 5000)));
    assert_eq!((request.room, request.taken), (262_144, 0));
    let mut stream = Stream::new(&host, 5000, request.from.1);
    stream.say(RESPONSE, 0, &[]);
    let said = stream.next("what it says");
    assert_eq!((said.operation, said.body.as_slice()), (DATA, &b"hello"[..]));
    stream.say(DATA, 0, b"hello to you");
    stream.say(SHUTDOWN, 3, &[]);
    while stream.next("agreement").operation != RESET {}
    let request = host.find("another", |packet| packet.operation == REQUEST);
    Stream::new(&host, request.to.1, request.from.1).say(RESET, 0, &[]);
    // Nobody answers the third.
    host.find("a third", |packet| packet.operation == REQUEST);
    let expected = "ready\n5000 read: hello to you\n5001 connect: Connection reset by peer\n\
                    5002 connect: Connection timed out\n";
    assert_eq!(server.ended(), (Some(0), expected.to_owned()));
}
