//! Larger programs from Debian's packages, each with the config that `bespoke new` writes for it. `tests/run` does not install them:
//!
//! `apt install bind9 caddy etcd-server git guile-3.0 haproxy lighttpd mariadb-client-core mariadb-server-core mosquitto mosquitto-clients nats-server
//! nodejs openjdk-17-jre-headless perl php8.2-cli prometheus ruby sbcl swi-prolog-nox unbound`, then `cargo test --release -p bespoke-tests --test more -- --ignored`

use bespoke_tests::{Scratch, Server, client, run_in};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

/// A folder with the config that `bespoke new` writes, and some lines more.
fn fresh(program: &str, arguments: &[&str], more: &str) -> Scratch {
    assert!(
        Path::new(program).exists(),
        "{program} is not installed; this file says which packages are wanted"
    );
    let scratch = Scratch::new("");
    let command = [&["new", program, "--force", "-o", "app.toml", "--"], arguments].concat();
    let run = run_in(scratch.path(), &command);
    assert_eq!(run.status, 0, "{program}: {}", run.err);
    let config = scratch.path().join("app.toml");
    let text = fs::read_to_string(&config).expect("it was written");
    fs::write(&config, format!("{text}\n{more}")).expect("a writable scratch folder");
    scratch
}

#[track_caller]
fn says(scratch: &Scratch, arguments: &[&str], words: &str) {
    let run = scratch.run(&[&["run", "app.toml", "-m", "1G", "--"], arguments].concat());
    assert!(run.status == 0 && run.out.contains(words), "{}: {}{}", run.status, run.out, run.err);
}

#[test]
#[ignore = "wants packages that tests/run does not install"]
fn languages() {
    let sum = "my %h = map { $_ => $_ ** 2 } 1 .. 5; print join(',', map { $h{$_} } sort keys %h)";
    says(&fresh("/usr/bin/perl", &[], ""), &["-e", sum], "1,4,9,16,25");
    says(
        &fresh("/usr/bin/php8.2", &[], ""),
        &["-n", "-r", "echo json_encode([1, md5('x')]);"],
        "9dd4e461268c8034",
    );
    let threads = "t = Thread.new { sleep 0.01; puts 'thread' }; t.join; puts [1, 2, 3].sum";
    says(&fresh("/usr/bin/ruby", &[], ""), &["--disable-gems", "-e", threads], "thread\n6\n");
}

#[test]
#[ignore = "wants packages that tests/run does not install"]
fn node_with_workers() {
    let source = "const http = require('http'), { Worker } = require('worker_threads'); http.createServer((q, r) => \
        new Worker('require(\"worker_threads\").parentPort.postMessage(6 * 7)', { eval: true }) \
        .on('message', m => r.end('worker ' + m))).listen(8080, '0.0.0.0', () => console.log('listening'));";
    let scratch = fresh("/usr/bin/node", &["-e", source], "");
    let server = Server::start(&scratch, 8080, "listening", &["-m", "512M"]);
    assert!(server.answers(b"GET / HTTP/1.0\r\n\r\n", "worker 42"), "{}", server.said());
}

#[test]
#[ignore = "wants packages that tests/run does not install"]
fn java() {
    let scratch = fresh("/usr/bin/java", &[], "");
    // What a virtual machine of Java opens is found by watching it.
    let run = scratch.run(&["fit", "app.toml", "--trace", "--", "java", "-version"]);
    assert_eq!(run.status, 0, "{}", run.err);
    says(&scratch, &["-version"], "OpenJDK 64-Bit Server VM");
}

#[test]
#[ignore = "wants packages that tests/run does not install"]
fn web_servers() {
    let get = b"GET /page HTTP/1.0\r\n\r\n";
    let page = "[text]\n\"/www/page\" = \"a page\"\n";
    let lighttpd =
        "server.document-root = '/www'\nserver.port = 80\nserver.modules = ()\n".replace('\'', "\\\"");
    let lighttpd = format!("{page}\"/etc/conf\" = \"{}\"\n", lighttpd.replace('\n', "\\n"));
    let haproxy = "[text]\n\"/jail/keep\" = \"\"\n\"/etc/conf\" = \"\"\"\nglobal\n  chroot /jail\n  uid 65534\n  gid 65534\n\
        defaults\n  mode http\n  timeout client 5s\n  timeout connect 5s\n  timeout server 5s\n\
        frontend all\n  bind :80\n  http-request return status 200 content-type text/plain string \"a page\"\n\"\"\"\n";
    for (program, arguments, more) in [
        ("/usr/bin/caddy", &["file-server", "--listen", ":80", "--root", "/www"][..], page),
        ("/usr/sbin/lighttpd", &["-D", "-f", "/etc/conf"], &lighttpd),
        ("/usr/sbin/haproxy", &["-V", "-f", "/etc/conf"], haproxy),
    ] {
        let scratch = fresh(program, arguments, more);
        let server = Server::start(&scratch, 80, "", &["-m", "256M"]);
        assert!(server.answers(get, "a page"), "{program}: {}", server.said());
    }
}

#[test]
#[ignore = "wants packages that tests/run does not install"]
fn databases() {
    let urls =
        ["--listen-client-urls", "http://0.0.0.0:2379", "--advertise-client-urls", "http://127.0.0.1:2379"];
    let etcd = fresh("/usr/bin/etcd", &[&["--data-dir", "/tmp/data"][..], &urls].concat(), "");
    let server = Server::start(&etcd, 2379, "ready to serve", &["-m", "256M"]);
    let post = |path: &str, body: &str| {
        let url = format!("http://127.0.0.1:{}/v3/kv/{path}", server.port);
        client("curl", &["-s", "-S", "-d", body, &url], b"").out
    };
    post("put", r#"{"key":"Zm9v","value":"YmFy"}"#);
    let found = post("range", r#"{"key":"Zm9v"}"#);
    assert!(found.contains(r#""value":"YmFy""#), "{found} {}", server.said());

    let files = "[files]\n\"/usr/share/mysql/english\" = \"/usr/share/mysql/english\"\n[text]\n\"/etc/passwd\" = \"root:x:0:0::/:/bin/sh\\n\"\n\
        \"/data/keep\" = \"\"\n";
    let options = [
        "--no-defaults",
        "--datadir=/data",
        "--skip-grant-tables",
        "--user=root",
        "--socket=/tmp/socket",
        "--innodb-buffer-pool-size=32M",
    ];
    let mariadb = fresh("/usr/sbin/mariadbd", &options, files);
    let server = Server::start(&mariadb, 3306, "ready for connections", &["-m", "512M"]);
    let sql = "create database d; use d; create table t (id int primary key, v text) engine=innodb; \
        insert into t values (1, 'one'), (2, 'two'); start transaction; delete from t; rollback; select * from t;";
    let port = server.port.to_string();
    let run = client("mariadb", &["--no-defaults", "-h", "127.0.0.1", "-P", &port, "-e", sql], b"");
    assert_eq!(run.out, "id\tv\n1\tone\n2\ttwo\n", "{} {}", run.err, server.said());
}

/// Asks a name server by TCP which address `here.example` has.
fn address_of_here(server: &Server) -> Vec<u8> {
    let mut stream = server.connect();
    let question = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x04here\x07example\0\0\x01\0\x01";
    stream.write_all(&[&[0, question.len() as u8][..], question].concat()).expect("it is asked");
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("it answers");
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).expect("it answers whole");
    answer
}

#[test]
#[ignore = "wants packages that tests/run does not install"]
fn messages_and_names() {
    let conf = "[text]\n\"/etc/conf\" = \"\"\"\nlistener 1883 0.0.0.0\nallow_anonymous true\n\"\"\"\n\
        \"/etc/passwd\" = \"mosquitto:x:100:100::/:/bin/sh\\n\"\n";
    let mosquitto = fresh("/usr/sbin/mosquitto", &["-c", "/etc/conf"], conf);
    let server = Server::start(&mosquitto, 1883, "running", &["-m", "128M"]);
    let port = server.port.to_string();
    let kept = client("mosquitto_pub", &["-p", &port, "-t", "a/b", "-q", "2", "-r", "-m", "kept"], b"");
    assert_eq!(kept.status, 0, "{}", kept.err);
    let got = client("mosquitto_sub", &["-p", &port, "-t", "a/#", "-q", "2", "-v", "-C", "1"], b"");
    assert_eq!(got.out, "a/b kept\n", "{} {}", got.err, server.said());

    let conf = "[text]\n\"/etc/conf\" = \"\"\"\nserver:\n  interface: 0.0.0.0\n  access-control: 0.0.0.0/0 allow\n  chroot: \"\"\n  username: \"\"\n\
        \x20 directory: \"/\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  module-config: \"iterator\"\n\
        \x20 local-data: \"here.example. IN A 192.0.2.7\"\nremote-control:\n  control-enable: no\n\"\"\"\n";
    let unbound = fresh("/usr/sbin/unbound", &["-d", "-c", "/etc/conf"], conf);
    let server = Server::start(&unbound, 53, "start of service", &["-m", "128M"]);
    let answer = address_of_here(&server);
    assert!(answer.ends_with(&[192, 0, 2, 7]), "{answer:02x?} {}", server.said());
}

#[test]
#[ignore = "wants packages that tests/run does not install"]
fn languages_with_files_of_their_own() {
    // What they open besides their libraries is found by watching them.
    let power = "1267650600228229401496703205376";
    for (program, arguments) in [
        ("/usr/bin/sbcl", &["--noinform", "--eval", "(progn (print (expt 2 100)) (exit))"][..]),
        ("/usr/bin/guile-3.0", &["-c", "(begin (display (expt 2 100)) (newline))"]),
        ("/usr/bin/swipl", &["-g", "X is 2**100, write(X), nl, halt"]),
    ] {
        let scratch = fresh(program, arguments, "");
        let run = scratch.run(&["fit", "app.toml", "--trace"]);
        assert_eq!(run.status, 0, "{program}: {}", run.err);
        says(&scratch, arguments, power);
    }
}

#[test]
#[ignore = "wants packages that tests/run does not install"]
fn git_in_a_shared_folder() {
    let scratch = fresh("/usr/bin/git", &[], "");
    assert_eq!(scratch.run(&["set", "app.toml", "fs.share=on"]).status, 0);
    let folder = scratch.path().join("repository");
    fs::create_dir(&folder).expect("a writable scratch folder");
    fs::write(folder.join("file"), "text").expect("a writable scratch folder");
    let folder = folder.to_str().expect("a path in UTF-8");
    let author = ["-c", "user.name=a", "-c", "user.email=a@b"];
    for arguments in [&["init", "-q"][..], &["add", "file"], &["commit", "-q", "-m", "first"]] {
        let run = client("git", &[&["-C", folder], &author[..], arguments].concat(), b"");
        assert_eq!(run.status, 0, "{}", run.err);
    }
    let share = format!("{folder}:/r");
    let log = ["run", "app.toml", "--share", &share, "--", "-C", "/r", "log", "--oneline"];
    let run = scratch.run(&log);
    assert!(run.status == 0 && run.out.ends_with(" first\n"), "{run:?}");
}

#[test]
#[ignore = "wants packages that tests/run does not install"]
fn servers_of_other_kinds() {
    let nats = fresh("/usr/sbin/nats-server", &[], "");
    let server = Server::start(&nats, 4222, "Server is ready", &["-m", "128M"]);
    let talk = b"CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\n";
    assert!(server.answers(talk, "MSG a 1 2\r\nhi"), "{}", server.said());

    let conf = "[text]\n\"/etc/prometheus.yml\" = \"\"\"\nglobal:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: self\n    static_configs:\n\
        \x20     - targets: ['127.0.0.1:9090']\n\"\"\"\n";
    let options = ["--config.file=/etc/prometheus.yml", "--storage.tsdb.path=/tmp/data"];
    let prometheus = fresh("/usr/bin/prometheus", &options, conf);
    let server = Server::start(&prometheus, 9090, "Server is ready", &["-m", "512M"]);
    // It asks itself once a second.
    let get = b"GET /api/v1/query?query=up HTTP/1.0\r\n\r\n";
    assert!(server.answers(get, "\"instance\":\"127.0.0.1:9090\""), "{}", server.said());

    let conf = "[text]\n\"/etc/named.conf\" = \"\"\"\noptions { directory \"/tmp\"; listen-on { any; }; recursion no; pid-file none; session-keyfile none; };\n\
        controls {};\nzone \"example\" { type master; file \"/etc/zone\"; };\n\"\"\"\n\"/etc/zone\" = \"\"\"\nexample. 60 SOA ns.example. a.example. 1 60 60 60 60\n\
        example. 60 NS here.example.\nhere.example. 60 A 192.0.2.7\n\"\"\"\n";
    let named = fresh("/usr/sbin/named", &["-g", "-c", "/etc/named.conf"], conf);
    let server = Server::start(&named, 53, "all zones loaded", &["-m", "256M"]);
    let answer = address_of_here(&server);
    assert!(answer.windows(4).any(|part| part == [192, 0, 2, 7]), "{answer:02x?} {}", server.said());
}
