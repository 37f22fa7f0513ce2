//! `println!` for the kernel's own messages.

use core::fmt;

// Writes a message where more than the device decides how it looks.
crate::hook!(fn writers() -> "message": fn(&[u8]));

struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match writers().first() {
            Some(writer) => (writer.item)(text.as_bytes()),
            None => super::output::write(text.as_bytes()),
        }
        Ok(())
    }
}

pub fn print(arguments: fmt::Arguments<'_>) {
    // The console cannot fail.
    let _ = fmt::Write::write_fmt(&mut Console, arguments);
}

#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => { $crate::console::print::print(format_args!("{}\n", format_args!($($arg)*))) };
}
