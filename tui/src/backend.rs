//! The kernel as the configurator and the commands use it.

use std::path::Path;
use std::rc::Rc;

use bespoke_kernel::{Os, Payload, Plan, Sizer};
use bespoke_model::{Footprint, Measure, NodeId, Resolution};

use crate::app::doc::Backend;
use crate::presets::{Chain, Failure};

/// Measures images with the code that writes them.
#[derive(Debug)]
pub struct Kernel {
    os: &'static Os,
}

impl Kernel {
    /// The library OS that is built in.
    pub fn new() -> Self {
        Kernel { os: Os::embedded() }
    }

    /// The library OS.
    pub fn os(&self) -> &'static Os {
        self.os
    }
}

/// Reads the program and files of a config.
///
/// # Errors
/// When they cannot be read or packed.
pub fn payload(chain: &Chain) -> Result<Payload, Failure> {
    Payload::load(&chain.flattened(), &chain.dir).map_err(|error| Failure::from_kernel(&error))
}

struct Sized {
    os: &'static Os,
    payload: Rc<Payload>,
}

impl Measure for Sized {
    fn footprint(&self, r: &Resolution) -> Footprint {
        Sizer::new(self.os, &self.payload).footprint(r)
    }

    fn component_bytes(&self, r: &Resolution, n: NodeId) -> u64 {
        Sizer::new(self.os, &self.payload).component_bytes(r, n)
    }
}

impl Backend for Kernel {
    fn measure(&self, chain: &Chain) -> Result<Box<dyn Measure>, String> {
        Ok(Box::new(Sized {
            os: self.os,
            payload: Rc::new(payload(chain).map_err(|failure| failure.message)?),
        }))
    }

    fn shares(&self, chain: &Chain, resolution: &Resolution) -> Option<Vec<(Option<NodeId>, u64)>> {
        let payload = payload(chain).ok()?;
        let plan = Plan::new(self.os, resolution, &payload).ok()?;
        let mut shares: Vec<(Option<NodeId>, u64)> = Vec::new();
        for placement in plan.placements().filter(|p| p.offset.is_some()) {
            match shares.iter_mut().find(|(owner, _)| *owner == placement.owner) {
                Some((_, bytes)) => *bytes += placement.size,
                None => shares.push((placement.owner, placement.size)),
            }
        }
        Some(shares)
    }
}

/// Builds an image and writes it; its length.
///
/// # Errors
/// When it cannot be.
pub fn build(os: &'static Os, chain: &Chain, resolution: &Resolution, to: &Path) -> Result<u64, Failure> {
    let payload = payload(chain)?;
    let plan = Plan::new(os, resolution, &payload).map_err(|error| Failure::from_kernel(&error))?;
    let written = plan.write(to).map_err(|error| Failure::from_kernel(&error))?;
    Ok(written.bytes)
}
