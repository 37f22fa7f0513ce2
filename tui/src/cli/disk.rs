//! `bespoke disk`.

use std::process::ExitCode;

use serde_json::json;

use super::args::Disk;
use super::{Done, Stop, print, print_json};
use crate::presets::Failure;
use crate::text;

/// Makes a disk.
pub fn disk(args: &Disk) -> Done {
    let Some(size) = text::parse_size(&args.size) else {
        let failure = Failure::new(format!("`{}` is not a size", args.size));
        return Err(Stop::Usage(failure.hint("write a size such as 64M or 2G")));
    };
    let bytes = bespoke_kernel::disk::make(&args.file, size, args.force)
        .map_err(|error| Failure::from_kernel(&error))?;
    if args.json {
        print_json(&json!({ "path": args.file, "bytes": bytes }));
    } else {
        print(&format!("{}  {}\n", args.file.display(), text::bytes(bytes)));
    }
    Ok(ExitCode::SUCCESS)
}
