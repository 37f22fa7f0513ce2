//! What a user may do with files (`path_resolution(7)`, `inode(7)`, `chmod(2)`, `chown(2)`, `unlink(2)`).

use super::file::Stat;
use super::node::{Node, Wish};
use crate::abi::process::{Credentials, credentials};
use crate::errno::{Errno, Result};
use linux_raw_sys::general::*;

crate::register!("permission": fn(&dyn Node, Wish) -> Result<()> = { 10 => judge });

fn is_in(who: &Credentials, own: u32, group: u32) -> bool {
    own == group || who.more_groups.contains(&group)
}

/// Whether the bits of the class that a user falls into grant all that is wanted.
fn allows(who: &Credentials, user: u32, group: u32, stat: Stat, want: u32) -> bool {
    if user == 0 {
        // Only what nobody may run, root may not either.
        let is_file = stat.mode & S_IFMT == S_IFREG;
        return want & X_OK == 0 || !is_file || stat.mode & 0o111 != 0;
    }
    let bits = if user == stat.user {
        stat.mode >> 6
    } else if is_in(who, group, stat.group) {
        stat.mode >> 3
    } else {
        stat.mode
    };
    want & 7 & !bits == 0
}

fn judge(node: &dyn Node, wish: Wish) -> Result<()> {
    // Asked at every step of a path and of every file that is opened: no closer look at the node for root, but for what is to be run.
    if let Wish::Use(want) = wish
        && credentials().user() == 0
        && (want & X_OK == 0 || node.kind() != S_IFREG)
    {
        return Ok(());
    }
    let stat = node.stat();
    // Looked at before, since what belongs to the process asks who that is.
    let other = match wish {
        Wish::Remove(other) => other.stat(),
        _ => stat,
    };
    let who = &*credentials();
    let user = who.user();
    let uses = |want| grant(allows(who, user, who.group(), stat, want), Errno::EACCES);
    let granted = match wish {
        Wish::Use(want) => return uses(want),
        Wish::Ask(want) => {
            return grant(allows(who, who.users[0], who.groups[0], stat, want), Errno::EACCES);
        }
        Wish::Touch if user == stat.user => true,
        Wish::Touch => return uses(W_OK),
        Wish::Own => user == stat.user,
        // Nobody gives files away; a group is one's own.
        Wish::Give(new_user, new_group) => {
            user == stat.user
                && new_user.is_none_or(|new| new == stat.user)
                && new_group.is_none_or(|new| new == stat.group || is_in(who, who.group(), new))
        }
        // From a directory like /tmp only its owner's and one's own.
        Wish::Remove(_) => {
            uses(W_OK)?;
            stat.mode & S_ISVTX == 0 || user == stat.user || user == other.user
        }
    };
    grant(granted || who.is_root(), Errno::EPERM)
}

fn grant(granted: bool, error: Errno) -> Result<()> {
    if granted { Ok(()) } else { Err(error) }
}
