//! The CMOS real-time clock (MC146818).

use x86_64::instructions::port::Port;

fn register(index: u8) -> u8 {
    // SAFETY: the index and data ports of the CMOS clock belong to this driver; reading changes nothing.
    unsafe {
        Port::new(0x70).write(index);
        Port::new(0x71).read()
    }
}

crate::register!("wall-clock": fn() -> u64 = { 10 => seconds });

/// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let of_era = year % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Seconds since 1970-01-01T00:00:00Z; zero where there is no clock.
fn seconds() -> u64 {
    const FIELDS: [u8; 6] = [0, 2, 4, 7, 8, 9]; // seconds, minutes, hours, day, month, year
    let read = || FIELDS.map(register);
    let mut fields = read();
    // Read until two readings agree: the clock may be updating itself. A missing device reads all ones.
    for _ in 0..1000 {
        let again = read();
        if again == fields {
            break;
        }
        fields = again;
    }
    if fields[4] == 0xff {
        return 0;
    }
    let status = register(0x0b);
    let afternoon = fields[2] & 0x80 != 0;
    fields[2] &= 0x7f;
    if status & 0x04 == 0 {
        fields = fields.map(|bcd| (bcd >> 4) * 10 + (bcd & 0x0f));
    }
    let [second, minute, mut hour, day, month, year] = fields.map(u64::from);
    if status & 0x02 == 0 {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    ((days(2000 + year, month.max(1), day.max(1)) * 24 + hour) * 60 + minute) * 60 + second
}
