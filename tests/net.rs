//! The network: real clients on this side of a published port, and the socket interface against itself.

use bespoke_tests::clients::pattern;
use bespoke_tests::{PATIENCE, Scratch, Server, program};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const QUIET: &str = "\"debug.log\" = false\n";

fn echo_server(set: &str, args: &[&str]) -> Server {
    let scratch = Scratch::for_program(&program("echo.c", "musl"), "everything", &format!("{QUIET}{set}"));
    Server::start(&scratch, 7, "ready", args)
}

/// Sends bytes and reads as many back.
fn echo(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().expect("a second handle");
    let copy = bytes.to_vec();
    let sending = std::thread::spawn(move || writer.write_all(&copy));
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("all comes back");
    sending.join().expect("no panic").expect("all is taken");
    back
}

/// The same for a few bytes.
fn short(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).expect("it is taken");
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("it comes back");
    back
}

/// KiB that are free in the machine.
fn free_memory(server: &Server) -> u64 {
    let mut stream = server.connect();
    stream.write_all(b"memory").expect("a question");
    let mut answer = [0; 32];
    let length = stream.read(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer[..length]).parse().expect("a number")
}

#[test]
fn sockets_behave_as_on_linux() {
    let program = program("sockets.c", "musl");
    let on_linux = Command::new(&program).output().expect("it runs here too");
    let expected = "2000 connections\n0 failures\n";
    assert_eq!(String::from_utf8_lossy(&on_linux.stdout), expected);
    for (isolation, smap) in [("ring3", "true"), ("ring0", "false")] {
        let set = format!("{QUIET}\"hardening.smap\" = {smap}\n\"hardening.isolation\" = \"{isolation}\"\n");
        let run = Scratch::for_program(&program, "everything", &set).boot(&[]);
        assert_eq!((run.status, run.out.as_str()), (0, expected), "{isolation}: {}", run.err);
    }
}

#[test]
fn options_of_sockets_and_lingering_are_as_on_linux() {
    for source in ["sockopts.c", "options.c"] {
        let program = program(source, "musl");
        let on_linux = Command::new(&program).output().expect("it runs here too");
        let expected = String::from_utf8_lossy(&on_linux.stdout);
        let run = Scratch::for_program(&program, "everything", QUIET).boot(&[]);
        assert_eq!((run.status, run.out.as_str()), (0, &*expected), "{source}: {}", run.err);
    }
}

#[test]
fn senders_urgent_bytes_and_signals_of_sockets_are_as_on_linux() {
    // The last one ends by a signal that nobody handles.
    for (source, status) in [("credentials.c", 0), ("urgent.c", 0), ("sigio.c", 128 + 29)] {
        let program = program(source, "glibc");
        let on_linux = Command::new(&program).stdin(Stdio::null()).output().expect("it runs here too");
        let expected = String::from_utf8_lossy(&on_linux.stdout);
        let run = Scratch::for_program(&program, "everything", QUIET).boot(&[]);
        assert_eq!((run.status, run.out.as_str()), (status, &*expected), "{source}: {}", run.err);
    }
}

#[test]
fn what_a_program_wrote_is_sent_after_its_end() {
    let set = format!("{QUIET}\"net.tcp.farewell\" = \"10m\"\n");
    let scratch = Scratch::for_program(&program("farewell.c", "musl"), "everything", &set);
    // More than is on its way at once.
    let server = Server::start(&scratch, 7, "ready", &["-m", "64M", "--", "4000000"]);
    let mut stream = server.connect();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer with an end");
    let sent: Vec<u8> = (0..4_000_000).map(|index| b'a' + (index % 26) as u8).collect();
    assert_eq!((server.status(), answer.len()), (Some(0), sent.len()));
    assert!(answer == sent);
}

#[test]
fn ipv6_and_large_datagrams_behave_as_on_linux() {
    let program = program("inet6.c", "musl");
    let on_linux = Command::new(&program).output().expect("it runs here too");
    let expected = "from ::1\nfrom ::ffff:127.0.0.1\nfrom ::ffff:127.0.0.1\nfrom ::1\n::1: 5\n::ffff:127.0.0.1: 7\n\
        ::1: of 0 bytes 0 cut:, class -1, hops -1\n::1: of 8 bytes 0 cut:, class -1, hops -1\n\
        ::1: of 32 bytes 24 cut: 4, class -1, hops 64\n::1: of 40 bytes 40 cut: 4, class -1, hops 64\n\
        ::1: of 48 bytes 48: 4 4, class 104, hops 64\n::1: of 48 bytes 48: 4 4, class 7, hops 7\n\
        127.0.0.1: of 0 bytes 0 cut:, class -1, hops -1\n127.0.0.1: of 8 bytes 0 cut:, class -1, hops -1\n\
        127.0.0.1: of 32 bytes 24 cut: 4, class -1, hops 64\n127.0.0.1: of 40 bytes 40 cut: 4, class -1, hops 64\n\
        127.0.0.1: of 48 bytes 48: 4 1, class 104, hops 64\n127.0.0.1: of 48 bytes 48: 4 1, class 7, hops 7\n\
        0 failures\n";
    assert_eq!(String::from_utf8_lossy(&on_linux.stdout), expected);
    let run = Scratch::for_program(&program, "everything", QUIET).boot(&[]);
    assert_eq!((run.status, run.out.as_str()), (0, expected), "{}", run.err);
    // Off: as on Linux without it, and named.
    let run = Scratch::for_program(&program, "everything", &format!("{QUIET}\"net.inet6\" = false\n"))
        .boot(&["::1", "7"]);
    let said = "bespoke: socket-family 10 was asked for: net.inet6 is off\n";
    assert!(run.out.starts_with(said), "{}", run.out);
}

#[test]
fn bytes_come_back_over_both_buses() {
    for machine in ["microvm", "q35"] {
        let server = echo_server("", &["--machine", machine]);
        let bytes = pattern(3_000_000);
        let back = echo(&mut server.connect(), &bytes);
        assert!(back == bytes, "{machine}: the bytes differ");
        server.connect().write_all(b"quit").expect("a word");
        assert_eq!(server.status(), Some(5), "{machine}");
    }
}

#[test]
fn many_connections_at_once_and_their_memory_afterwards() {
    let server = echo_server("", &["-m", "128M"]);
    let rounds = |count: usize| {
        // Each says a word first: QEMU itself listens for one connection at a time, and makes a crowd wait for seconds.
        let greeted = || {
            let mut stream = server.connect();
            assert_eq!(short(&mut stream, b"hello"), b"hello");
            stream
        };
        let mut streams: Vec<TcpStream> = (0..count).map(|_| greeted()).collect();
        for round in 0..3 {
            for (index, stream) in streams.iter_mut().enumerate() {
                stream.write_all(format!("{round} {index:5}\n").as_bytes()).expect("it is taken");
            }
            for (index, stream) in streams.iter_mut().enumerate() {
                let mut back = [0; 8];
                stream.read_exact(&mut back).expect("it comes back");
                assert_eq!(back, format!("{round} {index:5}\n").as_bytes());
            }
        }
    };
    rounds(500);
    std::thread::sleep(Duration::from_millis(500));
    let before = free_memory(&server);
    for _ in 0..3 {
        rounds(500);
    }
    for index in 0..2000u32 {
        let bytes = index.to_le_bytes();
        assert_eq!(short(&mut server.connect(), &bytes), bytes);
    }
    // What was closed last takes its time to go.
    let started = Instant::now();
    let mut after = free_memory(&server);
    while after + 1024 < before && started.elapsed() < Duration::from_secs(90) {
        std::thread::sleep(Duration::from_millis(500));
        after = free_memory(&server);
    }
    assert!(after + 1024 >= before, "{before} KiB free before, {after} after");
}

#[test]
fn a_slow_reader_holds_nobody_up() {
    let server = echo_server("", &[]);
    let mut slow = server.connect();
    slow.set_nonblocking(true).expect("it can be");
    let bytes = pattern(65536);
    // As much as goes in while nothing is read.
    let mut sent = 0;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        let at = sent % bytes.len();
        match slow.write(&bytes[at..]) {
            Ok(count) => sent += count,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    // The slow one has read nothing yet; an answer that never comes is an error, not a wait for ever.
    let mut other = server.connect();
    assert_eq!(echo(&mut other, b"and the others?"), b"and the others?");
    slow.set_nonblocking(false).expect("it can be");
    let mut got = vec![0; sent];
    slow.read_exact(&mut got).expect("everything comes in the end");
    assert!(got.iter().zip(bytes.iter().cycle()).all(|(one, other)| one == other), "the bytes differ");
}

/// An answer's head and body, by the length that the head tells.
fn http(stream: &mut TcpStream, request: &[u8]) -> (String, Vec<u8>) {
    stream.write_all(request).expect("a request");
    let mut answer = Vec::new();
    let mut chunk = [0; 65536];
    loop {
        let count = stream.read(&mut chunk).expect("an answer");
        assert!(count > 0, "the server hung up after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&chunk[..count]);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let length =
            head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
        if answer.len() >= end + 4 + length.expect("a length") {
            return (head, answer.split_off(end + 4));
        }
    }
}

#[test]
fn gos_web_server_answers_new_and_kept_connections() {
    let scratch = Scratch::for_program(&program("web.go", "go"), "everything", QUIET);
    let server = Server::start(&scratch, 80, "ready", &["-m", "128M"]);
    let mut kept = server.connect();
    for index in 0..50 {
        let request = format!("GET /{index} HTTP/1.1\r\nHost: guest\r\n\r\n");
        for stream in [&mut kept, &mut server.connect()] {
            let (head, body) = http(stream, request.as_bytes());
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            assert_eq!(body, format!("hello /{index}\n").as_bytes());
        }
    }
    let _ = kept.write_all(b"GET /quit HTTP/1.1\r\nHost: guest\r\n\r\n");
    assert_eq!(server.status(), Some(3));
}

#[test]
fn what_is_left_out_is_refused_as_by_linux_and_named() {
    let program = program("sockets.c", "musl");
    let scratch = Scratch::for_program(
        &program,
        "everything",
        &format!(
            "{QUIET}\"net.passing\" = false\n\"net.socketpair\" = false\n\"net.unix\" = false\n\"net.unix.credentials\" = false\n\"net.packet-info\" = false\n\"net.udp\" = false\n"
        ),
    );
    let run = scratch.boot(&["kinds"]);
    let expected = "2 1: there\n\
                    bespoke: inet-socket 17 was asked for: net.udp is off\n2 2: Protocol not supported\n\
                    bespoke: socket-family 1 was asked for: net.unix is off\n\
                    1 1: Address family not supported by protocol\n\
                    bespoke: system call 53 answered ENOSYS: net.socketpair is off\npair: Function not implemented\n";
    assert_eq!((run.status, run.out.as_str()), (0, expected), "{}", run.err);
}

#[test]
fn the_address_comes_by_dhcp() {
    // An address without a network: nobody can be answered until the server has told of one.
    let server =
        echo_server("\"net.ipv4.address\" = \"10.0.2.15/32\"\n\"net.ipv4.gateway\" = \"0.0.0.0\"\n", &[]);
    // What comes before the address does is lost, and QEMU is slow to try again.
    let started = Instant::now();
    let found = || {
        let mut stream = server.connect();
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a limit can be set");
        let mut back = [0; 5];
        stream.write_all(b"found").and_then(|()| stream.read_exact(&mut back)).is_ok() && &back == b"found"
    };
    while !found() {
        assert!(started.elapsed() < PATIENCE, "nobody is at the address");
    }
}

#[test]
fn metrics_are_served_beside_the_program() {
    let scratch = Scratch::for_program(
        &program("echo.c", "musl"),
        "everything",
        &format!("{QUIET}\"debug.metrics.port\" = 9200\n"),
    );
    let server = Server::start(&scratch, 9200, "ready", &[]);
    // Whoever says nothing does not keep others out.
    let idle: Vec<TcpStream> = (0..12).map(|_| server.connect()).collect();
    let figure = |page: &str, name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
    };
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: guest\r\n\r\n");
        let (head, body) = http(&mut server.connect(), request.as_bytes());
        (head, String::from_utf8(body).expect("text"))
    };
    let (head, first) = ask("/metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(figure(&first, "bespoke_memory_free_bytes") > 1e6);
    assert!(figure(&first, "bespoke_threads") >= 1.0);
    let (_, second) = ask("/metrics");
    for name in
        ["bespoke_tcp_accepts_total", "bespoke_network_receive_frames_total", "bespoke_uptime_seconds"]
    {
        assert!(figure(&second, name) > figure(&first, name), "{name}: {first} {second}");
    }
    assert!(ask("/other").0.starts_with("HTTP/1.1 404"));
    drop(idle);
}
