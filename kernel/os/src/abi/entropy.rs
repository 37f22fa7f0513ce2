//! Entropy for seeds.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc};

fn rdrand() -> Option<u64> {
    // Ten attempts, by Intel's guidance (SDM vol. 1, section 7.3.17.1).
    (0..10).find_map(|_| {
        let (value, ok): (u64, u8);
        // SAFETY: called on processors that have the instruction only.
        unsafe { asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack)) };
        (ok != 0).then_some(value)
    })
}

/// Mixes the cycle counter's low bits over many reads, by the steps and the constant of Maiga's mxm.
fn jitter() -> u64 {
    const ODD: u64 = 0xbea2_25f9_eb34_556d;
    let mut state = 0u64;
    for _ in 0..64 {
        // SAFETY: every x86-64 processor has the counter.
        state = (state.rotate_left(7) ^ unsafe { _rdtsc() }).wrapping_mul(ODD);
    }
    state = (state ^ state >> 32).wrapping_mul(ODD);
    state ^ state >> 29
}

// Adds other sources to a seed, none of which has to be trusted.
crate::hook!(fn sources() -> "entropy": fn(&mut [u8]));

/// Fills a seed.
pub fn fill(seed: &mut [u8]) {
    let has_rdrand = __cpuid(1).ecx & 1 << 30 != 0;
    for chunk in seed.chunks_mut(8) {
        let word = has_rdrand.then(rdrand).flatten().unwrap_or(0) ^ jitter();
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    for source in sources() {
        (source.item)(seed);
    }
}
