//! When a thread's turn ends against its will.
pub mod cooperative;
pub mod preemptive;

crate::choice! {
    /// A thread runs, or begins to, while others are ready.
    pub fn contended();
}
