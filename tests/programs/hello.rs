//! Threads, a mutex, a channel and a sleep of a static Rust program.
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

fn main() {
    let total = Arc::new(Mutex::new(0));
    let (send, receive) = mpsc::channel();
    let threads: Vec<_> = (1..=4u64)
        .map(|n| {
            let (total, send) = (total.clone(), send.clone());
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(5 * n));
                *total.lock().unwrap() += n;
                send.send(n).unwrap();
            })
        })
        .collect();
    drop(send);
    let started = Instant::now();
    let order: Vec<u64> = receive.iter().collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    println!("hello from Rust, threads say {order:?}, together {}", total.lock().unwrap());
    std::process::exit(5)
}
