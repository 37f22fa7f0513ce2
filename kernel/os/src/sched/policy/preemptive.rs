//! Turns of limited length, ended by the timer's interrupt. Kernel code is never interrupted: a turn ends on the way back to the program.

use crate::driver::{apic_timer, tsc};
use crate::sched::thread;
use crate::sched::trap::{self, Frame};
use core::sync::atomic::{AtomicU64, Ordering};

crate::register!("tick": fn() = { 20 => tick });
crate::register!("attention": fn(&mut Frame) = { 10 => attend });

crate::param! {
    /// Nanoseconds of a turn.
    static SLICE: u64 = "slice"
}

/// When the turn is over; zero while nobody else is ready.
static TURN_ENDS: AtomicU64 = AtomicU64::new(0);

crate::member! {
    fn contended() {
        let ends = tsc::now() + SLICE.get();
        TURN_ENDS.store(ends, Ordering::Relaxed);
        apic_timer::arm(ends);
    }
}

fn tick() {
    let ends = TURN_ENDS.load(Ordering::Relaxed);
    if ends == 0 || !thread::is_contended() {
        TURN_ENDS.store(0, Ordering::Relaxed);
    } else if tsc::now() < ends {
        apic_timer::arm(ends);
    } else {
        trap::raise_attention();
    }
}

fn attend(_: &mut Frame) {
    let ends = TURN_ENDS.load(Ordering::Relaxed);
    if ends != 0 && tsc::now() >= ends && thread::is_contended() {
        TURN_ENDS.store(0, Ordering::Relaxed);
        thread::give_way();
    }
}
