//! What a card does for the stack, with Linux' own stack at the other end of a tap: checksums both ways, segments that come joined.

use bespoke_tests::{Scratch, bespoke, program, workspace};
use std::process::Command;

/// Boots the echo behind a tap in a network namespace of its own, where whoever runs the tests may make one.
fn behind_a_tap(machine: &str, offloads: &str) {
    let set = format!(
        "\"debug.log\" = false\n\"net.dhcp\" = false\n\"driver.virtio-net.offload\" = {}\n",
        offloads == "on"
    );
    let scratch = Scratch::for_program(&program("echo.c", "musl"), "everything", &set);
    let output = Command::new("timeout")
        .args(["--kill-after=10", "600", "unshare", "--user", "--map-root-user", "--net", "python3"])
        .arg(workspace().join("tests/programs/offloads.py"))
        .arg(bespoke())
        .arg(scratch.path())
        .args([machine, offloads])
        .output()
        .expect("timeout(1) runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{machine}, {offloads}: {}{}",
        said(&output.stdout),
        said(&output.stderr)
    );
}

#[test]
fn the_card_adds_checksums_and_vouches_for_them_on_the_memory_bus() {
    behind_a_tap("microvm", "on");
}

#[test]
fn the_card_adds_checksums_and_vouches_for_them_on_pci() {
    behind_a_tap("q35", "on");
}

#[test]
fn a_card_that_is_asked_for_nothing_does_nothing() {
    behind_a_tap("microvm", "off");
}
