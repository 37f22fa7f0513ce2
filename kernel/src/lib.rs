//! The build backend of Bespoke: from a resolved configuration to a bootable file, and its run.
//!
//! [`Os::embedded`] is the library OS, compiled once into one relocatable object. A [`Plan`] marks what a
//! configuration keeps of it, lays it out and binds it; [`Plan::write`] makes the file, [`Sizer`] only measures.
//! [`Payload`] is the program with its files, [`program`] looks at programs, [`scan`] reads what they may ask for, [`trace`] and [`learn`]
//! see what they do ask for, [`fit`] finds the parts for it, [`run`] boots images, [`disk`] makes disks, and [`truth`]
//! holds declared requirements against the code.
//!
//! ```
//! use bespoke_kernel::{Os, Payload, Plan};
//! use bespoke_model::Decisions;
//!
//! let os = Os::embedded();
//! let resolution = os.tree.resolve(&Decisions::new()).unwrap();
//! let payload = Payload::empty();
//! let plan = Plan::new(os, &resolution, &payload).unwrap();
//! assert_eq!(plan.to_vec().unwrap().len() as u64, plan.footprint().image_bytes);
//! ```
#![forbid(unsafe_code)]

pub mod disk;
mod embedded;
pub mod fit;
mod image;
mod layout;
pub mod learn;
mod link;
mod mangled;
mod mark;
pub mod named;
pub mod need;
pub mod object;
pub mod oci;
mod os;
mod param;
pub mod paths;
mod payload;
mod plan;
pub mod program;
mod root;
pub mod run;
pub mod scan;
mod sizer;
mod symbols;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod truth;
mod users;
mod write;

pub use embedded::{declarations, object_bytes};
pub use layout::{PAGE, PHYSICAL_BASE, Region, VIRTUAL_OFFSET};
pub use os::{LoadError, Os};
pub use payload::{Payload, PayloadError, Sysroot};
pub use plan::{ComposeError, Placement, Plan, RegionInfo};
pub use sizer::Sizer;
pub use write::Written;
