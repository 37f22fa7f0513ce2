//! Devices.
pub mod acpi_poweroff;
pub mod apic;
pub mod apic_timer;
pub mod block;
pub mod control;
pub mod ioapic;
pub mod isa_debug_exit;
pub mod pci;
pub mod rtc;
pub mod tsc;
pub mod virtio;
pub mod virtio_blk;
pub mod virtio_mmio;
pub mod virtio_net;
pub mod virtio_pci;
pub mod virtio_requests;
pub mod virtio_rng;
