//! Bespoke beside a trimmed Linux guest: the same QEMU, machine and programs, in turn. Started by `tests/beside-linux`, which builds Linux.

mod boot;
mod guest;
mod micro;
mod servers;
mod table;

use bespoke_kernel::run::Machine;

const USAGE: &str = "usage: beside [--machine microvm|q35] [--rounds N] [boot | micro | servers]...";

fn main() {
    let mut machine = Machine::Microvm;
    let mut rounds = 5;
    let mut wanted = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--machine" => {
                machine = match arguments.next().as_deref() {
                    Some("microvm") => Machine::Microvm,
                    Some("q35") => Machine::Q35,
                    _ => usage(),
                }
            }
            "--rounds" => match arguments.next().and_then(|text| text.parse().ok()) {
                Some(count @ 1..) => rounds = count,
                _ => usage(),
            },
            "boot" | "micro" | "servers" => wanted.push(argument),
            _ => usage(),
        }
    }
    let wants = |section: &str| wanted.is_empty() || wanted.iter().any(|name| name == section);
    println!("{machine:?}, {} MiB, translated by QEMU", guest::MEMORY >> 20);
    if wants("boot") {
        boot::run(machine, rounds);
    }
    if wants("micro") {
        micro::run(machine, rounds);
    }
    if wants("servers") {
        servers::run(machine, rounds);
    }
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    std::process::exit(2)
}
