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
    pub fn borrow(&self) -> RefMut<'_, T> {
        match self.0.try_borrow_mut() {
            Ok(value) => value,
            Err(_) => borrowed_twice(),
        }
    }
}

/// Says where the second borrow is by its address, which `FILE.sym` tells the place of: a file's name and a line for each borrow, there for a mistake that
/// tests would have found, would be a hundredth of a small image.
#[cold]
#[unsafe(naked)]
extern "C" fn borrowed_twice() -> ! {
    core::arch::naked_asm!("mov rdi, [rsp]", "and rsp, -16", "call {tell}", tell = sym tell)
}

extern "C" fn tell(address: usize) -> ! {
    panic!("state is borrowed twice at {address:#x}")
}
