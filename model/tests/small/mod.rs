//! A small tree in which everything of the language occurs.

#![allow(dead_code, missing_docs)] // each user takes what it needs

use bespoke_model::*;

pub const TREE: &[(&str, &str)] = &[
    ("net", "title='Net'\nhelp='Networking.'\nkind='menu'"),
    (
        "net.ipv4",
        "title='IPv4'\nhelp='The protocol.'\nrequires=[{any=['driver.virtio-net','driver.loopback']}]",
    ),
    (
        "net.tcp",
        "title='TCP'\nhelp='Streams.'\nrequires=['net.ipv4']\nprovides=['cap:stream']\nrecommends=['net.dns']\n[params.receive-buffer]\ntype='size'\ndefault='64KiB'\nmin='4KiB'\nmax='16MiB'\nhelp='Bytes.'",
    ),
    ("net.tcp.sack", "title='SACK'\nhelp='Selective acknowledgement.'\ndefault=true"),
    ("net.dns", "title='DNS'\nhelp='Names.'\nwas=['net.resolver']"),
    (
        "driver",
        "title='Drivers'\nhelp='Devices.'\nkind='menu'\nremoved={'driver.rtl8139'='use driver.virtio-net'}",
    ),
    ("driver.virtio-net", "title='virtio-net'\nhelp='The card.'"),
    ("driver.loopback", "title='Loopback'\nhelp='Oneself.'"),
    ("heap", "title='Heap'\nhelp='Memory.'\nkind='choice'\ndefault='talc'"),
    ("heap.linked", "title='Linked list'\nhelp='Small.'"),
    ("heap.talc", "title='talc'\nhelp='Fast.'\nwas=['heap.buddy']"),
    (
        "log",
        "title='Log'\nhelp='Messages.'\nconflicts=['quiet']\n[params.level]\ntype='enum'\nvalues=['error','debug']\ndefault='error'\nhelp='Least.'\n[[params.level.rules]]\nwhen='debug'\nrequires=['symbols']",
    ),
    ("symbols", "title='Symbols'\nhelp='Names of functions.'"),
    ("quiet", "title='Quiet'\nhelp='No messages.'"),
    ("boot", "title='Boot'\nhelp='Start.'\ncore='nothing starts without it'"),
];

pub fn tree() -> Tree {
    let sources: Vec<Source> = TREE.iter().map(|(id, text)| Source { id, file: id, text }).collect();
    Tree::load(&sources).unwrap_or_else(|e| panic!("{e}"))
}
