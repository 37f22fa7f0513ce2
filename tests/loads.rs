//! Servers under load: a thousand clients, connections opened and dropped, readers that do not read; and the memory afterwards. In short here,
//! and in full as commands (CONTRIBUTING.md).

use bespoke_tests::clients::{
    REDIS_READY, allow_many_files, apachebench, ask, benchmark, boot_new, curl_text, field, redis,
};
use bespoke_tests::{PATIENCE, Scratch, Server, package, program};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How much of it.
struct Load {
    requests: u32,
    dropped: u32,
    /// Clients that ApacheBench connects all at once; redis-benchmark always has a thousand, and connects them in groups.
    clients: &'static str,
}

const SHORT: Load = Load { requests: 10_000, dropped: 1_000, clients: "1000" };
const FULL: Load = Load { requests: 200_000, dropped: 50_000, clients: "1000" };

/// KiB that allocators may keep for another time: what one connection in a hundred would leak by a page.
const SLACK: u64 = 2048;

/// Waits until something holds that must come.
fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Opens connections and drops them: after an answer, before one, without a word.
fn drop_connections(server: &Server, count: u32, request: &[u8]) {
    for index in 0..count {
        let mut stream = server.connect();
        if index % 3 != 0 {
            stream.write_all(request).expect("a request");
        }
        if index % 3 == 1 {
            let read = stream.read(&mut [0; 64]).expect("an answer");
            assert!(read > 0, "connection {index} got no answer");
        }
    }
}

/// Clients that ask for much and read nothing, for as long as they are kept.
fn slow_readers(server: &Server, count: usize, request: &[u8]) -> Vec<TcpStream> {
    let slow = |_| {
        let mut stream = server.connect();
        stream.write_all(request).expect("a request");
        stream
    };
    (0..count).map(slow).collect()
}

/// Reads what a slow reader left, and says how much it was.
fn read_out(mut stream: TcpStream, length: usize) {
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).expect("everything comes in the end");
}

fn redis_under(load: &Load) {
    allow_many_files();
    let scratch = Scratch::new(
        "schema = 1\nextends = \"preset:redis\"\n[files]\n\"/free.so\" = \"free.so\"\n[set]\n\"abi.system\" = true\n",
    );
    fs::copy(program("free_memory.c", "preload"), scratch.path().join("free.so")).expect("a file");
    let base = ["--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/tmp", "--save", ""];
    // A slow reader is waited for, not thrown out.
    let limits = ["--client-output-buffer-limit", "normal 0 0 0", "--loadmodule", "/free.so"];
    let server =
        Server::start(&scratch, 6379, REDIS_READY, &[&["-m", "512M", "--"], &base[..], &limits].concat());
    let free = || redis(&server, &["MACHINE.FREE"])[0].parse::<u64>().expect("a number");
    let settled = || field(&redis(&server, &["INFO", "clients"]), "connected_clients") == "1";
    let crowd = |requests: u32| {
        benchmark(&server, "set,get", &["-c", "1000", "-n", &requests.to_string()]);
    };
    let large = vec![b'x'; 1_000_000];
    ask("redis-cli", &["-p", &server.port.to_string(), "-x", "SET", "large"], &large);
    let slow = |count: usize| {
        let streams = slow_readers(&server, count, b"GET large\r\n");
        assert_eq!(redis(&server, &["PING"]), ["PONG"]);
        // Half of them read in the end, half hang up.
        for stream in streams.into_iter().step_by(2) {
            read_out(stream, large.len());
        }
    };
    // What it takes once is not lost.
    crowd(3_000);
    slow(20);
    drop_connections(&server, 200, b"PING\r\n");
    until("connections stay", settled);
    let before = free();
    for _ in 0..load.requests.div_ceil(50_000) {
        crowd(load.requests.min(50_000));
    }
    slow(20);
    drop_connections(&server, load.dropped, b"PING\r\n");
    until("connections stay", settled);
    until("memory is lost", || free() + SLACK >= before);
    assert_eq!(field(&redis(&server, &["INFO", "stats"]), "rejected_connections"), "0");
    assert_eq!(redis(&server, &["SHUTDOWN"]), [""; 0]);
    assert_eq!(server.status(), Some(0));
}

fn web_under(load: &Load, program: &Path, preset: &str) {
    allow_many_files();
    let server = boot_new(program, preset, "ready", &["-m", "512M"]);
    let free = || curl_text(&server, &[":/memory"]).parse::<u64>().expect("a number");
    let request = b"GET /hello HTTP/1.1\r\nHost: guest\r\n\r\n";
    let slow = |count: usize| {
        let streams = slow_readers(&server, count, b"GET /bytes/1000000 HTTP/1.1\r\nHost: guest\r\n\r\n");
        assert_eq!(curl_text(&server, &[":/hello"]), "hello /hello\n");
        for stream in streams.into_iter().step_by(2) {
            read_out(stream, 1_000_000);
        }
    };
    apachebench(&server, "/hello", 3_000, &["-k", "-c", load.clients]);
    slow(20);
    drop_connections(&server, 200, request);
    let before = free();
    for _ in 0..load.requests.div_ceil(50_000) {
        apachebench(&server, "/hello", load.requests.min(50_000), &["-k", "-c", load.clients]);
    }
    slow(20);
    drop_connections(&server, load.dropped, request);
    until("memory is lost", || free() + SLACK >= before);
}

#[test]
fn redis_in_short() {
    redis_under(&SHORT);
}

#[test]
fn tokio_in_short() {
    web_under(&SHORT, &package("web"), "http-rust");
}

#[test]
#[ignore = "200,000 requests of 1,000 clients, 50,000 connections: minutes"]
fn redis_in_full() {
    redis_under(&FULL);
}

#[test]
#[ignore = "200,000 requests of 1,000 clients, 50,000 connections: minutes"]
fn tokio_in_full() {
    web_under(&FULL, &package("web"), "http-rust");
}

#[test]
#[ignore = "200,000 requests of 1,000 clients, 50,000 connections: minutes"]
fn go_in_full() {
    web_under(&FULL, &program("web.go", "go"), "http-go");
}
