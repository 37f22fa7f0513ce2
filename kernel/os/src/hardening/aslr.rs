//! Address space layout randomisation for the program.

use crate::abi::entropy;

crate::register!("randomise": fn() -> u64 = { 10 => random });

fn random() -> u64 {
    let mut bytes = [0u8; 8];
    entropy::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
