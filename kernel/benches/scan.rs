//! How long a scan takes: a static program should be done within 200 ms, a large one with its libraries within 1 s.
//!
//! The programs are Debian's; one that is not installed is left out.

use std::path::Path;

use bespoke_kernel::Payload;
use bespoke_kernel::scan::{self, Input};
use bespoke_model::{Config, Program};
use divan::Bencher;

const PROGRAMS: [&str; 4] =
    ["/bin/busybox", "/usr/bin/lua5.4", "/usr/bin/redis-server", "/usr/bin/python3.11"];

fn main() {
    divan::main();
}

#[divan::bench(args = PROGRAMS.into_iter().filter(|path| Path::new(path).exists()), sample_count = 20)]
fn program_and_libraries(bencher: Bencher<'_, '_>, path: &str) {
    let mut config = Config::new("");
    config.set_program(&Program { path: path.into(), ..Program::default() });
    let payload = Payload::load(&config, Path::new("/")).expect("a program with its libraries");
    let files = payload.elf_files();
    let inputs: Vec<Input<'_>> =
        files.iter().map(|(name, bytes)| Input { name, bytes, whole: false }).collect();
    bencher.bench_local(|| scan::scan(&inputs, &["/dev/null", "/proc"], &|_, _| {}).expect("programs"));
}
