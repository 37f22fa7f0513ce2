//! Servers under load: the same programs on every guest, with their own clients. All guests are up at once, and the load goes to them in turn.

use crate::guest::{Boot, SYSTEMS, Work};
use crate::table::{Table, figure, median};
use bespoke_kernel::run::{Machine, Running};
use bespoke_tests::workloads::{answers, drain};
use bespoke_tests::{PATIENCE, free_port, program, workspace};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// A client, and how many requests it makes.
struct Load {
    name: &'static str,
    requests: u64,
    /// The client's command line, with `PORT` and `REQUESTS` in the place of numbers.
    client: &'static str,
}

/// A server and the loads on it.
struct Service {
    work: Work,
    port: u16,
    /// What it is asked, and what is in its answer.
    ask: &'static str,
    reply: &'static str,
    loads: &'static [Load],
}

const HTTP: &str = "GET /kib HTTP/1.0\r\n\r\n";

fn services(folder: &Path) -> Vec<Service> {
    let kib = folder.join("kib");
    fs::write(&kib, [b'k'; 1024]).expect("a writable scratch folder");
    // nginx looks its user up.
    let (passwd, group) = (folder.join("passwd"), folder.join("group"));
    fs::write(&passwd, "nobody:x:65534:65534::/:/bin/false\n")
        .and_then(|()| fs::write(&group, "nogroup:x:65534:\n"))
        .expect("a writable scratch folder");
    let nginx = workspace().join("tests/linux/nginx.conf");
    let redis = ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", "/tmp"];
    vec![
        Service {
            work: Work::program(Path::new("/usr/bin/redis-server"), &redis),
            port: 6379,
            ask: "PING\r\n",
            reply: "+PONG",
            loads: &[
                Load {
                    name: "Redis, GET",
                    requests: 20_000,
                    client: "redis-benchmark -p PORT -t get -n REQUESTS -c 50 -q",
                },
                Load {
                    name: "Redis, SET",
                    requests: 20_000,
                    client: "redis-benchmark -p PORT -t set -n REQUESTS -c 50 -q",
                },
                Load {
                    name: "Redis, GET, 16 sent at once",
                    requests: 160_000,
                    client: "redis-benchmark -p PORT -t get -n REQUESTS -c 50 -P 16 -q",
                },
            ],
        },
        Service {
            work: Work::program(Path::new("/usr/sbin/nginx"), &["-e", "stderr", "-c", "/etc/nginx.conf"])
                .file("/etc/nginx.conf", &nginx)
                .file("/etc/passwd", &passwd)
                .file("/etc/group", &group)
                .file("/www/kib", &kib),
            port: 80,
            ask: HTTP,
            reply: "200 OK",
            loads: &[
                Load {
                    name: "nginx, 1 KiB, connections kept",
                    requests: 10_000,
                    client: "ab -q -k -n REQUESTS -c 10 http://127.0.0.1:PORT/kib",
                },
                Load {
                    name: "nginx, 1 KiB, a connection each",
                    requests: 3_000,
                    client: "ab -q -n REQUESTS -c 10 http://127.0.0.1:PORT/kib",
                },
            ],
        },
        Service {
            work: Work::program(&program("kib.go", "go"), &[]),
            port: 80,
            ask: HTTP,
            reply: "200 OK",
            loads: &[Load {
                name: "Go net/http, 1 KiB, connections kept",
                requests: 6_000,
                client: "ab -q -k -n REQUESTS -c 10 http://127.0.0.1:PORT/kib",
            }],
        },
    ]
}

/// A guest that serves.
struct Serving {
    running: Running,
    port: u16,
}

/// What a load took.
struct Taken {
    /// Requests in a second.
    rate: f64,
    /// Microseconds of the guest's processor for a request.
    processor: f64,
}

/// Microseconds that the guest's processor has run: the thread of QEMU that executes it (`/proc/PID/task/TID/schedstat`, nanoseconds).
fn processor_time(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("QEMU runs");
    let of_processor = |task: &Path| {
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        name.contains("CPU").then(|| fs::read_to_string(task.join("schedstat")).unwrap_or_default())
    };
    let nanoseconds: f64 = tasks
        .filter_map(|task| of_processor(&task.ok()?.path()))
        .filter_map(|stat| stat.split(' ').next()?.parse::<f64>().ok())
        .sum();
    nanoseconds / 1e3
}

/// Puts a load on a guest.
fn load(serving: &Serving, load: &Load) -> Taken {
    let line = load
        .client
        .replace("PORT", &serving.port.to_string())
        .replace("REQUESTS", &load.requests.to_string());
    let mut words = line.split(' ');
    let client = words.next().expect("a command");
    let before = processor_time(serving.running.id());
    let started = Instant::now();
    let output =
        Command::new(client).args(words).output().unwrap_or_else(|error| panic!("{client}: {error}"));
    let elapsed = started.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}: {said}{}", String::from_utf8_lossy(&output.stderr));
    // ab counts those that failed and ends well.
    assert!(
        !said.contains("Failed requests") || said.contains("Failed requests:        0"),
        "{line}: {said}"
    );
    let requests = load.requests as f64;
    Taken { rate: requests / elapsed, processor: (processor_time(serving.running.id()) - before) / requests }
}

/// Measures and prints.
pub fn run(machine: Machine, rounds: usize) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut rates =
        Table::new(&["requests in a second", "Linux", "ring 3", "ours / Linux", "ring 0", "ours / Linux"]);
    let mut costs = Table::new(&[
        "µs of processor a request",
        "Linux",
        "ring 3",
        "Linux / ours",
        "ring 0",
        "Linux / ours",
    ]);
    for service in services(folder.path()) {
        let serving = SYSTEMS.map(|system| {
            let guest = service.work.guest(system, folder.path());
            let port = free_port();
            let mut running =
                guest.start(&Boot { machine, port: Some((port, service.port)), ..Boot::default() });
            let console = drain(&mut running);
            let ready =
                answers(port, service.ask.as_bytes(), service.reply, PATIENCE, || console.is_finished());
            assert!(ready, "port {port} does not answer {:?}", service.ask);
            Serving { running, port }
        });
        for one in service.loads {
            let mut taken = [(); 3].map(|()| Vec::new());
            for round in 0..=rounds {
                for (serving, taken) in serving.iter().zip(&mut taken) {
                    let figures = load(serving, one);
                    // The first is for QEMU's translations, and for the program's own memory.
                    if round > 0 {
                        taken.push(figures);
                    }
                }
            }
            let middle =
                |of: fn(&Taken) -> f64| taken.each_ref().map(|all| median(all.iter().map(of).collect()));
            let rate = middle(|taken| taken.rate);
            let cost = middle(|taken| taken.processor);
            let row = |values: [f64; 3], ratios: [f64; 2]| {
                vec![
                    one.name.to_owned(),
                    figure(values[0]),
                    figure(values[1]),
                    format!("{:.2}", ratios[0]),
                    figure(values[2]),
                    format!("{:.2}", ratios[1]),
                ]
            };
            rates.row(row(rate, [rate[1] / rate[0], rate[2] / rate[0]]));
            costs.row(row(cost, [cost[0] / cost[1], cost[0] / cost[2]]));
        }
        for one in &serving {
            one.running.stopper().stop();
        }
    }
    println!("\nservers; median of {rounds} loads in turn; above 1, Bespoke is ahead\n");
    rates.print();
    println!();
    costs.print();
}
