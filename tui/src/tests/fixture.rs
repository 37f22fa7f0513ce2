//! A small tree, a measure that can be checked by hand, and a hand that types.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;

use bespoke_model::{Config, Footprint, Kind, Measure, NodeId, Resolution, Source, Tree};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::doc::{Backend, Doc};
use crate::app::keymap::{Keymap, parse_keys};
use crate::app::theme::Theme;
use crate::app::{App, Effect, Event, Need};
use crate::presets::{self, Chain};
use crate::view;

const TREE: &[(&str, &str)] = &[
    ("boot", "title='Boot'\nhelp='From the loader to the program.'\nkind='menu'"),
    ("boot.pvh", "title='PVH entry'\nhelp='Where the loader jumps to.'\ncore='nothing starts without it'"),
    ("driver", "title='Drivers'\nhelp='Devices.'\nkind='menu'"),
    ("driver.loopback", "title='Loopback'\nhelp='The machine talks to itself.'"),
    (
        "driver.virtio-net",
        "title='virtio network card'\nhelp='The network card of virtual machines.'\nrequires=['memory.dma']",
    ),
    ("memory", "title='Memory'\nhelp='Frames, heap and devices.'\nkind='menu'"),
    ("memory.dma", "title='Device memory'\nhelp='Memory that devices read and write by themselves.'"),
    (
        "memory.heap",
        "title='Kernel heap'\nhelp='The allocator for the kernel. It matters to programs with many threads.'\nkind='choice'\ndefault='talc'",
    ),
    ("memory.heap.buddy", "title='Buddy'\nhelp='Small and quick.'"),
    ("memory.heap.talc", "title='talc'\nhelp='Wastes little.'"),
    ("net", "title='Networking'\nhelp='Sockets and the protocols below them.'\nkind='menu'"),
    (
        "net.dns",
        "title='Names'\nhelp='Looks names of hosts up. Without it programs must be given addresses.'\nrequires=['net.udp']",
    ),
    (
        "net.ipv4",
        "title='IPv4'\nhelp='The internet protocol, version 4.'\nrequires=[{any=['driver.virtio-net','driver.loopback']}]\n[params.address]\ntype='cidr'\ndefault='10.0.2.15/24'\nhelp='The address of the machine.'",
    ),
    (
        "net.tcp",
        "title='TCP'\nhelp='''Reliable streams, as the web uses them.\n\nWithout it: EPROTONOSUPPORT.'''\nrequires=['net.ipv4']\nprovides=['cap:streams']\nrecommends=['net.tcp.sack']\n[params.receive-buffer]\ntype='size'\ndefault='64KiB'\nmin='4KiB'\nmax='16MiB'\nhelp='Bytes kept for each connection until the program reads them.'\n[params.keepalive]\ntype='bool'\ndefault=false\nhelp='Whether silent connections are asked for a sign of life.'\n[params.congestion]\ntype='enum'\nvalues=['reno','cubic']\ndefault='reno'\nhelp='How fast to send.'",
    ),
    ("net.tcp.sack", "title='Selective acknowledgement'\nhelp='Fewer bytes are sent twice on a bad line.'"),
    ("net.udp", "title='UDP'\nhelp='Datagrams.'\nrequires=['net.ipv4']"),
    ("net.weiss", "title='日本語の名前'\nhelp='A part whose name is wide.'\nconflicts=['net.udp']"),
];

/// The tree of the tests.
pub fn tree() -> &'static Tree {
    static TREE_: OnceLock<Tree> = OnceLock::new();
    TREE_.get_or_init(|| {
        let sources: Vec<Source> = TREE.iter().map(|(id, text)| Source { id, file: id, text }).collect();
        Tree::load(&sources).unwrap_or_else(|problems| panic!("{problems}"))
    })
}

/// Every part has a size that depends on its name only, and nothing is shared.
#[derive(Clone, Copy, Debug)]
pub struct Plain(pub &'static Tree);

impl Plain {
    pub fn own(&self, n: NodeId) -> u64 {
        let id = &self.0.node(n).id;
        id.bytes().fold(7u64, |sum, b| (sum * 31 + u64::from(b)) % 9000) + 100
    }
}

impl Measure for Plain {
    fn footprint(&self, r: &Resolution) -> Footprint {
        let parts: Vec<NodeId> = r.components(self.0).collect();
        let os = 20_000 + parts.iter().map(|n| self.own(*n)).sum::<u64>();
        Footprint {
            image_bytes: os + 5_000 + 345,
            os_bytes: os,
            program_bytes: 5_000,
            files_bytes: 0,
            boot_memory_bytes: os.next_multiple_of(4096) * 2,
            syscalls: 3 * parts.len() as u32,
        }
    }

    fn component_bytes(&self, _: &Resolution, n: NodeId) -> u64 {
        if self.0.node(n).kind == Kind::Component { self.own(n) } else { 0 }
    }
}

impl Backend for Plain {
    fn measure(&self, _: &Chain) -> Result<Box<dyn Measure>, String> {
        Ok(Box::new(*self))
    }

    fn shares(&self, _: &Chain, resolution: &Resolution) -> Vec<(Option<NodeId>, u64)> {
        let parts = resolution.components(self.0).map(|n| (Some(n), self.own(n)));
        parts.chain([(None, 20_000)]).collect()
    }
}

pub const CONFIG: &str =
    "# mine\nschema = 1\n\n[program]\npath = \"demo:hello\"\n\n[set]\n\"net.udp\" = true # for names\n";

/// A session: an app, and the files around it.
pub struct Session {
    pub app: App,
    pub dir: tempfile::TempDir,
    pub quit: bool,
    pub effects: Vec<Effect>,
}

impl Session {
    /// Opens [`CONFIG`] on a terminal of a size.
    pub fn new(width: u16, height: u16) -> Self {
        Self::open(tree(), CONFIG, Theme::new(true, false), width, height)
    }

    pub fn open(tree: &'static Tree, text: &str, theme: Theme, width: u16, height: u16) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("web.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::parse("web.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let chain = presets::chain(config, dir.path()).unwrap();
        let doc = Doc::open(tree, Rc::new(Plain(tree)), chain, "web.toml", true).unwrap();
        let mut app = App::new(doc, theme, Keymap::default(), Rect::new(0, 0, width, height));
        app.needs = vec![Need { what: "streams".into(), parts: vec!["net.tcp".into()] }];
        Session { app, dir, quit: false, effects: Vec::new() }
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("web.toml")
    }

    pub fn saved(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// Types keys written as text.
    pub fn keys(&mut self, text: &str) -> &mut Self {
        for key in parse_keys(text).unwrap() {
            self.event(Event::Key(key));
        }
        self
    }

    /// Lets something happen, and carries out what follows as the real loop does.
    pub fn event(&mut self, event: Event) -> &mut Self {
        self.app.update(event);
        for effect in std::mem::take(&mut self.app.effects) {
            match &effect {
                Effect::Save { .. } => {
                    let file = self.file();
                    let result = presets::write(&file, self.app.doc.text()).map_err(|f| f.message);
                    self.event(Event::Saved(result.map(|()| PathBuf::from("web.toml"))));
                }
                Effect::Quit => self.quit = true,
                _ => {}
            }
            self.effects.push(effect);
        }
        self.app.measure(|| false);
        self
    }

    pub fn buffer(&mut self) -> Buffer {
        self.app.measure(|| false);
        let mut terminal =
            Terminal::new(TestBackend::new(self.app.area.width, self.app.area.height)).unwrap();
        terminal.draw(|frame| view::draw(&self.app, frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// What is on the screen.
    pub fn screen(&mut self) -> String {
        rows(&self.buffer()).join("\n")
    }

    /// The row of the screen that has a text in it.
    #[track_caller]
    pub fn line(&mut self, with: &str) -> String {
        let screen = self.screen();
        match screen.lines().find(|line| line.contains(with)) {
            Some(line) => line.to_owned(),
            None => panic!("`{with}` is not on the screen:\n{screen}"),
        }
    }
}

/// A buffer as text; the second cell of a wide character is left out.
pub fn rows(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    (0..area.height)
        .map(|y| {
            let mut line = String::new();
            let mut skip = 0;
            for x in 0..area.width {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let symbol = buffer[(x, y)].symbol();
                skip = crate::text::width(symbol).saturating_sub(1);
                line.push_str(symbol);
            }
            line.trim_end().to_owned()
        })
        .collect()
}

/// Whether a file is there.
pub fn exists(path: &Path) -> bool {
    path.exists()
}
