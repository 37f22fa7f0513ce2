//! The composer on small objects of known content.

use std::path::Path;
use std::time::Duration;

use bespoke_model::{Decision, Measure, Tree};
use object::write::SymbolSection;
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, SectionKind, elf};

use crate::object::{Object, ObjectError};
use crate::run::{Accel, Console, Options};
use crate::testing::{Asm, resolve, tree};
use crate::{ComposeError, LoadError, Os, PAGE, Payload, Plan, Region, Sizer, VIRTUAL_OFFSET};

const ON: Decision = Decision::Bool(true);
const CHOSEN: [&str; 2] = ["a", "b"];

/// A core component, two optional ones, and a choice of two.
fn small() -> Tree {
    tree(&[
        ("boot", "core = \"always\""),
        (
            "net",
            "default = false\n[params.size]\nhelp = \"x\"\ntype = \"size\"\ndefault = \"64KiB\"\nmin = \"1B\"\nmax = \"1MiB\"",
        ),
        ("fs", "default = false"),
        ("heap", "kind = \"choice\"\ndefault = \"a\""),
        ("heap.a", ""),
        ("heap.b", ""),
    ])
}

/// Mangled names of `bespoke_os::<module>::<item>`.
fn name(module: &str, item: &str) -> String {
    format!("_RNvNtCs1_10bespoke_os{}{module}{}{item}", module.len(), item.len())
}

/// The composed image, and a way to read it by address.
struct Image {
    bytes: Vec<u8>,
    symbols: Vec<u8>,
}

impl Image {
    fn of(os: &Os, set: &[(&str, Decision)]) -> Self {
        let payload = Payload::empty();
        let resolution = resolve(os, set);
        let plan = Plan::new(os, &resolution, &payload).unwrap();
        let bytes = plan.to_vec().unwrap();
        assert_eq!(bytes.len() as u64, plan.image_bytes());
        assert_eq!(Sizer::new(os, &payload).footprint(&resolution), plan.footprint());
        Self { bytes, symbols: plan.symbols_elf() }
    }

    fn find(&self, symbol: &str) -> Option<u64> {
        let file = object::File::parse(&*self.symbols).unwrap();
        file.symbols().find(|s| s.name() == Ok(symbol)).map(|s| s.address())
    }

    fn address(&self, symbol: &str) -> u64 {
        self.find(symbol).unwrap_or_else(|| panic!("{symbol} is not in the image"))
    }

    /// Memory as a loader makes it.
    fn read(&self, address: u64, len: usize) -> Vec<u8> {
        let file = object::File::parse(&*self.bytes).unwrap();
        for segment in file.segments() {
            let start = segment.address();
            if start <= address && address + len as u64 <= start + segment.size() {
                let mut memory = segment.data().unwrap().to_vec();
                memory.resize(segment.size() as usize, 0);
                return memory[(address - start) as usize..][..len].to_vec();
            }
        }
        panic!("nothing is loaded at {address:#x}");
    }

    fn word(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.read(address, 8).try_into().unwrap())
    }

    fn half(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.read(address, 4).try_into().unwrap())
    }
}

fn compose_error(os: &Os, set: &[(&str, Decision)]) -> ComposeError {
    Plan::new(os, &resolve(os, set), &Payload::empty()).unwrap_err()
}

#[test]
fn every_kind_of_relocation_is_applied() {
    let mut asm = Asm::starting(&["f", "tail"]);
    let data = asm.section(".data.d", SectionKind::Data, &[0; 64], 16);
    asm.define("d", data, 24, 8);
    let f = asm.section(".text.f", SectionKind::Text, &[0; 64], 4);
    asm.define("f", f, 0, 64);
    asm.relocate(f, 0, elf::R_X86_64_64, "d", 5);
    asm.relocate(f, 8, elf::R_X86_64_32S, "d", -3);
    asm.relocate(f, 12, elf::R_X86_64_32, "d", 0x8000_0000); // minus the virtual offset: physical
    asm.relocate(f, 16, elf::R_X86_64_PC32, "d", -4);
    asm.relocate(f, 20, elf::R_X86_64_PLT32, "tail", -4);
    asm.relocate(f, 24, elf::R_X86_64_PC64, "d", 1);
    asm.relocate_to_section(f, 32, elf::R_X86_64_64, data, 40);
    asm.function("tail", &[]);
    let image = Image::of(&asm.os(small()).unwrap(), &[]);
    let (f, d, tail) = (image.address("f"), image.address("d"), image.address("tail"));
    assert_eq!(image.word(f), d + 5);
    assert_eq!(image.half(f + 8), (d - 3) as u32);
    assert_eq!(u64::from(image.half(f + 12)), d - VIRTUAL_OFFSET);
    assert_eq!(image.half(f + 16), (d.wrapping_sub(f + 16 + 4)) as u32);
    assert_eq!(image.half(f + 20), tail.wrapping_sub(f + 20 + 4) as u32);
    assert_eq!(image.word(f + 24), (d + 1).wrapping_sub(f + 24));
    assert_eq!(image.word(f + 32), d - 24 + 40, "a section and an addend");
}

#[test]
fn detours_through_an_offset_table_become_direct() {
    let code = [
        0x48, 0x8b, 0x05, 0, 0, 0, 0, // 0: mov rax, [rip + slot]
        0xff, 0x15, 0, 0, 0, 0, // 7: call [rip + slot]
        0xff, 0x25, 0, 0, 0, 0, // 13: jmp [rip + slot]
        0x48, 0x3b, 0x0d, 0, 0, 0, 0, // 19: cmp rcx, [rip + slot]
        0x48, 0x8b, 0x3d, 0, 0, 0, 0, // 26: mov rdi, [rip + slot of a weak symbol]
    ];
    let mut asm = Asm::starting(&["f"]);
    let f = asm.section(".text.f", SectionKind::Text, &code, 1);
    asm.define("f", f, 0, code.len() as u64);
    for (at, kind) in [
        (3, elf::R_X86_64_REX_GOTPCRELX),
        (9, elf::R_X86_64_GOTPCRELX),
        (15, elf::R_X86_64_GOTPCREL),
        (22, elf::R_X86_64_REX_GOTPCRELX),
    ] {
        asm.relocate(f, at, kind, "g", -4);
    }
    asm.special("absent", SymbolSection::Undefined, 0, 0, true);
    asm.relocate(f, 29, elf::R_X86_64_REX_GOTPCRELX, "absent", -4);
    asm.function("g", &[]);
    let image = Image::of(&asm.os(small()).unwrap(), &[]);
    let (f, g) = (image.address("f"), image.address("g"));
    let code = image.read(f, code.len());
    let to = |at: u64| (f + at + 4).wrapping_add_signed(i64::from(image.half(f + at) as i32));
    assert_eq!((&code[0..3], to(3)), (&[0x48, 0x8d, 0x05][..], g), "lea rax, [rip + g]");
    assert_eq!((&code[7..9], to(9)), (&[0x67, 0xe8][..], g), "addr32 call g");
    assert_eq!((code[13], to(14), code[18]), (0xe9, g, 0x90), "jmp g; nop");
    assert_eq!((&code[19..22], image.word(to(22))), (&[0x48, 0x3b, 0x0d][..], g), "a slot that holds g");
    assert_eq!((&code[26..29], image.word(to(29))), (&[0x48, 0x8b, 0x3d][..], 0), "a slot that holds 0");
}

#[test]
fn common_weak_absolute_and_zeroed_symbols() {
    let mut asm = Asm::starting(&["common", "weak", "fixed", "zeroed", "kept"]);
    asm.special("common", SymbolSection::Common, 64, 100, false);
    asm.special("weak", SymbolSection::Undefined, 0, 0, true);
    asm.special("fixed", SymbolSection::Absolute, 0x1234, 0, false);
    let zeroed = asm.section(".bss.zeroed", SectionKind::UninitializedData, &[0; 4000], 32);
    asm.define("zeroed", zeroed, 16, 8);
    let kept = asm.section(".data.kept", SectionKind::Data, &[7; 9], 1);
    asm.define("kept", kept, 0, 9);
    let os = asm.os(small()).unwrap();
    let image = Image::of(&os, &[]);
    let start = image.address("bespoke_start");
    assert_eq!(image.word(start), image.address("common"));
    assert_eq!(image.address("common") % 64, 0);
    assert_eq!(image.word(start + 8), 0);
    assert_eq!(image.word(start + 16), 0x1234);
    assert_eq!((image.word(start + 24), image.address("zeroed") % 32), (image.address("zeroed"), 16));
    assert_eq!(image.read(image.address("zeroed") - 16, 4000), [0; 4000]);
    assert_eq!(image.read(image.address("kept"), 9), [7; 9]);
    assert!(image.bytes.len() < 3000, "zeroed memory is not in the file");
}

#[test]
fn what_cannot_be_composed_is_refused() {
    let parse = |asm: &Asm| Object::parse(asm.bytes()).unwrap_err();
    assert_eq!(parse(&Asm::bare()), ObjectError::NoStart("bespoke_start"));

    let mut asm = Asm::starting(&[]);
    let f = asm.function("f", &[]);
    asm.relocate(f, 0, elf::R_X86_64_TPOFF32, "x", 0);
    assert!(matches!(parse(&asm), ObjectError::Relocation { kind: 23, .. }));

    let mut asm = Asm::starting(&[]);
    asm.section(".tdata", SectionKind::Tls, &[1], 1);
    assert!(matches!(parse(&asm), ObjectError::Section { what: "thread-local", .. }));

    let mut asm = Asm::starting(&[]);
    let f = asm.function("f", &[]);
    asm.relocate(f, 100, elf::R_X86_64_64, "x", 0);
    assert!(matches!(parse(&asm), ObjectError::Malformed(_)));

    let mut asm = Asm::starting(&[]);
    asm.section(".data.x", SectionKind::Data, &[1], 8192);
    assert!(matches!(parse(&asm), ObjectError::Malformed(_)));

    let linked = std::fs::read("/proc/self/exe").unwrap();
    assert!(matches!(Object::parse(linked), Err(ObjectError::Kind(_))));
    assert!(matches!(Object::parse(b"no ELF at all".to_vec()), Err(ObjectError::Malformed(_))));
}

#[test]
fn sections_that_are_not_loaded_do_not_matter() {
    let mut asm = Asm::starting(&[]);
    let debug = asm.section(".debug_info", SectionKind::Debug, &[0; 16], 1);
    asm.relocate(debug, 0, elf::R_X86_64_DTPOFF64, "nowhere", 0);
    let os = asm.os(small()).unwrap();
    assert_eq!(os.object.section_count(), 1);
    Image::of(&os, &[]);
}

#[test]
fn names_that_lead_nowhere_are_refused() {
    let load = |make: &dyn Fn(&mut Asm)| {
        let mut asm = Asm::starting(&[]);
        make(&mut asm);
        asm.os(small()).unwrap_err()
    };
    let error = load(&|asm| asm.hook("syscall", "bespoke_os::nowhere", &[]));
    assert!(
        matches!(&error, LoadError::NoComponent { module, .. } if module == "bespoke_os::nowhere"),
        "{error}"
    );
    let error = load(&|asm| {
        asm.section(".bespoke.hook:syscall", SectionKind::Data, &[], 8);
    });
    assert!(matches!(error, LoadError::Name(_)), "{error}");
    let error = load(&|asm| {
        asm.section(".bespoke.hook:syscall:bespoke_os::net", SectionKind::Data, &[0; 17], 8);
    });
    assert!(matches!(error, LoadError::Hook { .. }), "{error}");
    let error = load(&|asm| asm.param("bespoke_os::net", "colour", 8));
    assert!(matches!(&error, LoadError::NoParam { param, .. } if param == "net.colour"), "{error}");
    let error = load(&|asm| asm.param("bespoke_os::net", "size", 4));
    assert!(matches!(error, LoadError::ParamSize { size: 4, .. }), "{error}");
    for symbol in
        ["bespoke.layout:heap.start", "bespoke.table:weather", "bespoke.sing:song", "bespoke.choice:x"]
    {
        let mut asm = Asm::starting(&[symbol]);
        asm.function("f", &[]);
        assert!(matches!(asm.os(small()), Err(LoadError::Name(name)) if name == symbol));
    }
    let mut asm = Asm::starting(&["bespoke.choice:bespoke_os::net:get"]);
    asm.function("f", &[]);
    assert!(matches!(asm.os(small()), Err(LoadError::NotAChoice { kind: "component", .. })));
    let error = load(&|asm| {
        asm.function("bespoke.impl:bespoke_os::net:get", &[]);
    });
    assert!(matches!(error, LoadError::NotAMember { .. }), "{error}");
}

#[test]
fn registrations_are_merged_and_sorted() {
    let mut asm = Asm::starting(&["bespoke.hook.start:init", "bespoke.hook.end:init"]);
    asm.hook("init", "bespoke_os::net", &[(30, "n30"), (10, "n10")]);
    asm.hook("init", "bespoke_os::fs", &[(20, "f20"), (10, "f10")]);
    asm.hook("other", "bespoke_os::fs", &[(1, "unasked")]);
    for name in ["n30", "n10", "f20", "f10", "unasked"] {
        asm.function(name, &[]);
    }
    let os = asm.os(small()).unwrap();
    let entries = |set: &[(&str, Decision)]| {
        let image = Image::of(&os, set);
        let start = image.address("bespoke_start");
        let (from, to) = (image.word(start), image.word(start + 8));
        assert!(image.find("unasked").is_none(), "nobody walks that hook");
        let at = |at: u64| {
            let to = image.word(at + 8);
            let name = ["n30", "n10", "f20", "f10"].into_iter().find(|name| image.find(name) == Some(to));
            (image.word(at), name.unwrap())
        };
        (from..to).step_by(16).map(at).collect::<Vec<_>>()
    };
    assert_eq!(entries(&[("net", ON), ("fs", ON)]), [(10, "f10"), (10, "n10"), (20, "f20"), (30, "n30")]);
    assert_eq!(entries(&[("net", ON)]), [(10, "n10"), (30, "n30")]);
    assert_eq!(entries(&[]), []);
}

#[test]
fn two_components_cannot_serve_the_same_call() {
    let mut asm = Asm::starting(&["bespoke.hook.start:syscall"]);
    asm.hook("syscall", "bespoke_os::net", &[(41, "f"), (42, "f")]);
    asm.hook("syscall", "bespoke_os::fs", &[(42, "f")]);
    asm.function("f", &[]);
    let os = asm.os(small()).unwrap();
    let payload = Payload::empty();
    assert_eq!(Plan::new(&os, &resolve(&os, &[("net", ON)]), &payload).unwrap().footprint().syscalls, 2);
    match compose_error(&os, &[("net", ON), ("fs", ON)]) {
        ComposeError::DuplicateKey { hook, key: 42, first, second } => {
            assert_eq!((hook.as_str(), first.as_str(), second.as_str()), ("syscall", "fs", "net"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_choice_is_bound_to_its_member() {
    let mut asm =
        Asm::starting(&["bespoke.choice:bespoke_os::heap:get", "bespoke.choice:bespoke_os::heap:put"]);
    asm.function("bespoke.impl:bespoke_os::heap::a:get", &[]);
    asm.function("bespoke.impl:bespoke_os::heap::a:put", &["only_a"]);
    asm.function("bespoke.impl:bespoke_os::heap::b:get", &[]);
    asm.function("only_a", &[]);
    let os = asm.os(small()).unwrap();
    let image = Image::of(&os, &[]);
    let start = image.address("bespoke_start");
    assert_eq!(image.word(start), image.address("bespoke.impl:bespoke_os::heap::a:get"));
    assert_eq!(image.word(start + 8), image.address("bespoke.impl:bespoke_os::heap::a:put"));
    assert!(image.find("bespoke.impl:bespoke_os::heap::b:get").is_none());

    let error = compose_error(&os, &[("heap", Decision::Text("b".into()))]);
    let text = error.to_string();
    for part in ["bespoke_start", "heap::b", "heap:put"] {
        assert!(text.replace("heap.b", "heap::b").contains(part), "{text}");
    }
    assert!(matches!(error, ComposeError::NoImplementation { .. }), "{text}");
}

#[test]
fn an_undefined_symbol_is_an_error_only_where_it_is_kept() {
    let mut asm = Asm::starting(&["bespoke.hook.start:init"]);
    let f = name("net", "f");
    asm.hook("init", "bespoke_os::net", &[(1, &f)]);
    asm.function(&f, &["nowhere"]);
    let os = asm.os(small()).unwrap();
    Image::of(&os, &[]);
    match compose_error(&os, &[("net", ON)]) {
        ComposeError::Undefined { symbol, referrer, component } => {
            assert_eq!((symbol.as_str(), referrer, component.as_str()), ("nowhere", f, "net"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_too_far_is_an_error() {
    let mut asm = Asm::starting(&["f"]);
    let data = asm.section(".data.d", SectionKind::Data, &[0; 8], 8);
    asm.define("d", data, 0, 8);
    let f = asm.section(".text.f", SectionKind::Text, &[0; 8], 1);
    asm.define("f", f, 0, 8);
    asm.relocate(f, 0, elf::R_X86_64_32, "d", 0); // an address of the upper half
    let payload = Payload::empty();
    let os = asm.os(small()).unwrap();
    let resolution = resolve(&os, &[]);
    let error = Plan::new(&os, &resolution, &payload).unwrap().to_vec().unwrap_err();
    assert!(matches!(&error, ComposeError::OutOfReach { target, .. } if target == "d"), "{error}");
}

#[test]
fn parameters_are_filled_in() {
    let types = [
        ("bool", "type = \"bool\"\ndefault = true"),
        ("int", "type = \"int\"\ndefault = -2\nmin = -9\nmax = 9"),
        ("size", "type = \"size\"\ndefault = \"64KiB\"\nmin = \"1B\"\nmax = \"1MiB\""),
        ("time", "type = \"duration\"\ndefault = \"2ms\"\nmin = \"1ms\"\nmax = \"9ms\""),
        ("word", "type = \"enum\"\nvalues = [\"red\", \"green\"]\ndefault = \"green\""),
        ("v4", "type = \"ipv4\"\ndefault = \"10.0.2.15\""),
        ("net", "type = \"cidr\"\ndefault = \"10.0.2.15/24\""),
        ("mac", "type = \"mac\"\ndefault = \"52:54:00:12:34:56\""),
        ("text", "type = \"string\"\ndefault = \"grüße\""),
        ("none", "type = \"string\"\ndefault = \"\""),
        ("v6", "type = \"ipv6\"\ndefault = \"fe80::1\""),
        ("wide-net", "type = \"cidr\"\ndefault = \"fe80::1/64\""),
    ];
    let params: String =
        types.iter().map(|(name, text)| format!("[params.{name}]\nhelp = \"x\"\n{text}\n")).collect();
    let tree = tree(&[("all", &format!("core = \"always\"\n{params}"))]);
    let symbols: Vec<String> =
        types.iter().map(|(name, _)| format!("bespoke.param:bespoke_os::all:{name}")).collect();
    let mut asm = Asm::starting(&symbols.iter().map(String::as_str).collect::<Vec<_>>());
    for (n, (name, _)) in types.iter().enumerate() {
        asm.param("bespoke_os::all", name, if n < 8 { 8 } else { 16 });
    }
    let os = asm.os(tree).unwrap();
    let image = Image::of(&os, &[]);
    let at = |n: usize| image.address(&symbols[n]);
    let words: Vec<u64> = (0..8).map(|n| image.word(at(n))).collect();
    let (address, mac) = (0x0a00_020f, 0x5254_0012_3456);
    assert_eq!(words, [1, -2i64 as u64, 65536, 2_000_000, 1, address, 24 << 32 | address, mac]);
    let text =
        |n: usize| String::from_utf8(image.read(image.word(at(n)), image.word(at(n) + 8) as usize)).unwrap();
    assert_eq!(text(8), "grüße");
    assert_eq!((image.word(at(9)) == 0, image.word(at(9) + 8)), (false, 0), "empty, but not null");
    assert_eq!(image.read(at(10), 16), [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(text(11), "fe80::1/64");

    let longer = Image::of(&os, &[("all.text", Decision::Text("grüße an alle".into()))]);
    assert_eq!(longer.bytes.len(), image.bytes.len() + " an alle".len());
}

#[test]
fn a_value_without_room_is_an_error() {
    let tree = tree(&[(
        "net",
        "core = \"x\"\n[params.at]\nhelp = \"x\"\ntype = \"cidr\"\ndefault = \"fe80::1/64\"",
    )]);
    let mut asm = Asm::starting(&["bespoke.param:bespoke_os::net:at"]);
    asm.param("bespoke_os::net", "at", 8);
    let error = compose_error(&asm.os(tree).unwrap(), &[]);
    assert!(error.to_string().contains("net.at = fe80::1/64"), "{error}");
}

#[test]
fn tables_are_made_when_asked_for() {
    let (net, fs) = (name("net", "serve"), name("fs", "serve"));
    let with = |tables: &[&str]| {
        let mut all = vec!["bespoke.hook.start:syscall"];
        all.extend(tables);
        let mut asm = Asm::starting(&all);
        asm.hook("syscall", "bespoke_os::net", &[(42, &net), (41, &net)]);
        asm.hook("syscall", "bespoke_os::fs", &[(2, &fs)]);
        asm.function(&net, &[]);
        asm.function(&fs, &[]);
        asm.os(small()).unwrap()
    };
    let bare = Image::of(&with(&[]), &[("net", ON)]);
    assert!(bare.find("bespoke.table:components").is_none());

    let os = with(&[
        "bespoke.table:components",
        "bespoke.table.end:components",
        "bespoke.table:refused.syscall",
        "bespoke.table.end:refused.syscall",
        "bespoke.table:program",
        "bespoke.table.end:program",
    ]);
    let image = Image::of(&os, &[("net", ON)]);
    let start = image.address("bespoke_start");
    let table = |n: u64| {
        let (from, to) = (image.word(start + n * 16 + 8), image.word(start + n * 16 + 16));
        image.read(from, (to - from) as usize)
    };
    // Ownerless code (bespoke_start) first, then the component's.
    let own = 7 * 8 + 1u8;
    let expected = [&[own, 0, 0, 0, 0][..], &[own + 1, 0, 0, 0, 3], b"net"].concat();
    assert_eq!(table(0), expected);
    assert_eq!(table(1), [&[2][..], b"fs", &[1, 0, 2, 0]].concat());
    assert_eq!(table(2), [&[0; 16][..], b"\0/\0bespoke\0"].concat());
}

#[test]
fn a_key_beyond_the_refusals_is_an_error() {
    let mut asm = Asm::starting(&["bespoke.table:refused.init"]);
    asm.hook("init", "bespoke_os::net", &[(70000, "f")]);
    asm.function("f", &[]);
    let os = asm.os(small()).unwrap();
    assert!(matches!(compose_error(&os, &[]), ComposeError::KeyTooLarge { key: 70000, .. }));
    Image::of(&os, &[("net", ON)]);
}

#[test]
fn layout_symbols_bound_the_regions() {
    let names = ["text", "rodata", "data", "root"].map(|r| [format!("{r}.start"), format!("{r}.end")]);
    let mut symbols: Vec<String> = names.concat().iter().map(|n| format!("bespoke.layout:{n}")).collect();
    symbols.push("bespoke.layout:root.index".into());
    symbols.extend(["r", "d", "z"].map(String::from));
    let mut asm = Asm::starting(&symbols.iter().map(String::as_str).collect::<Vec<_>>());
    for (symbol, kind, len) in [
        ("r", SectionKind::ReadOnlyData, 5),
        ("d", SectionKind::Data, 6),
        ("z", SectionKind::UninitializedData, 5000),
    ] {
        let at = asm.section(&format!(".x.{symbol}"), kind, &vec![1; len], 1);
        asm.define(symbol, at, 0, len as u64);
    }
    let os = asm.os(small()).unwrap();
    let image = Image::of(&os, &[]);
    let start = image.address("bespoke_start");
    let words: Vec<u64> = (0..9).map(|n| image.word(start + n * 8)).collect();
    for pair in words[..8].chunks(2) {
        assert_eq!(pair[0] % PAGE, 0);
    }
    assert_eq!(words[0], VIRTUAL_OFFSET + (1 << 20));
    let sizes: Vec<u64> = words[..8].chunks(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(sizes, [12 * 8 + 1, 5, 6 + 5000, 97]);
    assert_eq!(image.read(words[8], 8), b"BSPKROOT");
}

#[test]
fn an_image_of_bare_code_boots() {
    let code = [
        0x66, 0xba, 0x04, 0x05, // mov dx, 0x504
        0xa0, 0, 0, 0, 0,    // mov al, [status]
        0xee, // out dx, al
        0x66, 0xba, 0x01, 0x05, 0xee, 0xf4, 0xeb, 0xfd, // mov dx, 0x501; out dx, al; hlt
    ];
    let mut asm = Asm::bare();
    let start = asm.section(".text.bespoke_start", SectionKind::Text, &code, 1);
    asm.define("bespoke_start", start, 0, code.len() as u64);
    let status = asm.section(".rodata.status", SectionKind::ReadOnlyData, &[0, 77], 1);
    asm.define("status", status, 1, 1);
    asm.relocate(start, 5, elf::R_X86_64_32, "status", 0x8000_0000);
    let os = asm.os(small()).unwrap();
    let payload = Payload::empty();
    let plan = Plan::new(&os, &resolve(&os, &[]), &payload).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let written = plan.write(&dir.path().join("bare")).unwrap();
    let options = Options {
        memory: 2 << 20,
        accel: Accel::Tcg,
        console: Console::Piped,
        deadline: Some(Duration::from_secs(20)),
        ..Options::default()
    };
    assert_eq!(crate::run::run(&written.image, &options).unwrap().status, 77);
}

#[test]
fn nothing_is_left_half_written() {
    let os = Asm::starting(&[]).os(small()).unwrap();
    let payload = Payload::empty();
    let plan = Plan::new(&os, &resolve(&os, &[]), &payload).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let list = |dir: &Path| {
        let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.collect::<std::collections::BTreeSet<_>>()
    };

    let written = plan.write(&dir.path().join("image")).unwrap();
    assert_eq!(list(dir.path()), ["image", "image.sym"].map(String::from).into());
    assert_eq!(std::fs::read(&written.image).unwrap(), plan.to_vec().unwrap());
    assert_eq!(std::fs::read(&written.symbols).unwrap(), plan.symbols_elf());

    std::fs::create_dir(dir.path().join("dir")).unwrap();
    let error = plan.write(&dir.path().join("dir")).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
    assert_eq!(list(dir.path()), ["dir", "image", "image.sym"].map(String::from).into());
    assert!(list(&dir.path().join("dir")).is_empty());

    // A directory that nothing can be made in, for root too.
    let error = plan.write(Path::new("/proc/image")).unwrap_err();
    assert!(matches!(error, ComposeError::Write { .. }), "{error}");
    assert!(matches!(plan.write(&dir.path().join("no/such/image")), Err(ComposeError::Write { .. })));
    assert_eq!(list(dir.path()), ["dir", "image", "image.sym"].map(String::from).into());
}

#[test]
fn truth_follows_code_and_requirements() {
    let make = |net: &str, members: [&str; 2]| {
        let tree = tree(&[
            ("boot", "core = \"always\""),
            ("fs", "default = false"),
            ("heap", "kind = \"choice\"\ndefault = \"a\""),
            ("heap.a", members[0]),
            ("heap.b", members[1]),
            ("net", net),
        ]);
        let (net_f, fs_f, boot_f) = (name("net", "f"), name("fs", "f"), name("boot", "f"));
        let mut asm = Asm::starting(&["bespoke.hook.start:init"]);
        asm.hook("init", "bespoke_os::net", &[(1, &net_f)]);
        // net → library → fs, net → boot, net → the choice
        asm.function(&net_f, &["library", &boot_f, "bespoke.choice:bespoke_os::heap:get"]);
        asm.function("library", &[&fs_f]);
        asm.function(&fs_f, &[&boot_f]);
        asm.function(&boot_f, &[]);
        asm.function("bespoke.impl:bespoke_os::heap::a:get", &[]);
        let found = crate::truth::violations(&asm.os(tree).unwrap());
        found.into_iter().map(|v| (v.component, v.reaches)).collect::<Vec<_>>()
    };
    let violation = vec![("net".to_owned(), "fs".to_owned())];
    let needs = "requires = [\"fs\"]";
    assert_eq!(make("", ["", ""]), violation);
    assert_eq!(make(needs, ["", ""]), []);
    assert_eq!(make("requires = [{ any = [\"fs\", \"heap\"] }]", ["", ""]), violation, "either is not both");
    // The choice is always active, so what all of its members require is on as well; what one requires is not.
    assert_eq!(make("", [needs, needs]), []);
    assert_eq!(make("", [needs, ""]), violation);

    let (net_f, fs_f) = (name("net", "f"), name("fs", "f"));
    let mut asm = Asm::starting(&[&net_f]);
    asm.function(&net_f, &["library"]);
    asm.function("library", &[&fs_f]);
    asm.function(&fs_f, &[]);
    let found = crate::truth::violations(&asm.os(small()).unwrap());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].component.as_str(), found[0].reaches.as_str()), ("net", "fs"));
    assert_eq!(found[0].path, [net_f, "library".into(), fs_f]);
    assert!(found[0].to_string().contains("requires = [\"fs\"]"), "{}", found[0]);
}

mod properties {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What a random section is: its kind, module, length, alignment, and what it refers to.
    type Shape = (u8, u8, usize, u32, Vec<usize>);

    const KINDS: [(SectionKind, &str); 4] = [
        (SectionKind::Text, ".text"),
        (SectionKind::ReadOnlyData, ".rodata"),
        (SectionKind::Data, ".data"),
        (SectionKind::UninitializedData, ".bss"),
    ];

    fn build(shapes: &[Shape], starts: &[usize]) -> Os {
        let label = |n: usize| match shapes[n].1 {
            0 => format!("library{n}"),
            1 => name("net", &format!("n{n}")),
            2 => name("fs", &format!("f{n}")),
            _ => name("boot", &format!("b{n}")),
        };
        let reached: Vec<String> = starts.iter().map(|n| label(n % shapes.len())).collect();
        let mut all: Vec<&str> = reached.iter().map(String::as_str).collect();
        all.extend(["bespoke.hook.start:init", "bespoke.table:components", "bespoke.table:refused.init"]);
        let mut asm = Asm::starting(&all);
        for (n, (kind, _, len, align, to)) in shapes.iter().enumerate() {
            let (kind, prefix) = KINDS[usize::from(*kind) % 4];
            let to = if kind == SectionKind::UninitializedData { &[][..] } else { to };
            let bytes = vec![n as u8; *len + to.len() * 8];
            let at = asm.section(&format!("{prefix}.{n}"), kind, &bytes, 1 << align);
            asm.define(&label(n), at, 0, bytes.len() as u64);
            for (m, to) in to.iter().enumerate() {
                asm.relocate(at, (len + m * 8) as u64, elf::R_X86_64_64, &label(to % shapes.len()), 0);
            }
        }
        asm.hook("init", "bespoke_os::net", &[(1, &label(0)), (7, &label(shapes.len() - 1))]);
        asm.hook("init", "bespoke_os::fs", &[(3, &label(shapes.len() / 2))]);
        asm.os(small()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn images_are_sound(
            shapes in prop::collection::vec(
                (0u8..4, 0u8..4, 0usize..300, 0u32..7, prop::collection::vec(any::<usize>(), 0..4)),
                1..60,
            ),
            starts in prop::collection::vec(any::<usize>(), 0..6),
            on in any::<[bool; 2]>(),
            heap in 0usize..2,
        ) {
            let os = build(&shapes, &starts);
            let heap = Decision::Text(CHOSEN[heap].into());
            let set = [("net", Decision::Bool(on[0])), ("fs", Decision::Bool(on[1])), ("heap", heap)];
            let payload = Payload::empty();
            let resolution = resolve(&os, &set);
            let plan = Plan::new(&os, &resolution, &payload).unwrap();
            let bytes = plan.to_vec().unwrap();

            // As large as predicted, by the plan and by the sizer, and the same again.
            let sizer = Sizer::new(&os, &payload);
            prop_assert_eq!(bytes.len() as u64, plan.image_bytes());
            prop_assert_eq!(sizer.footprint(&resolution), plan.footprint());
            prop_assert_eq!(&bytes, &Plan::new(&os, &resolution, &payload).unwrap().to_vec().unwrap());

            // Nothing overlaps, everything is aligned and inside of its region.
            let mut last = BTreeMap::new();
            for part in plan.placements() {
                let region = plan.regions().find(|r| r.region == part.region);
                let Some(region) = region else {
                    prop_assert_eq!(part.size, 0);
                    continue;
                };
                prop_assert!(part.address >= region.address);
                prop_assert!(part.address + part.size <= region.address + region.memory_size);
                let end = last.insert(part.region, part.address + part.size);
                prop_assert!(end.is_none_or(|end| end <= part.address), "{:?}", part);
                if let Some(offset) = part.offset.filter(|_| part.size > 0) {
                    prop_assert_eq!(offset - region.offset, part.address - region.address);
                    prop_assert!(offset + part.size <= region.offset + region.file_size);
                }
            }
            for pair in plan.regions().collect::<Vec<_>>().windows(2) {
                prop_assert!(pair[0].address + pair[0].memory_size <= pair[1].address);
                prop_assert_eq!(pair[0].offset + pair[0].file_size, pair[1].offset, "packed");
            }
            let memory: u64 = plan.regions().map(|r| r.memory_size.next_multiple_of(PAGE)).sum();
            prop_assert_eq!(memory, plan.footprint().boot_memory_bytes);

            // It reads back as what it is.
            let file = object::File::parse(&*bytes).unwrap();
            prop_assert_eq!(file.entry(), plan.entry());
            prop_assert_eq!(file.segments().count(), plan.regions().count());
            let root = plan.regions().find(|r| r.region == Region::Root).unwrap();
            prop_assert_eq!(&bytes[root.offset as usize..][..8], b"BSPKROOT");
            let image = Image { bytes: bytes.clone(), symbols: plan.symbols_elf() };
            for (n, (kind, module, len, align, _)) in shapes.iter().enumerate() {
                let symbol = match module {
                    0 => format!("library{n}"),
                    1 => name("net", &format!("n{n}")),
                    2 => name("fs", &format!("f{n}")),
                    _ => name("boot", &format!("b{n}")),
                };
                if let Some(at) = image.find(&symbol) {
                    prop_assert_eq!(at % (1 << align), 0);
                    let fill = if kind % 4 == 3 { 0 } else { n as u8 };
                    prop_assert_eq!(image.read(at, *len), vec![fill; *len]);
                }
            }

            // No component takes more than there is, and one that is off takes nothing.
            for n in os.tree.nodes() {
                let bytes = plan.component_bytes(n);
                prop_assert_eq!(bytes, sizer.component_bytes(&resolution, n));
                prop_assert!(bytes < plan.image_bytes());
                prop_assert!(resolution.is_on(n) || bytes == 0);
            }
        }

        #[test]
        fn hostile_objects_are_refused_or_read(
            at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            let mut asm = Asm::starting(&["f", "bespoke.hook.start:init"]);
            asm.function("f", &["bespoke_start"]);
            asm.hook("init", "bespoke_os::net", &[(1, "f")]);
            asm.param("bespoke_os::net", "size", 8);
            let mut bytes = asm.bytes();
            for (at, byte) in at {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = Os::from_parts(bytes, small());
        }
    }
}
