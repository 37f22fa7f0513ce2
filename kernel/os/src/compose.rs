//! The seam to the composer: registrations, choices, parameters, layout and tables, all by symbol and section name.
//! `ARCHITECTURE.md` lists the names; nothing here knows which components exist.

use core::cell::UnsafeCell;

/// One registration: `key` orders it and says what it serves, `item` is a pointer-sized thing.
#[repr(C)]
pub struct Entry<T> {
    pub key: u64,
    pub item: T,
}

// SAFETY: entries are immutable, made of a number and a function pointer.
unsafe impl<T: Copy> Sync for Entry<T> {}

/// `register!("syscall": Handler = { 0 => read, 19 => readv });` adds entries to a hook in the name of this module's component.
#[macro_export]
macro_rules! register {
    ($hook:literal: $ty:ty = { $($key:expr => $item:expr),+ $(,)? }) => {
        const _: () = {
            const COUNT: usize = [$($key as u64),+].len();
            #[used]
            #[unsafe(link_section = concat!(".bespoke.hook:", $hook, ":", module_path!()))]
            static ENTRIES: [$crate::compose::Entry<$ty>; COUNT] =
                [$($crate::compose::Entry { key: $key as u64, item: $item }),+];
        };
    };
}

/// `hook!(fn entries() -> "init": fn());` declares the accessor of a hook: what all chosen components registered, by key.
#[macro_export]
macro_rules! hook {
    ($vis:vis fn $name:ident() -> $hook:literal: $ty:ty) => {
        #[inline]
        $vis fn $name() -> &'static [$crate::compose::Entry<$ty>] {
            #[allow(improper_ctypes)]
            unsafe extern "C" {
                #[link_name = concat!("bespoke.hook.start:", $hook)]
                static START: $crate::compose::Bound;
                #[link_name = concat!("bespoke.hook.end:", $hook)]
                static END: $crate::compose::Bound;
            }
            // SAFETY: the composer places the hook's entries, of exactly this layout, between the two symbols.
            unsafe {
                let start = &raw const START as *const $crate::compose::Entry<$ty>;
                let bytes = (&raw const END as usize) - start as usize;
                core::slice::from_raw_parts(start, bytes / size_of::<$crate::compose::Entry<$ty>>())
            }
        }
    };
}

/// `choice! { pub fn now() -> u64; }` declares what each member of the choice named by this module provides.
#[macro_export]
macro_rules! choice {
    ($($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)+) => {
        $($(#[$doc])* #[inline] $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            unsafe extern "Rust" {
                #[link_name = concat!("bespoke.choice:", module_path!(), ":", stringify!($name))]
                fn chosen($($arg: $ty),*) $(-> $ret)?;
            }
            // SAFETY: the composer binds the symbol to the chosen member's `member!` function of this very signature.
            unsafe { chosen($($arg),*) }
        })+
    };
}

/// `member! { fn now() -> u64 { … } }` defines this module's side of the choice it belongs to.
#[macro_export]
macro_rules! member {
    ($($(#[$attr:meta])* fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? $body:block)+) => {
        $($(#[$attr])*
        #[unsafe(export_name = concat!("bespoke.impl:", module_path!(), ":", stringify!($name)))]
        fn $name($($arg: $ty),*) $(-> $ret)? $body)+
    };
}

/// A parameter: a word (or two, for a string) that the composer fills in.
#[repr(transparent)]
pub struct Param<T: Copy>(UnsafeCell<T>);

// SAFETY: only ever read at run time.
unsafe impl<T: Copy> Sync for Param<T> {}

impl Param<u64> {
    /// Filled in by the composer.
    pub const fn unset() -> Self {
        Self(UnsafeCell::new(0))
    }
}

impl Param<&'static str> {
    /// Filled in by the composer.
    pub const fn unset() -> Self {
        Self(UnsafeCell::new(""))
    }
}

impl Param<[u8; 16]> {
    /// Filled in by the composer.
    pub const fn unset() -> Self {
        Self(UnsafeCell::new([0; 16]))
    }
}

impl<T: Copy> Param<T> {
    /// The value that the image was built with.
    #[inline]
    pub fn get(&self) -> T {
        // SAFETY: never written at run time. Volatile, because the object's own bytes are not the value.
        unsafe { self.0.get().read_volatile() }
    }
}

/// `param!(static GROW: u64 = "grow");` declares the storage of a parameter of this module's component.
#[macro_export]
macro_rules! param {
    ($(#[$doc:meta])* $vis:vis static $name:ident: $ty:ty = $param:literal) => {
        $(#[$doc])*
        #[unsafe(export_name = concat!("bespoke.param:", module_path!(), ":", $param))]
        #[unsafe(link_section = concat!(".bespoke.param:", module_path!(), ":", $param))]
        $vis static $name: $crate::compose::Param<$ty> = $crate::compose::Param::<$ty>::unset();
    };
}

/// A symbol whose address is what matters.
#[repr(C)]
pub struct Bound([u8; 0]);

/// `layout_symbol!("text.start")` is the virtual address of a bound of the image's layout.
#[macro_export]
macro_rules! layout_symbol {
    ($what:literal) => {{
        unsafe extern "C" {
            #[link_name = concat!("bespoke.layout:", $what)]
            static BOUND: $crate::compose::Bound;
        }
        // Only the address is taken.
        &raw const BOUND as usize as u64
    }};
}

/// `table!("components")` is a table that the composer makes because this code asks for it.
#[macro_export]
macro_rules! table {
    ($what:literal) => {{
        unsafe extern "C" {
            #[link_name = concat!("bespoke.table:", $what)]
            static START: $crate::compose::Bound;
            #[link_name = concat!("bespoke.table.end:", $what)]
            static END: $crate::compose::Bound;
        }
        let start = &raw const START as *const u8;
        let end = &raw const END as *const u8;
        // SAFETY: the composer places the table's bytes between the two symbols, in read-only memory.
        unsafe { core::slice::from_raw_parts(start, end as usize - start as usize) }
    }};
}
