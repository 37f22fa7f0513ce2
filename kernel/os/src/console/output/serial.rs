//! A 16550 UART at COM1. Monitors emulate it with the FIFO ready and no baud rate to set, so there is nothing to initialise.

use x86_64::instructions::port::Port;

const DATA: u16 = 0x3f8;
const INTERRUPTS: u16 = DATA + 1;
const FIFO_CONTROL: u16 = DATA + 2;
const MODEM_CONTROL: u16 = DATA + 4;
const LINE_STATUS: u16 = DATA + 5;
/// The FIFO on, with an interrupt for 14 bytes, or some time after the last of fewer. Switching it on empties it.
const FIFO: u8 = 0b1100_0001;
/// The interrupt line of COM1.
const LINE: u32 = 4;
/// "Terminal ready", "request to send", and the output that lets interrupts through.
const ATTENTIVE: u8 = 0b1011;
const DATA_READY: u8 = 1 << 0;
const TRANSMITTER_EMPTY: u8 = 1 << 5;

fn line_status() -> u8 {
    // SAFETY: reading COM1's line status has no side effect but to clear error bits.
    unsafe { Port::new(LINE_STATUS).read() }
}

fn put(byte: u8) {
    while line_status() & TRANSMITTER_EMPTY == 0 {
        core::hint::spin_loop();
    }
    // SAFETY: COM1 belongs to this driver.
    unsafe { Port::new(DATA).write(byte) }
}

crate::member! {
    fn write(bytes: &[u8]) {
        for &byte in bytes {
            put(byte);
        }
    }

    fn read() -> Option<u8> {
        if line_status() & DATA_READY == 0 {
            return None;
        }
        // SAFETY: COM1 belongs to this driver.
        Some(unsafe { Port::new(DATA).read() })
    }

    fn listen(on: bool) -> Option<u32> {
        // SAFETY: COM1 belongs to this driver.
        unsafe {
            Port::new(MODEM_CONTROL).write(ATTENTIVE);
            Port::new(INTERRUPTS).write(u8::from(on));
        }
        Some(LINE)
    }

    fn hurry() {
        // SAFETY: COM1 belongs to this driver.
        unsafe { Port::new(FIFO_CONTROL).write(FIFO) }
    }
}
