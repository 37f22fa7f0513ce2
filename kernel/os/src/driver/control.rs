//! Where the runner reaches the program: a 16550 UART at COM2, which is there when somebody wants to.
//!
//! The guest writes one byte, [`READY`], when it listens. A byte of 1 to 64 is a signal for the program; [`SIZE`] is followed by the rows
//! and columns of the terminal, two bytes each, low byte first.

use super::{apic, ioapic};
use crate::boot::pvh::StartInfo;
use crate::cell::KernelCell;
use crate::sched::post;
use crate::sched::thread::Idle;
use crate::sched::trap::FIRST_INTERRUPT;
use core::sync::atomic::{AtomicBool, Ordering};
use x86_64::instructions::port::Port;

const VECTOR: u64 = FIRST_INTERRUPT + 3;

crate::register!("init": fn(&StartInfo) = { 87 => init });
crate::register!("interrupt": fn() = { VECTOR => interrupt });
crate::register!("idle": fn() -> Idle = { 40 => idle });

// Told of the terminal's new rows and columns.
crate::hook!(fn resizes() -> "terminal-size": fn(u16, u16));

const DATA: u16 = 0x2f8;
const INTERRUPTS: u16 = DATA + 1;
const MODEM_CONTROL: u16 = DATA + 4;
const LINE_STATUS: u16 = DATA + 5;
const SCRATCH: u16 = DATA + 7;
/// The interrupt line of COM2.
const LINE: u32 = 3;

const READY: u8 = b'R';
const SIZE: u8 = 0x80;

static IS_THERE: AtomicBool = AtomicBool::new(false);
/// What has come of a message that is longer than a byte, and how much of it.
static PARTIAL: KernelCell<([u8; 4], Option<usize>)> = KernelCell::new(([0; 4], None));

fn read(port: u16) -> u8 {
    // SAFETY: COM2 belongs to this driver; where there is none, ones are read.
    unsafe { Port::new(port).read() }
}

fn write(port: u16, value: u8) {
    // SAFETY: as above.
    unsafe { Port::new(port).write(value) }
}

fn init(_: &StartInfo) {
    // A register that keeps what is written to it, where there is one.
    write(SCRATCH, 0x5a);
    if read(SCRATCH) != 0x5a || !ioapic::route(LINE, VECTOR) {
        return;
    }
    write(MODEM_CONTROL, 0b1011);
    write(INTERRUPTS, 1);
    IS_THERE.store(true, Ordering::Relaxed);
    write(DATA, READY);
}

fn idle() -> Idle {
    if IS_THERE.load(Ordering::Relaxed) { Idle::Interrupt } else { Idle::Never }
}

fn interrupt() {
    while read(LINE_STATUS) & 1 != 0 {
        receive(read(DATA));
    }
    apic::end_of_interrupt();
}

fn receive(byte: u8) {
    let (message, length) = &mut *PARTIAL.borrow();
    match *length {
        None => match byte {
            1..=64 => post::send_to_process(u32::from(byte)),
            SIZE => *length = Some(0),
            _ => {}
        },
        Some(at) => {
            message[at] = byte;
            *length = Some(at + 1).filter(|&length| length < message.len());
            if length.is_none() {
                let [rows, more_rows, columns, more_columns] = *message;
                for resize in resizes() {
                    (resize.item)(
                        u16::from_le_bytes([rows, more_rows]),
                        u16::from_le_bytes([columns, more_columns]),
                    );
                }
            }
        }
    }
}
