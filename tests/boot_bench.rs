//! Boot beside the floor, and the build: `cargo bench -p bespoke-tests --bench boot`.
//!
//! The floor is a PVH kernel that only leaves: what QEMU and the firmware cost by themselves. Runs alternate, so that whatever else the machine does
//! falls on both alike; compare the ratio, not the milliseconds. Whole processes are timed.

use bespoke_kernel::run::{self, Accel, Console, Options, RunError};
use bespoke_tests::{bespoke, workspace};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 31;

/// An ELF with a PVH note and two instructions: `mov dx, EXIT_PORT; out dx, al`.
fn floor_kernel() -> Vec<u8> {
    const BASE: u64 = 0x10_0000;
    let [low, high] = run::EXIT_PORT.to_le_bytes();
    let code = [0x66, 0xba, low, high, 0xee];
    let mut note = Vec::new();
    for word in [4u32, 4, 18] {
        note.extend(word.to_le_bytes()); // sizes of name and entry, XEN_ELFNOTE_PHYS32_ENTRY
    }
    note.extend(b"Xen\0");
    note.extend((BASE as u32).to_le_bytes());
    let (note_at, code_at) = (64 + 2 * 56, 64 + 2 * 56 + note.len() as u64);
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2u16, 62].iter().flat_map(|half| half.to_le_bytes()));
    elf.extend(1u32.to_le_bytes());
    elf.extend([BASE, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    elf.extend(0u32.to_le_bytes());
    elf.extend([64u16, 56, 2, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    for (kind, flags, offset, address, size) in
        [(1u32, 5u32, code_at, BASE, code.len() as u64), (4, 4, note_at, 0, note.len() as u64)]
    {
        elf.extend([kind, flags].iter().flat_map(|word| word.to_le_bytes()));
        elf.extend([offset, address, address, size, size, 4].iter().flat_map(|word| word.to_le_bytes()));
    }
    elf.extend(note);
    elf.extend(code);
    elf
}

/// Processor time of the children so far, from `/proc/self/stat` (fields 16 and 17, in ticks of 10 ms).
fn children_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    Duration::from_millis(10 * (ticks(13) + ticks(14)))
}

struct Series {
    wall: Vec<Duration>,
    processor: Duration,
}

impl Series {
    fn median(&mut self) -> f64 {
        self.wall.sort();
        self.wall[self.wall.len() / 2].as_secs_f64() * 1e3
    }
}

fn measure(series: &mut Series, run: impl FnOnce()) {
    let (start, before) = (Instant::now(), children_time());
    run();
    series.wall.push(start.elapsed());
    series.processor += children_time() - before;
}

fn main() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let floor = folder.path().join("floor.img");
    fs::write(&floor, floor_kernel()).expect("a writable scratch folder");
    let hello = folder.path().join("hello.img");
    build("presets/hello.toml", &hello);

    let options =
        Options { memory: 4 << 20, accel: Accel::Tcg, console: Console::Piped, ..Options::default() };
    let boot = |image: &Path| match run::run(image, &options) {
        // The floor leaves without a word.
        Ok(_) | Err(RunError::Crashed { .. }) => {}
        Err(error) => panic!("{error}"),
    };
    let mut all = [(); 2].map(|()| Series { wall: Vec::new(), processor: Duration::ZERO });
    for _ in 0..RUNS {
        for (series, image) in all.iter_mut().zip([&floor, &hello]) {
            measure(series, || boot(image));
        }
    }
    let [floor_series, hello_series] = &mut all;
    let (floor_wall, hello_wall) = (floor_series.median(), hello_series.median());
    let per_run = |series: &Series| series.processor.as_secs_f64() * 1e3 / RUNS as f64;
    let (floor_cpu, hello_cpu) = (per_run(floor_series), per_run(hello_series));
    println!("boot, whole QEMU process, -M microvm -m 4M, {RUNS} runs each in turn");
    println!("  floor  {floor_wall:7.1} ms   {floor_cpu:7.1} ms of processor time");
    println!("  hello  {hello_wall:7.1} ms   {hello_cpu:7.1} ms of processor time   {} bytes", size(&hello));
    println!("  ratio  {:7.2}      {:7.2}", hello_wall / floor_wall, hello_cpu / floor_cpu);

    println!("\nbuild, process start to file written, median of {RUNS}");
    // Those whose program comes along.
    for name in ["hello", "everything"] {
        let preset = format!("presets/{name}.toml");
        let image = folder.path().join("built.img");
        let mut series = Series { wall: Vec::new(), processor: Duration::ZERO };
        for _ in 0..RUNS {
            measure(&mut series, || build(&preset, &image));
        }
        println!("  {name:<12} {:7.1} ms   {} bytes", series.median(), size(&image));
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn build(config: &str, image: &Path) {
    let mut command = Command::new(bespoke());
    command.current_dir(workspace()).args(["build", config, "-o"]).arg(image).stdout(Stdio::null());
    assert!(command.status().expect("bespoke runs").success(), "{config} does not build");
}
