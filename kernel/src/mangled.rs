//! Reads which modules of one crate a v0-mangled symbol mentions.
//!
//! A demangler would print a string to be searched again, leave out where an `impl` block stands, and take several
//! times as long; ownership is computed for thousands of symbols at every start. The grammar is that of RFC 2603 with
//! the constants and patterns added since.

/// A tree of module names, walked while a path is read.
pub(crate) trait Modules {
    /// The crate whose modules count.
    fn crate_name(&self) -> &str;
    /// A module's child by name, from module 0, the crate's root.
    fn child(&self, module: u32, name: &str) -> Option<u32>;
}

/// How far a path has been followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In another crate, or a primitive type.
    Elsewhere,
    /// Exactly this module.
    Module(u32),
    /// An item below this module.
    Below(u32),
}

/// Calls `found` with the deepest known module of every path that the symbol mentions: as its own path, as the place
/// of an `impl` block, or as a generic argument. Answers whether the symbol was understood to its end; one that is not
/// a v0 symbol mentions nothing.
pub(crate) fn mentions(symbol: &str, modules: &dyn Modules, found: &mut dyn FnMut(u32)) -> bool {
    let Some(text) = symbol.strip_prefix("_R") else { return false };
    let mut reader = Reader { text, at: 0, depth: 0, paths: Vec::new(), modules, found };
    let read = reader.path().map(|at| reader.mention(at));
    read.is_some()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// Where paths began and how far they led, for back references.
    paths: Vec<(usize, At)>,
    modules: &'a dyn Modules,
    found: &'a mut dyn FnMut(u32),
}

impl<'a> Reader<'a> {
    fn mention(&mut self, at: At) {
        match at {
            At::Elsewhere => {}
            At::Module(module) | At::Below(module) => (self.found)(module),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// Runs one step deeper; `None` when nested beyond what any compiler emits.
    fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let result = if self.depth > 300 { None } else { run(self) };
        self.depth -= 1;
        result
    }

    fn base62(&mut self) -> Option<u64> {
        if self.eat(b'_') {
            return Some(0);
        }
        let mut value = 0u64;
        loop {
            let digit = match self.next()? {
                byte @ b'0'..=b'9' => byte - b'0',
                byte @ b'a'..=b'z' => byte - b'a' + 10,
                byte @ b'A'..=b'Z' => byte - b'A' + 36,
                b'_' => return value.checked_add(1),
                _ => return None,
            };
            value = value.checked_mul(62)?.checked_add(u64::from(digit))?;
        }
    }

    fn disambiguator(&mut self) -> Option<()> {
        if self.eat(b's') {
            self.base62()?;
        }
        Some(())
    }

    fn ident(&mut self) -> Option<&'a str> {
        self.disambiguator()?;
        self.plain_ident()
    }

    fn plain_ident(&mut self) -> Option<&'a str> {
        self.eat(b'u');
        let mut len = 0usize;
        let first = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            len = len.checked_mul(10)?.checked_add(usize::from(digit - b'0'))?;
            self.at += 1;
            if len == 0 {
                break;
            }
        }
        if self.at == first {
            return None;
        }
        self.eat(b'_');
        let end = self.at.checked_add(len)?;
        let name = self.text.get(self.at..end)?;
        self.at = end;
        Some(name)
    }

    fn path(&mut self) -> Option<At> {
        self.nested(Self::path_here)
    }

    fn path_here(&mut self) -> Option<At> {
        let began = self.at;
        let at = match self.next()? {
            b'C' => {
                let name = self.ident()?;
                if name == self.modules.crate_name() { At::Module(0) } else { At::Elsewhere }
            }
            b'M' => {
                self.impl_path()?;
                self.kind()?;
                At::Elsewhere
            }
            b'X' => {
                self.impl_path()?;
                self.kind()?;
                let of = self.path()?;
                self.mention(of);
                At::Elsewhere
            }
            b'Y' => {
                self.kind()?;
                let of = self.path()?;
                self.mention(of);
                At::Elsewhere
            }
            b'N' => {
                let namespace = self.next()?;
                let parent = self.path()?;
                let name = self.ident()?;
                match parent {
                    At::Module(module) if namespace == b't' => match self.modules.child(module, name) {
                        Some(child) => At::Module(child),
                        None => At::Below(module),
                    },
                    At::Module(module) => At::Below(module),
                    other => other,
                }
            }
            b'I' => {
                let base = self.path()?;
                while !self.eat(b'E') {
                    self.generic()?;
                }
                match base {
                    At::Module(module) => At::Below(module),
                    other => other,
                }
            }
            b'B' => {
                let to = usize::try_from(self.base62()?).ok()?;
                return self.paths.iter().find(|(began, _)| *began == to).map(|(_, at)| *at);
            }
            _ => return None,
        };
        self.paths.push((began, at));
        Some(at)
    }

    fn impl_path(&mut self) -> Option<()> {
        self.disambiguator()?;
        let at = self.path()?;
        self.mention(at);
        Some(())
    }

    fn generic(&mut self) -> Option<()> {
        if self.eat(b'L') {
            self.base62().map(drop)
        } else if self.eat(b'K') {
            self.constant()
        } else {
            self.kind()
        }
    }

    fn binder(&mut self) -> Option<()> {
        if self.eat(b'G') {
            self.base62()?;
        }
        Some(())
    }

    /// A type.
    fn kind(&mut self) -> Option<()> {
        self.nested(Self::kind_here)
    }

    fn kind_here(&mut self) -> Option<()> {
        match self.peek()? {
            b'a'..=b'z' => self.at += 1,
            b'A' => {
                self.at += 1;
                self.kind()?;
                self.constant()?;
            }
            b'S' | b'P' | b'O' => {
                self.at += 1;
                self.kind()?;
            }
            b'R' | b'Q' => {
                self.at += 1;
                if self.eat(b'L') {
                    self.base62()?;
                }
                self.kind()?;
            }
            b'T' => {
                self.at += 1;
                while !self.eat(b'E') {
                    self.kind()?;
                }
            }
            b'F' => {
                self.at += 1;
                self.binder()?;
                self.eat(b'U');
                if self.eat(b'K') && !self.eat(b'C') {
                    self.plain_ident()?;
                }
                while !self.eat(b'E') {
                    self.kind()?;
                }
                self.kind()?;
            }
            b'D' => {
                self.at += 1;
                self.binder()?;
                while !self.eat(b'E') {
                    let of = self.path()?;
                    self.mention(of);
                    while self.eat(b'p') {
                        self.plain_ident()?;
                        if self.eat(b'K') {
                            self.constant()?;
                        } else {
                            self.kind()?;
                        }
                    }
                }
                if !self.eat(b'L') {
                    return None;
                }
                self.base62()?;
            }
            b'W' => {
                self.at += 1;
                self.kind()?;
                self.pattern()?;
            }
            b'B' => {
                self.at += 1;
                self.base62()?; // what it repeats was mentioned where it stands
            }
            _ => {
                let of = self.path()?;
                self.mention(of);
            }
        }
        Some(())
    }

    fn pattern(&mut self) -> Option<()> {
        match self.next()? {
            b'R' => {
                self.constant()?;
                self.constant()
            }
            b'O' => {
                while !self.eat(b'E') {
                    self.nested(Self::pattern)?;
                }
                Some(())
            }
            b'N' => Some(()),
            _ => None,
        }
    }

    fn constant(&mut self) -> Option<()> {
        self.nested(Self::constant_here)
    }

    fn constant_here(&mut self) -> Option<()> {
        match self.next()? {
            b'p' => {}
            b'B' => drop(self.base62()?),
            b'R' | b'Q' => self.constant()?,
            b'A' | b'T' => {
                while !self.eat(b'E') {
                    self.constant()?;
                }
            }
            b'V' => {
                let of = self.path()?;
                self.mention(of);
                match self.next()? {
                    b'U' => {}
                    b'T' => {
                        while !self.eat(b'E') {
                            self.constant()?;
                        }
                    }
                    b'S' => {
                        while !self.eat(b'E') {
                            self.ident()?;
                            self.constant()?;
                        }
                    }
                    _ => return None,
                }
            }
            // A number, a bool, a char, or a string: an optional sign and hexadecimal digits.
            b'a'..=b'z' => {
                self.eat(b'n');
                while self.next()? != b'_' {}
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    /// `bespoke_os::net::tcp` and `bespoke_os::abi`.
    impl Modules for Two {
        fn crate_name(&self) -> &str {
            "bespoke_os"
        }
        fn child(&self, module: u32, name: &str) -> Option<u32> {
            match (module, name) {
                (0, "net") => Some(1),
                (1, "tcp") => Some(2),
                (0, "abi") => Some(3),
                _ => None,
            }
        }
    }

    fn read(symbol: &str) -> Vec<u32> {
        let mut all = Vec::new();
        assert!(mentions(symbol, &Two, &mut |m| all.push(m)), "{symbol} is not understood");
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn a_path_counts_for_its_deepest_module() {
        assert_eq!(read("_RNvNtCs6Eo4zCYzPXk_10bespoke_os3net1a"), [1]);
        assert_eq!(read("_RNvNtNtCs6Eo4zCYzPXk_10bespoke_os3net3tcp4open"), [2]);
        assert_eq!(read("_RNvNtNtNtCs6Eo4zCYzPXk_10bespoke_os3net3tcp5inner4open"), [2]);
        assert_eq!(read("_RNCNvNtNtCs6Eo4zCYzPXk_10bespoke_os3net3tcp4open0B7_"), [2], "a closure");
        assert_eq!(read("_RNvCs6Eo4zCYzPXk_10bespoke_os4main"), [0]);
    }

    #[test]
    fn the_place_of_an_impl_counts() {
        // <alloc::vec::Vec<u8> as bespoke_os::abi::File>::read, implemented in bespoke_os::net::tcp
        let symbol = "_RNvXNtNtCs6Eo4zCYzPXk_10bespoke_os3net3tcpINtNtCsfySoobUK4LL_5alloc3vec3VechENtNtB6_3abi4File4read";
        assert_eq!(
            rustc_demangle::demangle(symbol).to_string().matches("tcp").count(),
            0,
            "why not to demangle"
        );
        assert_eq!(read(symbol), [2, 3]);
    }

    #[test]
    fn generic_arguments_count_and_the_instantiating_crate_does_not() {
        let symbol = "_RINvNtCsg3SjgaGcPXb_4core3mem4dropNtNtNtCs6Eo4zCYzPXk_10bespoke_os3net3tcp6SocketEBL_";
        assert_eq!(read(symbol), [2]);
        let symbol = "_RNvMs_NtCsfySoobUK4LL_5alloc5boxedINtB4_3BoxINtNtNtNtB6_11collections5btree4node8LeafNodeyxEE13new_uninit_inCs6Eo4zCYzPXk_10bespoke_os";
        assert_eq!(read(symbol), [] as [u32; 0]);
    }

    #[test]
    fn what_is_not_v0_mentions_nothing() {
        for symbol in ["memcpy", "bespoke_start", "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "", "_R"]
        {
            assert!(!mentions(symbol, &Two, &mut |_| panic!("{symbol}")));
        }
    }

    proptest::proptest! {
        #[test]
        fn hostile_symbols_end(symbol in "_R[A-Za-z0-9_]{0,200}") {
            mentions(&symbol, &Two, &mut |_| {});
        }
    }
}
