//! Devices.
pub mod acpi_poweroff;
pub mod apic_timer;
pub mod isa_debug_exit;
pub mod rtc;
pub mod tsc;
