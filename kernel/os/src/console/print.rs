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

/// Text in a message. Unlike a plain `str` it cannot be padded, for which no code comes in. For the same reason messages have their numbers
/// as `usize`: the code that writes one type's digits is enough.
pub struct Text<'a>(pub &'a str);

impl<'a> Text<'a> {
    /// Text from a table that the composer made.
    ///
    /// # Safety
    /// The composer made it of UTF-8.
    pub unsafe fn of_composer(bytes: &'a [u8]) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { core::str::from_utf8_unchecked(bytes) })
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
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
