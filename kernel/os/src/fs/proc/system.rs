//! The machine's files in `/proc`.

use crate::abi::process;
use crate::driver::tsc;
use crate::fs::file;
use crate::fs::synthetic::{Names, Text};
use crate::memory::frames;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::arch::x86_64::__cpuid;

crate::register!("process-file": fn(&mut Names) = { 20 => add });

fn add(names: &mut Names) {
    names.insert(b"cpuinfo", Rc::new(Text(cpu)));
    names.insert(b"meminfo", Rc::new(Text(memory)));
    names.insert(b"uptime", Rc::new(Text(uptime)));
    names.insert(b"loadavg", Rc::new(Text(|text| text.extend(b"0.00 0.00 0.00 1/1 1\n"))));
    names.insert(
        b"stat",
        Rc::new(Text(|text| text.extend(b"cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nbtime 0\n"))),
    );
    names.insert(
        b"version",
        Rc::new(Text(|text| text.extend(b"Linux version 6.1.0-bespoke (bespoke) #1 Bespoke\n"))),
    );
    names.insert(
        b"filesystems",
        Rc::new(Text(|text| text.extend(b"nodev\trootfs\nnodev\ttmpfs\nnodev\tproc\n"))),
    );
    names.insert(b"sys/kernel/osrelease", Rc::new(Text(|text| text.extend(b"6.1.0-bespoke\n"))));
    names.insert(
        b"sys/kernel/hostname",
        Rc::new(Text(|text| {
            text.extend_from_slice(process::hostname());
            text.push(b'\n');
        })),
    );
    names.insert(b"sys/kernel/ostype", Rc::new(Text(|text| text.extend(b"Linux\n"))));
    names.insert(b"sys/kernel/pid_max", Rc::new(Text(|text| text.extend(b"32768\n"))));
    names.insert(b"sys/vm/overcommit_memory", Rc::new(Text(|text| text.extend(b"0\n"))));
    names.insert(b"sys/vm/max_map_count", Rc::new(Text(|text| text.extend(b"65530\n"))));
    names.insert(b"sys/fs/pipe-max-size", Rc::new(Text(|text| text.extend(b"1048576\n"))));
    names.insert(b"sys/net/core/somaxconn", Rc::new(Text(|text| text.extend(b"4096\n"))));
    names.insert(
        b"sys/fs/file-max",
        Rc::new(Text(|text| text.extend(format!("{}\n", file::MOST).into_bytes()))),
    );
}

fn cpu(text: &mut Vec<u8>) {
    let vendor = __cpuid(0);
    let mut name = Vec::new();
    for word in [vendor.ebx, vendor.edx, vendor.ecx] {
        name.extend(word.to_le_bytes());
    }
    let mut model = Vec::new();
    for leaf in 0x8000_0002..=0x8000_0004 {
        let leaf = __cpuid(leaf);
        for word in [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx] {
            model.extend(word.to_le_bytes().into_iter().filter(|&byte| byte != 0));
        }
    }
    text.extend(b"processor\t: 0\nvendor_id\t: ");
    text.extend(name);
    text.extend(b"\nmodel name\t: ");
    text.extend(model.trim_ascii());
    text.extend(b"\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nflags\t\t: fpu tsc msr cx8 cmov fxsr sse sse2 syscall nx lm\n\n");
}

fn memory(text: &mut Vec<u8>) {
    let (free, total) = frames::counts();
    let lines = format!(
        "MemTotal:       {:8} kB\nMemFree:        {1:8} kB\nMemAvailable:   {1:8} kB\nBuffers:               0 kB\n\
         Cached:                0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\nHugepagesize:       2048 kB\n",
        total * 4,
        free * 4,
    );
    text.extend(lines.into_bytes());
}

fn uptime(text: &mut Vec<u8>) {
    let hundredths = tsc::now() / 10_000_000;
    text.extend(format!("{0}.{1:02} 0.00\n", hundredths / 100, hundredths % 100).into_bytes());
}
