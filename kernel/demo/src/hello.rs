//! A Linux program that says hello, repeats its arguments, and exits with the status that its first argument gives (0 without one).
//!
//! It runs on Linux as it does on Bespoke: two system calls and no libc.
#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};
use core::ffi::{CStr, c_char};

const WRITE: usize = 1;
const EXIT_GROUP: usize = 231;

fn system_call(number: usize, arguments: [usize; 3]) -> isize {
    let result;
    // SAFETY: `write` reads the given buffer, `exit_group` does not return; the instruction clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result
}

fn print(mut text: &[u8]) {
    while !text.is_empty() {
        match system_call(WRITE, [1, text.as_ptr() as usize, text.len()]) {
            written @ 1.. => text = text.get(written as usize..).unwrap_or(&[]),
            _ => exit(1),
        }
    }
}

fn exit(status: u8) -> ! {
    loop {
        system_call(EXIT_GROUP, [usize::from(status), 0, 0]);
    }
}

#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("mov rdi, rsp", "and rsp, -16", "call {}", "ud2", sym main)
}

/// `stack`: the argument count and the arguments, as the kernel leaves them.
extern "C" fn main(stack: *const usize) -> ! {
    print(b"Hello from a program and the operating system cut to fit it.\n");
    let mut status = 0;
    // SAFETY: the System V ABI's initial process stack.
    unsafe {
        let arguments = stack.add(1) as *const *const c_char;
        for index in 1..*stack {
            let argument = CStr::from_ptr(*arguments.add(index)).to_bytes();
            print(b"argument: ");
            print(argument);
            print(b"\n");
            if index == 1 {
                status = argument
                    .iter()
                    .fold(0u8, |value, digit| value.wrapping_mul(10).wrapping_add(digit.wrapping_sub(b'0')));
            }
        }
    }
    exit(status)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(101)
}
