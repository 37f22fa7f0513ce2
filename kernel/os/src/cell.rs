//! State of a component.

use core::cell::{RefCell, RefMut};

/// A `static` that kernel code may change.
///
/// There is one CPU and kernel code runs with interrupts off, so the only rule left is Rust's own: one borrow at a time,
/// which `RefCell` checks. Nothing may be borrowed across a thread switch or an access to the program's memory (which may fault).
pub struct KernelCell<T>(RefCell<T>);

// SAFETY: see the type's documentation; a second borrow panics instead of racing.
unsafe impl<T> Sync for KernelCell<T> {}

impl<T> KernelCell<T> {
    pub const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    #[inline]
    #[track_caller]
    pub fn borrow(&self) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }
}
