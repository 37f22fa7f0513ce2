//! Physical frames, the kernel's heap, page tables and the program's address space.
pub mod advice;
pub mod brk;
pub mod file_pages;
pub mod frames;
pub mod heap;
pub mod lock;
pub mod mmap;
pub mod mremap;
pub mod overcommit;
pub mod paging;
pub mod protect;
pub mod resident;
pub mod space;
pub mod user;
