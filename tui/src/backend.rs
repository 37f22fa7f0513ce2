//! The kernel as the configurator and the commands use it.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use bespoke_kernel::oci::{Image, KERNEL, Limits, Pick, Unikernel};
use bespoke_kernel::run::Options;
use bespoke_kernel::{Os, Payload, Plan, Sizer};
use bespoke_model::{ImageSource, Measure, NodeId, Program, Resolution, Tree, Value};

use crate::app::doc::Backend;
use crate::presets::{self, Chain, Failure};

/// Measures images with the code that writes them.
#[derive(Debug)]
pub struct Kernel {
    os: &'static Os,
    /// Programs and files that were read, by what was read. They are kept until the end: there are as many as programs
    /// were looked at, and measures borrow them.
    payloads: RefCell<Vec<(String, &'static Payload)>>,
}

impl Kernel {
    /// The library OS that is built in.
    pub fn new() -> Self {
        Kernel { os: Os::embedded(), payloads: RefCell::default() }
    }

    /// The library OS.
    pub fn os(&self) -> &'static Os {
        self.os
    }

    /// The program and files of a config, read again only when they changed.
    ///
    /// # Errors
    /// When they cannot be read or packed.
    pub fn payload(&self, chain: &Chain) -> Result<&'static Payload, Failure> {
        let key = fingerprint(chain);
        if let Some((_, known)) = self.payloads.borrow().iter().find(|(k, _)| *k == key) {
            return Ok(known);
        }
        let payload: &'static Payload = Box::leak(Box::new(payload(chain)?));
        self.payloads.borrow_mut().push((key, payload));
        Ok(payload)
    }
}

/// What is read for a config, and the state that it is in on the disk.
fn fingerprint(chain: &Chain) -> String {
    let config = chain.flattened();
    let (program, files, texts) = (config.program(), config.files(), config.texts());
    let mut key = format!("{program:?} {:?} {files:?} {texts:?}", config.image());
    let rooted = |program: &Program| match &program.root {
        Some(root) => format!("{root}/{}", program.path),
        None => program.path.clone(),
    };
    let program = match config.image() {
        Some(image) => Some(image.archive.clone()),
        None => config.program().map(rooted),
    };
    for path in program.iter().chain(config.files().values()) {
        if let Ok(meta) = std::fs::metadata(chain.dir.join(path)) {
            key.push_str(&format!(" {} {:?}", meta.len(), meta.modified().ok()));
            // What lies in a folder is not looked through: then nothing is taken as known.
            if meta.is_dir() {
                key.push_str(&format!(" {:?}", std::time::SystemTime::now()));
            }
        }
    }
    key
}

thread_local! {
    /// The container image that was opened last, by what was opened: to open one is to read all of it.
    static OPENED: RefCell<Option<(String, Rc<Image>)>> = const { RefCell::new(None) };
}

/// The container image of a config, when it has one; opened again only when it changed.
///
/// # Errors
/// When it cannot be read, or is not to be trusted.
pub fn image(chain: &Chain) -> Result<Option<Rc<Image>>, Failure> {
    let Some(source) = chain.image() else { return Ok(None) };
    // Which of its files are packed makes no difference.
    let bare = ImageSource { files: Vec::new(), folders: Vec::new(), without: Vec::new(), ..source.clone() };
    let archive = chain.dir.join(&source.archive);
    let state =
        std::fs::metadata(&archive).ok().map(|meta| (meta.len(), meta.modified().ok(), meta.is_dir()));
    let key = format!("{} {bare:?} {state:?}", archive.display());
    let known = OPENED.with_borrow(|opened| {
        let known = opened.as_ref().filter(|(known, _)| *known == key);
        known.map(|(_, image)| Rc::clone(image))
    });
    // What lies in a folder may change without a trace of it.
    if let (Some(image), Some((_, _, false))) = (known, state) {
        return Ok(Some(image));
    }
    let opened = Payload::open_image(&chain.flattened(), &chain.dir);
    let image = opened.map_err(|error| Failure::from_kernel(&error))?.map(Rc::new);
    OPENED.set(image.clone().map(|image| (key, image)));
    Ok(image)
}

/// Reads the program and files of a config.
fn payload(chain: &Chain) -> Result<Payload, Failure> {
    let image = image(chain)?;
    Payload::load_from(&chain.flattened(), &chain.dir, image.as_deref())
        .map_err(|error| Failure::from_kernel(&error))
}

impl Backend for Kernel {
    fn measure(&self, chain: &Chain) -> Result<Box<dyn Measure>, String> {
        let payload = self.payload(chain).map_err(|failure| failure.message)?;
        Ok(Box::new(Sizer::new(self.os, payload)))
    }

    fn shares(&self, chain: &Chain, resolution: &Resolution) -> Vec<(Option<NodeId>, u64)> {
        let plan = self.payload(chain).ok().and_then(|payload| Plan::new(self.os, resolution, payload).ok());
        let mut shares: Vec<(Option<NodeId>, u64)> = Vec::new();
        for placement in plan.iter().flat_map(|plan| plan.placements()).filter(|p| p.offset.is_some()) {
            match shares.iter_mut().find(|(owner, _)| *owner == placement.owner) {
                Some((_, bytes)) => *bytes += placement.size,
                None => shares.push((placement.owner, placement.size)),
            }
        }
        shares
    }
}

/// The machine that fits a set of parts: with a network card and an entropy device when there are drivers for them.
pub fn options(tree: &Tree, resolution: &Resolution) -> Options {
    let is_on = |id| tree.find(id).is_some_and(|n| resolution.is_on(n));
    let address = tree.find_param("net.ipv4.address").map(|p| resolution.value(p));
    let guest_address = match address {
        // The machine's network gives the address out.
        _ if is_on("net.dhcp") => None,
        Some(Value::Cidr(net)) => match net.addr() {
            std::net::IpAddr::V4(address) => Some(address),
            std::net::IpAddr::V6(_) => None,
        },
        _ => None,
    };
    let (network, entropy) = (is_on("driver.virtio-net"), is_on("driver.virtio-rng"));
    Options { network, entropy, guest_address, ..Options::default() }
}

/// Builds an image and writes it as an OCI image: into a folder, or as one file. The length of the bootable file in it.
///
/// # Errors
/// When it cannot be.
pub fn build_oci(
    os: &'static Os,
    chain: &Chain,
    resolution: &Resolution,
    to: &Path,
    folder: bool,
    reference: &str,
) -> Result<u64, Failure> {
    let payload = payload(chain)?;
    let plan = Plan::new(os, resolution, &payload).map_err(|error| Failure::from_kernel(&error))?;
    let kernel = plan.to_vec().map_err(|error| Failure::from_kernel(&error))?;
    let bytes = kernel.len() as u64;
    let program = chain.program();
    let path = payload.program_path().map(str::to_owned);
    let unikernel = Unikernel {
        kernel,
        reference: reference.to_owned(),
        command: path.into_iter().chain(program.iter().flat_map(|program| program.args.clone())).collect(),
        env: program.map(|program| program.env.clone()).unwrap_or_default(),
        cwd: program.and_then(|program| program.cwd.clone()).unwrap_or_default(),
    };
    let written = match folder {
        true => unikernel.write_folder(to),
        false => presets::write_bytes(to, &unikernel.to_tar()),
    };
    let failed = |error| Failure::new(format!("cannot write {}: {}", to.display(), presets::plain(&error)));
    written.map_err(failed).map(|()| bytes)
}

/// The bootable file in an OCI image that [`build_oci`] made.
///
/// # Errors
/// When there is none in it.
pub fn kernel_of(archive: &Path) -> Result<Vec<u8>, Failure> {
    let image = Image::open(archive, &Pick::default(), Limits::default()).map_err(|error| {
        let failure = Failure::from_kernel(&error);
        Failure { message: format!("{}: {}", archive.display(), failure.message), ..failure }
    })?;
    image.read_file(KERNEL).map_err(|_| {
        let failure =
            Failure::new(format!("{} is a container image without a bootable file", archive.display()));
        failure.hint(format!("to write a config for it: bespoke new --image {}", archive.display()))
    })
}

/// Builds an image and writes it; its length.
///
/// # Errors
/// When it cannot be; without a program there is nothing to boot.
pub fn build(os: &'static Os, chain: &Chain, resolution: &Resolution, to: &Path) -> Result<u64, Failure> {
    if chain.program().is_none() {
        let name = match chain.config.file() {
            "" => "the config",
            name => name,
        };
        let hint = format!(
            "`bespoke new PROGRAM --preset {}` writes a config for yours",
            name.trim_start_matches("preset:")
        );
        let failure = Failure::new(format!("{name} names no program"));
        return Err(match name.starts_with("preset:") {
            true => failure.hint(hint),
            false => failure.hint("add `[program]` with the `path` of yours"),
        });
    }
    let payload = payload(chain)?;
    let plan = Plan::new(os, resolution, &payload).map_err(|error| Failure::from_kernel(&error))?;
    let written = plan.write(to).map_err(|error| Failure::from_kernel(&error))?;
    Ok(written.bytes)
}
