//! Servers as Debian packages them, or as their own tools build them, answered by their own clients.

use bespoke_tests::clients::{
    REDIS_READY, allow_many_files, apachebench, ask, benchmark, boot_new, boot_preset, curl, curl_text,
    field, pattern, redis,
};
use bespoke_tests::{Scratch, Server, client, package, program, python};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn thousands_of_descriptors_for_who_asks() {
    let program = program("limits.c", "musl");
    let here = client(&program.to_string_lossy(), &[], b"");
    assert_eq!((here.status, here.out.as_str()), (0, "0 failures\n"));
    let run = Scratch::for_program(&program, "everything", "\"debug.log\" = false\n").boot(&[]);
    assert_eq!((run.status, run.out.as_str()), (0, "0 failures\n"), "{}", run.err);
}

#[test]
fn redis_answers_its_own_clients() {
    let server = boot_preset("redis", "", 6379, REDIS_READY, &[]);
    let ask_redis = |line: &str| redis(&server, &line.split(' ').collect::<Vec<_>>());
    assert_eq!(ask_redis("PING"), ["PONG"]);
    assert_eq!(ask_redis("SET greeting hello EX 1000"), ["OK"]);
    assert_eq!(ask_redis("APPEND greeting ,world"), ["11"]);
    assert_eq!(ask_redis("GET greeting"), ["hello,world"]);
    assert_eq!(ask_redis("INCRBY counter 41"), ["41"]);
    assert_eq!(ask_redis("INCR counter"), ["42"]);
    assert_eq!(ask_redis("RPUSH list a b c"), ["3"]);
    assert_eq!(ask_redis("LRANGE list 0 -1"), ["a", "b", "c"]);
    assert_eq!(ask_redis("ZADD board 3 three 1 one 2 two"), ["3"]);
    assert_eq!(ask_redis("ZRANGE board 0 -1"), ["one", "two", "three"]);
    assert_eq!(ask_redis("XADD events 1-1 key value"), ["1-1"]);
    assert_eq!(ask_redis("GETRANGE nothing 0 -1"), [""]);
    assert_eq!(
        ask_redis("LPUSH greeting x")[0],
        "WRONGTYPE Operation against a key holding the wrong kind of value"
    );
    let script = "local sum = 0 for i = 1, ARGV[1] do sum = sum + i end return sum";
    assert_eq!(redis(&server, &["EVAL", script, "0", "100000"]), ["5000050000"]);

    // A value of several megabytes, there and back.
    let large: Vec<u8> = (0..3_000_000u32).map(|index| b'a' + (index * 7 % 23) as u8).collect();
    let port = server.port.to_string();
    assert_eq!(ask("redis-cli", &["-p", &port, "-x", "SET", "large"], &large), "OK\n");
    assert!(
        ask("redis-cli", &["-p", &port, "GET", "large"], b"").trim_end().as_bytes() == large,
        "it differs"
    );

    // Many commands at once, without waiting for answers.
    let mut pipe = String::new();
    for index in 0..20_000 {
        pipe.push_str(&format!("*3\r\n$3\r\nSET\r\n$9\r\nkey:{index:05}\r\n$5\r\n{index:05}\r\n"));
    }
    let piped = ask("redis-cli", &["-p", &port, "--pipe"], pipe.as_bytes());
    assert!(piped.contains("errors: 0, replies: 20000"), "{piped}");
    assert_eq!(ask_redis("GET key:12345"), ["12345"]);

    // What cannot be is said by Redis as on Linux.
    assert_eq!(ask_redis("BGSAVE")[0], "ERR");
    assert!(server.said().contains("Can't save in background: fork: Function not implemented"));
    assert_eq!(field(&ask_redis("INFO persistence"), "rdb_last_bgsave_status"), "err");
    assert_eq!(ask_redis("SAVE"), ["OK"]);
    let info = ask_redis("INFO");
    assert_eq!(field(&info, "redis_mode"), "standalone");
    assert!(field(&info, "os").starts_with("Linux "), "{}", field(&info, "os"));
    assert_eq!(ask_redis("SHUTDOWN NOSAVE"), [""; 0]);
    assert_eq!(server.status(), Some(0));
}

#[test]
fn redis_keeps_its_log_in_memory() {
    let always = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"];
    let network = ["--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/tmp", "--save", ""];
    let args = [&["--"], &network[..], &always, &["--enable-debug-command", "yes"]].concat();
    let server = boot_preset("redis", "", 6379, REDIS_READY, &args);
    let port = server.port.to_string();
    let ask_redis = |line: &str| redis(&server, &line.split(' ').collect::<Vec<_>>());
    let written =
        ask("redis-benchmark", &["-p", &port, "-n", "3000", "-r", "100000", "-q", "-t", "set,rpush"], b"");
    assert_eq!(written.matches("requests per second").count(), 2, "{written}");
    let size = ask_redis("DBSIZE");
    let digest = ask_redis("DEBUG DIGEST");
    assert_eq!(ask_redis("DEBUG LOADAOF"), ["OK"]);
    assert_eq!((ask_redis("DBSIZE"), ask_redis("DEBUG DIGEST")), (size, digest.clone()));
    // The other kind of file.
    assert_eq!(ask_redis("DEBUG RELOAD"), ["OK"]);
    assert_eq!(ask_redis("DEBUG DIGEST"), digest);
    let info = ask_redis("INFO persistence");
    assert_eq!((field(&info, "aof_enabled"), field(&info, "aof_last_write_status")), ("1", "ok"));
    assert_eq!(ask_redis("SHUTDOWN"), [""; 0]);
    assert_eq!(server.status(), Some(0));
}

/// Time enough that the end is never the runner's.
const GRACE: [&str; 2] = ["--grace", "600"];

#[test]
fn redis_saves_what_it_has_when_it_is_ended() {
    let scratch = Scratch::new("schema = 1\nextends = \"preset:redis\"\n[set]\n\"fs.share\" = true\n");
    fs::create_dir(scratch.path().join("saved")).expect("a folder");
    let network = ["--bind", "0.0.0.0", "--protected-mode", "no"];
    let saving = ["--dir", "/saved", "--save", "3600 1"];
    let args = [&GRACE[..], &["--share", "saved:/saved", "--"], &network, &saving].concat();
    let mut value = "none".to_owned();
    for (signal, next) in [("TERM", "first"), ("INT", "second")] {
        let server = Server::start(&scratch, 6379, REDIS_READY, &args);
        if next != "first" {
            assert_eq!(redis(&server, &["GET", "key"]), [value]);
        }
        assert_eq!(redis(&server, &["SET", "key", next]), ["OK"]);
        value = next.to_owned();
        let (status, said) = server.end(signal);
        assert_eq!(status, Some(0), "{said}");
        for words in [&format!("Received SIG{signal} scheduling shutdown"), "DB saved on disk", "bye bye"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    assert!(fs::read(scratch.path().join("saved/dump.rdb")).expect("a file").starts_with(b"REDIS"));
}

#[test]
fn redis_under_a_thousand_clients() {
    allow_many_files();
    let server = boot_preset("redis", "", 6379, REDIS_READY, &["-m", "256M"]);
    benchmark(
        &server,
        "ping_inline,ping_mbulk,set,get,incr,lpush,lpop,hset,mset",
        &["-c", "50", "-n", "1000"],
    );
    benchmark(&server, "set,get", &["-c", "50", "-n", "50000", "-P", "16"]);
    benchmark(&server, "set,get", &["-c", "1000", "-n", "10000"]);
    let info = redis(&server, &["INFO"]);
    assert_eq!(field(&info, "rejected_connections"), "0");
    assert_eq!(field(&info, "connected_clients"), "1");
    assert_eq!(redis(&server, &["SHUTDOWN"]), [""; 0]);
    assert_eq!(server.status(), Some(0));
}

/// What a web server must do whatever it is: answers on kept connections, pipelined ones, and to ApacheBench.
fn serves(server: &Server, page: &str, expected: &[u8]) {
    let url = format!(":{page}");
    assert!(curl(server, &[&url]) == expected, "the page differs");
    // Many on one connection: curl tells for each how many it had to open.
    let pages = vec![url.as_str(); 40];
    let told = ["-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n"];
    let many: Vec<&str> = pages.iter().flat_map(|page| [*page].into_iter().chain(told)).collect();
    let answers = curl_text(server, &many);
    assert_eq!(answers, format!("200 1\n{}", "200 0\n".repeat(39)));
    // HEAD: no body, and its length told.
    let head = curl_text(server, &["-I", &url]).to_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}\n", expected.len())), "{head}");
    // Pipelined: all asked for at once, the last with a goodbye.
    let mut stream = server.connect();
    let count = 50;
    for index in 0..count {
        let goodbye = if index + 1 == count { "Connection: close\r\n" } else { "" };
        write!(stream, "GET {page} HTTP/1.1\r\nHost: guest\r\n{goodbye}\r\n").expect("a request");
    }
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).expect("all answers, then the end");
    let starts = answers.windows(17).filter(|bytes| bytes == b"HTTP/1.1 200 OK\r\n").count();
    assert_eq!(starts, count, "{}", String::from_utf8_lossy(&answers));
    assert!(answers.ends_with(expected));
    for kept in [&["-k"][..], &[]] {
        apachebench(server, page, 400, &[&["-c", "20"], kept].concat());
    }
}

/// What nginx says last before it waits for events.
const NGINX_READY: &str = "getrlimit(RLIMIT_NOFILE)";

const NGINX_SITE: &str = "[files]\n\"/var/www/html\" = \"site\"\n";

/// A machine with nginx and a site of ours.
fn nginx(config: &str, args: &[&str]) -> Server {
    let scratch = Scratch::new(&format!("schema = 1\nextends = \"preset:nginx\"\n{NGINX_SITE}{config}"));
    site(&scratch);
    Server::start(&scratch, 80, NGINX_READY, args)
}

/// Puts pages into the folder of a config.
fn site(scratch: &Scratch) {
    let site = scratch.path().join("site");
    fs::create_dir_all(site.join("deep/er")).expect("a folder");
    fs::write(site.join("index.html"), "<h1>bespoke</h1>\n").expect("a file");
    fs::write(site.join("deep/er/style.css"), "h1 { color: red }\n").expect("a file");
    fs::write(site.join("large.bin"), pattern(7_000_001)).expect("a file");
}

#[test]
fn nginx_answers_curl_and_apachebench() {
    let server = nginx("", &[]);
    serves(&server, "/index.html", b"<h1>bespoke</h1>\n");
    assert_eq!(curl_text(&server, &[":/"]), "<h1>bespoke</h1>\n");
    let large = pattern(7_000_001);
    assert!(curl(&server, &[":/large.bin"]) == large, "the bytes differ");
    assert!(curl(&server, &["--limit-rate", "20M", ":/large.bin"]) == large, "the bytes differ");
    assert!(curl(&server, &["-r", "1000000-1999999", ":/large.bin"]) == large[1_000_000..2_000_000]);
    assert!(curl(&server, &["-r", "-5", ":/large.bin"]) == large[large.len() - 5..]);
    let code = |args: &[&str]| {
        curl_text(&server, &[&["-o", "/dev/null", "-w", "%{http_code} %{content_type}"], args].concat())
    };
    assert_eq!(code(&[":/deep/er/style.css"]), "200 text/css");
    assert_eq!(code(&[":/missing"]), "404 text/html");
    assert_eq!(code(&[":/deep"]), "301 text/html");
    assert_eq!(code(&[":/deep/"]), "403 text/html");
    assert_eq!(code(&["-r", "9000000-", ":/large.bin"]), "416 text/html");
    assert_eq!(code(&["-d", "form=1", ":/index.html"]), "405 text/html");
    let etag = curl_text(&server, &["-I", ":/index.html"]);
    let etag = etag.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("a tag").to_owned();
    assert_eq!(code(&["-H", &format!("If-None-Match: {etag}"), ":/index.html"]), "304 ");
    let said = server.said();
    assert!(said.contains("using the \"epoll\" event method"), "{said}");
    assert!(!said.contains("answered ENOSYS") && !said.contains("[alert]"), "{said}");
}

#[test]
fn nginx_ends_in_order() {
    for (signal, words) in [("TERM", "signal 15 (SIGTERM) received"), ("INT", "signal 2 (SIGINT) received")] {
        let server = nginx("", &GRACE);
        assert_eq!(curl_text(&server, &[":/"]), "<h1>bespoke</h1>\n");
        let (status, said) = server.end(signal);
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains(words) && said.trim_end().ends_with("exit"), "{said}");
    }
}

/// Makes a key and a certificate for 127.0.0.1 in a folder.
fn certificate(folder: &Path) {
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let subject = ["-subj", "/CN=guest", "-addext", "subjectAltName=IP:127.0.0.1"];
    let (key, certificate) = (at("key.pem"), at("cert.pem"));
    let kind =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    ask("openssl", &[&kind[..], &subject, &["-keyout", &key, "-out", &certificate]].concat(), b"");
}

#[test]
fn nginx_as_it_comes_says_what_it_lacks() {
    // Its own defaults make a daemon of it, with a master that starts workers: both take fork.
    let config = |first: &str| {
        let text = format!("{first} events {{}} http {{ access_log off; server {{ listen 80; }} }}");
        let scratch = Scratch::new(&format!(
            "schema = 1\nextends = \"preset:nginx\"\n{NGINX_SITE}[text]\n\"/etc/nginx/nginx.conf\" = \"{text}\"\n\
             \"/run/keep\" = \"\"\n\"/var/lib/nginx/keep\" = \"\"\n[set]\n\"fs.root\" = \"memory\"\n"
        ));
        site(&scratch);
        scratch
    };
    let run = config("").boot(&["-e", "stderr"]);
    assert_ne!(run.status, 0);
    assert!(run.out.contains("fork() failed (38: Function not implemented)"), "{}", run.out);
    let scratch = config("daemon off;");
    Server::start(&scratch, 80, "failed while spawning \"worker process\"", &[]);
}

#[test]
fn nginx_speaks_tls() {
    let config = "\"/etc/tls/key.pem\" = \"key.pem\"\n\"/etc/tls/cert.pem\" = \"cert.pem\"\n[text]\n\
                  \"/etc/nginx/conf.d/tls.conf\" = \"server { listen 443 ssl; root /var/www/html; ssl_certificate /etc/tls/cert.pem; \
                  ssl_certificate_key /etc/tls/key.pem; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:1m; }\"\n";
    let scratch = Scratch::new(&format!("schema = 1\nextends = \"preset:nginx\"\n{NGINX_SITE}{config}"));
    site(&scratch);
    certificate(scratch.path());
    let server = Server::start(&scratch, 443, NGINX_READY, &["-m", "128M"]);
    let (port, ca) =
        (server.port.to_string(), scratch.path().join("cert.pem").to_string_lossy().into_owned());
    let page = |path: &str| format!("https://127.0.0.1:{port}{path}");
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        let (small, large) = (page("/index.html"), page("/large.bin"));
        let body = curl(&server, &[version, &["--cacert", &ca, &small, &large]].concat());
        assert!(
            body.starts_with(b"<h1>bespoke</h1>\n") && body[17..] == pattern(7_000_001),
            "{version:?}: it differs"
        );
    }
    let session = scratch.path().join("session").to_string_lossy().into_owned();
    let connect =
        ["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile", &ca, "-tls1_2", "-ign_eof"]
            .map(str::to_owned);
    let connect: Vec<&str> = connect.iter().map(String::as_str).collect();
    let request = b"GET /index.html HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n";
    let first = ask("openssl", &[&connect[..], &["-sess_out", &session]].concat(), request);
    assert!(first.contains("Verify return code: 0 (ok)") && first.contains("<h1>bespoke</h1>"), "{first}");
    let second = ask("openssl", &[&connect[..], &["-sess_in", &session]].concat(), request);
    assert!(second.contains("\nReused, TLSv1.2") && second.contains("<h1>bespoke</h1>"), "{second}");
    // One that speaks no TLS is told so.
    let plain = format!("http://127.0.0.1:{port}/");
    assert_eq!(curl_text(&server, &["-o", "/dev/null", "-w", "%{http_code}", &plain]), "400");
}

#[test]
fn memcached_answers_its_own_clients() {
    let scratch = Scratch::new("schema = 1\nextends = \"preset:memcached\"\n");
    let server = Server::start(&scratch, 11211, "", &[&["-m", "96M"][..], &GRACE].concat());
    let servers = format!("--servers=127.0.0.1:{}", server.port);
    // It says nothing when it is ready, and QEMU is slow to try again what comes before.
    let started = Instant::now();
    let version = || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", server.port)) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a limit can be set");
        let mut answer = [0; 7];
        stream.write_all(b"version\r\n").and_then(|()| stream.read_exact(&mut answer)).is_ok()
            && &answer == b"VERSION"
    };
    while !version() {
        assert!(started.elapsed() < Duration::from_secs(200), "it does not answer: {}", server.said());
    }
    let port = server.port.to_string();
    let checked = ask("memccapable", &["-h", "127.0.0.1", "-p", &port], b"");
    assert!(checked.ends_with("All tests passed\n") && checked.matches("[pass]").count() >= 50, "{checked}");
    let folder = tempfile::tempdir().expect("a scratch folder");
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::write(at("small"), "hello").expect("a file");
    fs::write(at("large"), pattern(1_000_000)).expect("a file");
    ask("memccp", &[&servers, &at("small"), &at("large")], b"");
    assert_eq!(ask("memccat", &[&servers, "small"], b""), "hello\n");
    ask("memccat", &[&servers, "--file", &at("back"), "large"], b"");
    assert!(fs::read(at("back")).expect("a file") == pattern(1_000_000), "it differs");
    assert_eq!(client("memcrm", &[&servers, "small"], b"").status, 0);
    assert_ne!(client("memcexist", &[&servers, "small"], b"").status, 0);
    for test in ["get", "set"] {
        let test = format!("--test={test}");
        let out = ask("memcslap", &[&servers, "--concurrency=50", "--execute-number=50", &test], b"");
        assert!(out.contains("2500 keys by   50 threads"), "{out}");
    }
    let told = ask("memcstat", &[&servers], b"");
    assert!(told.contains("curr_connections: ") && told.contains("rejected_connections: 0\n"), "{told}");
    assert!(!server.said().contains("answered ENOSYS"), "{}", server.said());
    let (status, said) = server.end("TERM");
    assert_eq!(status, Some(0), "{said}");
}

/// What both web servers of ours answer.
fn web(server: Server) {
    serves(&server, "/index.html", b"hello /index.html\n");
    let sent = pattern(5_000_000);
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("sent");
    fs::write(&file, &sent).expect("a file");
    let from = format!("@{}", file.display());
    assert!(curl(&server, &["--data-binary", &from, ":/echo"]) == sent, "the echo differs");
    assert!(curl(&server, &["-H", "Transfer-Encoding: chunked", "--data-binary", &from, ":/echo"]) == sent);
    let many: Vec<u8> = (0..6_000_000).map(|index| (index % 251) as u8).collect();
    assert!(curl(&server, &[":/bytes/6000000"]) == many, "the bytes differ");
    assert_eq!(curl_text(&server, &["-o", "/dev/null", "-w", "%{http_code}", ":/bytes/x"]), "404");
    let free: u64 = curl_text(&server, &[":/memory"]).parse().expect("a number");
    assert!((1000..200_000).contains(&free), "{free} KiB free");
    assert!(!server.said().contains("answered ENOSYS"), "{}", server.said());
    let _ = client("curl", &["-s", &format!("http://127.0.0.1:{}/quit", server.port)], b"");
    assert_eq!(server.status(), Some(3));
}

#[test]
fn gos_web_server_answers_curl() {
    let server = boot_new(&program("web.go", "go"), "http-go", "ready", &["-m", "128M"]);
    assert_eq!(curl(&server, &["-r", "252-255", ":/bytes/1000"]), [1, 2, 3, 4]);
    web(server);
}

#[test]
fn tokio_and_hyper_answer_curl() {
    web(boot_new(&package("web"), "http-rust", "ready", &["-m", "64M"]));
}

/// A request that is under way when the server is asked to end, and what it says meanwhile, is answered, and then it ends.
fn ends_after_its_answer(server: Server, ending: &str) {
    let mut stream = server.connect();
    let head = "POST /echo HTTP/1.1\r\nHost: guest\r\nConnection: close\r\nExpect: 100-continue\r\n";
    write!(stream, "{head}Content-Length: 10\r\n\r\n").expect("half a request");
    // Go says that it may continue once somebody wants the rest, hyper begins its answer.
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the begin of an answer");
        answer.push(byte[0].into());
    }
    server.signal("TERM");
    server.says(ending);
    stream.write_all(b"other half").expect("the other half");
    stream.read_to_string(&mut answer).expect("the answer, then the end");
    assert!(answer.contains("HTTP/1.1 200 OK\r\n") && answer.contains("other half"), "{answer}");
    let (status, said) = server.ended();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("ended"), "{said}");
}

#[test]
fn gos_web_server_ends_in_order() {
    let args = [&["-m", "128M"][..], &GRACE].concat();
    ends_after_its_answer(boot_new(&program("web.go", "go"), "http-go", "ready", &args), "ending");
}

#[test]
fn tokio_ends_in_order() {
    let args = [&["-m", "64M"][..], &GRACE].concat();
    ends_after_its_answer(boot_new(&package("web"), "http-rust", "ready", &args), "ending");
}

#[test]
fn cpythons_web_server_answers_curl() {
    let (program, library) = python();
    let scratch = Scratch::new(&format!(
        "schema = 1\nextends = \"preset:everything\"\n[program]\npath = {program:?}\nenv = [\"HOME=/tmp\"]\n\
         [files]\n{library:?} = {library:?}\n\"/site\" = \"site\"\n[set]\n\"debug.log\" = false\n"
    ));
    site(&scratch);
    let serve = [
        "-m",
        "512M",
        "--grace",
        "600",
        "--",
        "-IBu",
        "-m",
        "http.server",
        "80",
        "--directory",
        "/site",
        "-p",
        "HTTP/1.1",
    ];
    let server = Server::start(&scratch, 80, "Serving HTTP on 0.0.0.0 port 80", &serve);
    assert_eq!(curl_text(&server, &[":/"]), "<h1>bespoke</h1>\n");
    assert!(curl(&server, &[":/large.bin"]) == pattern(7_000_001), "the bytes differ");
    let listing = curl_text(&server, &[":/deep/"]);
    assert!(listing.contains("<a href=\"er/\">er/</a>"), "{listing}");
    assert_eq!(curl_text(&server, &["-o", "/dev/null", "-w", "%{http_code}", ":/missing"]), "404");
    apachebench(&server, "/index.html", 100, &["-c", "10"]);
    let (status, said) = server.end("INT");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.ends_with("Keyboard interrupt received, exiting.\n"), "{said}");
}
