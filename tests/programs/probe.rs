//! Makes every system call with several kinds of nonsense, and leaves with status 77 if it is still there.
//!
//! No libc: it must run whatever is off. Skipped are calls that end or suspend the caller by design.
#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};

const MMAP: usize = 9;
const MPROTECT: usize = 10;
const ENOSYS: isize = -38;
const EXIT_GROUP: usize = 231;
/// What ends or suspends the caller by design: read (of the console), rt_sigreturn, select, pause, alarm, clone, exit, kill, rt_sigsuspend, tkill,
/// exit_group, tgkill, pselect6, ppoll, clone3, epoll_pwait2, msgrcv.
const SKIPPED: [usize; 17] = [0, 15, 23, 34, 37, 56, 60, 62, 70, 130, 200, EXIT_GROUP, 234, 270, 271, 435, 441];

fn call(number: usize, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: whatever the call does to this process is what the probe is about.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("and rsp, -16", "call {}", "ud2", sym main)
}

static mut SCRATCH: [u8; 65536] = [0; 65536];

extern "C" fn main() -> ! {
    let scratch = &raw mut SCRATCH as usize;
    let page = (scratch + 8191) & !4095;
    let kernel = 0xffff_ffff_8010_0000;
    let patterns: [[usize; 6]; 9] = [
        [0; 6],
        [usize::MAX; 6],
        [1; 6],
        [page; 6],
        [kernel; 6],
        [3, page, 64, 0, 0, 0],
        [usize::MAX - 99, page, page, 0, 0, 0],
        [1 << 46, 1 << 40, 7, 0x22, usize::MAX, 0],
        [page, 100, 0, page, 1, 1],
    ];
    let mut answered = 0;
    for pattern in patterns {
        for number in (0..470).chain([500, 511, 512, 513, 1 << 20, usize::MAX]) {
            if SKIPPED.contains(&number) {
                continue;
            }
            // What earlier calls wrote must not become a time to sleep. A call may have unmapped the page: ask for it again, if that is to be had.
            // Where nothing is mapped nothing is unmapped, only protected.
            let mapped = call(MMAP, [page, 4096, 3, 0x32, usize::MAX, 0]);
            if mapped == ENOSYS {
                call(MPROTECT, [page, 4096, 3, 0, 0, 0]);
            }
            if mapped == page as isize || mapped == ENOSYS {
                // SAFETY: the page is there, to be written to.
                unsafe { core::ptr::write_bytes(page as *mut u8, 0, 4096) };
            }
            let result = call(number, pattern);
            // Linux' errors end at 133.
            if (-4095..-133).contains(&result) {
                call(EXIT_GROUP, [78, 0, 0, 0, 0, 0]);
            }
            answered += usize::from(result != ENOSYS);
        }
    }
    call(EXIT_GROUP, [if answered > 0 { 77 } else { 79 }, 0, 0, 0, 0, 0]);
    loop {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        call(EXIT_GROUP, [80, 0, 0, 0, 0, 0]);
    }
}
