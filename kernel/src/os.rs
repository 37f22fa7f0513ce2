//! The library OS as the composer sees it: the object, the component tree, and what names tie them together.

use std::collections::{BTreeMap, HashMap};

use bespoke_model::{Kind, NodeId, ParamId, Tree};

use crate::mangled::{self, Modules};
use crate::object::{Class, ExternalKind, Object, ObjectError, Section, SectionId, Target};

/// The crate that the library OS is.
const CRATE: &str = "bespoke_os";
/// The hook whose entries are system calls.
pub(crate) const SYSCALL: &str = "syscall";
/// The hook whose keys are families of sockets, as `socket(2)` numbers them.
pub(crate) const SOCKET_FAMILY: &str = "socket-family";

/// Why an object and a component tree do not make a library OS.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The declarations are wrong.
    #[error("the component declarations are wrong: {0}")]
    Tree(String),
    /// A name that speaks to the composer, about a module that is no component.
    #[error(
        "{name} names the module {module}, which is no component; declare it in a .toml file beside the module"
    )]
    NoComponent {
        /// The section or symbol.
        name: String,
        /// The module in it.
        module: String,
    },
    /// A name that begins like one that speaks to the composer, but does not go on like one.
    #[error("{0} is not a name that the composer knows; see ARCHITECTURE.md for those that it does")]
    Name(String),
    /// Hook entries that are not entries.
    #[error("{section} does not hold hook entries: {what}; register with the macro")]
    Hook {
        /// The section.
        section: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A choice symbol for something that is not a choice.
    #[error("{name} asks for a choice, but {id} is declared as a {kind}; declare it with kind = \"choice\"")]
    NotAChoice {
        /// The symbol.
        name: String,
        /// The component.
        id: String,
        /// What it is declared as.
        kind: &'static str,
    },
    /// An implementation for a choice by something that is not one of its members.
    #[error("{name} implements a choice, but {id} is no member of one; move it into the choice's folder")]
    NotAMember {
        /// The symbol.
        name: String,
        /// The component.
        id: String,
    },
    /// A parameter that is not declared.
    #[error(
        "{name} stores the parameter {param}, which is not declared; add it to the component's .toml file"
    )]
    NoParam {
        /// The symbol.
        name: String,
        /// The parameter's id.
        param: String,
    },
    /// A parameter whose storage has no known form.
    #[error("{name} takes {size} bytes; a parameter takes 8 or 16")]
    ParamSize {
        /// The symbol.
        name: String,
        /// How many.
        size: u64,
    },
}

/// The library OS: every component, compiled, and the tree that declares them.
#[derive(Debug, Clone)]
pub struct Os {
    /// The components and what is between them.
    pub tree: Tree,
    /// Their code and data.
    pub object: Object,
    pub(crate) index: Index,
}

impl Os {
    /// Puts an object and a tree together.
    ///
    /// # Errors
    /// When the object cannot be read, or names what the tree does not have.
    pub fn from_parts(object: Vec<u8>, tree: Tree) -> Result<Self, LoadError> {
        let object = Object::parse(object)?;
        let index = Index::new(&object, &tree)?;
        Ok(Self { tree, object, index })
    }

    /// The components that a section belongs to: those whose modules its symbols mention.
    pub fn owners(&self, section: SectionId) -> &[NodeId] {
        self.index.owners_of(section.0)
    }
}

/// Everything about the object that does not depend on a configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    owners: Vec<NodeId>,
    owners_at: Vec<u32>,
    /// For every section, whether it is laid out at all by its class; hook sections are laid out as entries.
    pub(crate) hook_of: Vec<Option<u32>>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) externals: Vec<Bind>,
    /// Distinct targets of every section's relocations: sections, then externals, numbered on.
    edges: Vec<u32>,
    edges_at: Vec<u32>,
    /// The sections of each class in the order of their layout.
    pub(crate) order: [Vec<u32>; 4],
    /// The component by which each section is grouped, plus one; 0 for none.
    pub(crate) group: Vec<u32>,
    pub(crate) params: Vec<ParamSlot>,
    /// The tree's nodes by number.
    pub(crate) nodes: Vec<NodeId>,
}

/// Registrations for one hook.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) sections: Vec<HookSection>,
    /// The keys of each component that registers, by component.
    pub(crate) keys: Vec<(NodeId, Vec<u64>)>,
}

#[derive(Debug, Clone)]
pub(crate) struct HookSection {
    pub(crate) section: u32,
    pub(crate) component: NodeId,
    pub(crate) keys: Vec<u64>,
}

/// What an undefined symbol means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bind {
    HookStart(u32),
    HookEnd(u32),
    Choice(ChoiceItem),
    Layout(Layout),
    Table(Table),
    TableEnd(Table),
    Fixed(u64),
    Unknown,
}

/// One function of a choice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChoiceItem {
    pub(crate) choice: NodeId,
    /// Its members' implementations, as far as they have one.
    pub(crate) members: Vec<(NodeId, u32, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    TextStart,
    TextEnd,
    RodataStart,
    RodataEnd,
    DataStart,
    DataEnd,
    RootStart,
    RootEnd,
    RootIndex,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Components,
    /// Of the hook with this number.
    Refused(u32),
    Program,
}

/// Where a parameter's value goes.
#[derive(Debug, Clone)]
pub(crate) struct ParamSlot {
    pub(crate) param: ParamId,
    pub(crate) section: u32,
    pub(crate) offset: u64,
    pub(crate) wide: bool,
}

impl Index {
    pub(crate) fn owners_of(&self, section: u32) -> &[NodeId] {
        let at = section as usize;
        &self.owners[self.owners_at[at] as usize..self.owners_at[at + 1] as usize]
    }

    pub(crate) fn edges_of(&self, section: u32) -> &[u32] {
        let at = section as usize;
        &self.edges[self.edges_at[at] as usize..self.edges_at[at + 1] as usize]
    }

    fn new(object: &Object, tree: &Tree) -> Result<Self, LoadError> {
        let modules = ModuleTree::new(tree);
        let mut index = Self { nodes: tree.nodes().collect(), ..Self::default() };
        index.read_owners(object, &modules);
        index.read_hooks(object, &modules)?;
        index.read_params(object, tree, &modules)?;
        index.read_externals(object, tree, &modules)?;
        index.read_edges(object);
        index.order_sections(object);
        Ok(index)
    }

    fn read_owners(&mut self, object: &Object, modules: &ModuleTree) {
        self.owners_at.push(0);
        for section in &object.sections {
            let first = self.owners.len();
            {
                let owners = &mut self.owners;
                let mut own = |module: u32| {
                    if let Some(component) = modules.component_of[module as usize]
                        && !owners[first..].contains(&component)
                    {
                        owners.push(component);
                    }
                };
                for symbol in object.symbols_of(section) {
                    let name = object.symbol_name(symbol);
                    match spoken_module(name) {
                        Some(path) => {
                            if let Some(module) = modules.walk(path) {
                                own(module);
                            }
                        }
                        None => {
                            mangled::mentions(name, modules, &mut own);
                        }
                    }
                }
                if let Some((_, path)) = hook_section(object.section_name(section))
                    && let Some(module) = modules.walk(path)
                {
                    own(module);
                }
            }
            self.owners[first..].sort_unstable();
            self.owners_at.push(self.owners.len() as u32);
        }
        self.group = (0..object.sections.len() as u32)
            .map(|s| self.owners_of(s).first().map_or(0, |n| n.index() as u32 + 1))
            .collect();
    }

    fn read_hooks(&mut self, object: &Object, modules: &ModuleTree) -> Result<(), LoadError> {
        self.hook_of = vec![None; object.sections.len()];
        let mut found: BTreeMap<&str, Vec<HookSection>> = BTreeMap::new();
        for (at, section) in object.sections.iter().enumerate() {
            let name = object.section_name(section);
            let Some((hook, path)) = hook_section(name) else {
                if name.starts_with(".bespoke.hook") {
                    return Err(LoadError::Name(name.into()));
                }
                continue;
            };
            let component = modules
                .component(path)
                .ok_or_else(|| LoadError::NoComponent { name: name.into(), module: path.into() })?;
            let keys = read_entries(object, section)?;
            found.entry(hook).or_default().push(HookSection { section: at as u32, component, keys });
        }
        for (name, sections) in found {
            let mut keys: BTreeMap<NodeId, Vec<u64>> = BTreeMap::new();
            for section in &sections {
                self.hook_of[section.section as usize] = Some(self.hooks.len() as u32);
                keys.entry(section.component).or_default().extend(&section.keys);
            }
            keys.values_mut().for_each(|keys| keys.sort_unstable());
            self.hooks.push(Hook { name: name.into(), sections, keys: keys.into_iter().collect() });
        }
        for relocation in &object.relocations {
            if let Target::Section(to) = relocation.target
                && self.hook_of[to as usize].is_some()
            {
                let section = object.section_name(&object.sections[to as usize]).into();
                return Err(LoadError::Hook { section, what: "code refers to them directly" });
            }
        }
        Ok(())
    }

    fn hook(&mut self, name: &str) -> u32 {
        let at = self.hooks.iter().position(|hook| hook.name == name).unwrap_or_else(|| {
            self.hooks.push(Hook { name: name.into(), ..Hook::default() });
            self.hooks.len() - 1
        });
        at as u32
    }

    fn read_params(&mut self, object: &Object, tree: &Tree, modules: &ModuleTree) -> Result<(), LoadError> {
        for symbol in &object.symbols {
            let name = object.symbol_name(symbol);
            let Some(rest) = name.strip_prefix("bespoke.param:") else { continue };
            let (path, param) = rest.rsplit_once(':').ok_or_else(|| LoadError::Name(name.into()))?;
            let path = path.strip_suffix(':').unwrap_or(path);
            let component = modules
                .component(path)
                .ok_or_else(|| LoadError::NoComponent { name: name.into(), module: path.into() })?;
            let id = format!("{}.{param}", tree.node(component).id);
            let found = tree.find_param(&id).or_else(|| tree.find_param(&id.replace('_', "-")));
            let param = found.ok_or_else(|| LoadError::NoParam { name: name.into(), param: id })?;
            let section = &object.sections[symbol.section as usize];
            let size = if symbol.size == 0 { section.size } else { symbol.size };
            if !matches!(size, 8 | 16) || symbol.value + size > section.size {
                return Err(LoadError::ParamSize { name: name.into(), size });
            }
            let (section, offset) = (symbol.section, symbol.value);
            self.params.push(ParamSlot { param, section, offset, wide: size == 16 });
        }
        self.params.sort_by_key(|slot| (slot.param, slot.section, slot.offset));
        Ok(())
    }

    fn read_externals(
        &mut self,
        object: &Object,
        tree: &Tree,
        modules: &ModuleTree,
    ) -> Result<(), LoadError> {
        // Implementations by member and item.
        let mut implementations: HashMap<(NodeId, &str), (u32, u64)> = HashMap::new();
        for symbol in &object.symbols {
            let name = object.symbol_name(symbol);
            let Some(rest) = name.strip_prefix("bespoke.impl:") else { continue };
            let (path, item) = rest.rsplit_once(':').ok_or_else(|| LoadError::Name(name.into()))?;
            let component = modules
                .component(path)
                .ok_or_else(|| LoadError::NoComponent { name: name.into(), module: path.into() })?;
            if tree.choice_of(component).is_none() {
                return Err(LoadError::NotAMember { name: name.into(), id: tree.node(component).id.clone() });
            }
            implementations.insert((component, item), (symbol.section, symbol.value));
        }
        for external in &object.externals {
            let name = external.name.as_str();
            let bind = match external.kind {
                ExternalKind::Absolute(value) => Bind::Fixed(value),
                _ if name.starts_with("bespoke.") => {
                    let unknown = || LoadError::Name(name.into());
                    let rest = &name["bespoke.".len()..];
                    let (kind, rest) = rest.split_once(':').ok_or_else(unknown)?;
                    match kind {
                        "hook.start" => Bind::HookStart(self.hook(rest)),
                        "hook.end" => Bind::HookEnd(self.hook(rest)),
                        "choice" => Bind::Choice(choice_item(name, rest, tree, modules, &implementations)?),
                        "layout" => Bind::Layout(Layout::named(rest).ok_or_else(unknown)?),
                        "table" => Bind::Table(self.table(rest).ok_or_else(unknown)?),
                        "table.end" => Bind::TableEnd(self.table(rest).ok_or_else(unknown)?),
                        _ => return Err(unknown()),
                    }
                }
                ExternalKind::Weak => Bind::Fixed(0),
                ExternalKind::Undefined => Bind::Unknown,
            };
            self.externals.push(bind);
        }
        Ok(())
    }

    fn table(&mut self, name: &str) -> Option<Table> {
        match name {
            "components" => Some(Table::Components),
            "program" => Some(Table::Program),
            _ => Some(Table::Refused(self.hook(name.strip_prefix("refused.")?))),
        }
    }

    fn read_edges(&mut self, object: &Object) {
        self.edges_at.push(0);
        let sections = object.sections.len() as u32;
        let mut last = vec![u32::MAX; object.sections.len() + object.externals.len()];
        for (at, section) in object.sections.iter().enumerate() {
            for relocation in object.relocations_of(section) {
                let to = match relocation.target {
                    Target::Section(to) => to,
                    Target::External(to) => sections + to,
                };
                if to != at as u32 && std::mem::replace(&mut last[to as usize], at as u32) != at as u32 {
                    self.edges.push(to);
                }
            }
            self.edges_at.push(self.edges.len() as u32);
        }
    }

    /// Inside a region sections are grouped by component, and inside a group the most aligned come first.
    fn order_sections(&mut self, object: &Object) {
        for at in 0..object.sections.len() {
            if self.hook_of[at].is_none() {
                self.order[self.class_of(object, at as u32) as usize].push(at as u32);
            }
        }
        for order in &mut self.order {
            order.sort_by_key(|at| {
                let section = &object.sections[*at as usize];
                (self.group[*at as usize], std::cmp::Reverse(section.align), *at)
            });
        }
    }

    /// The class a section is laid out in: zeroed memory that holds a parameter gets bytes.
    pub(crate) fn class_of(&self, object: &Object, section: u32) -> Class {
        match object.sections[section as usize].class {
            Class::Bss if self.params.iter().any(|slot| slot.section == section) => Class::Data,
            class => class,
        }
    }
}

/// The module path in a symbol that speaks to the composer.
fn spoken_module(symbol: &str) -> Option<&str> {
    let rest = symbol.strip_prefix("bespoke.impl:").or_else(|| symbol.strip_prefix("bespoke.param:"))?;
    rest.rsplit_once(':').map(|(path, _)| path)
}

/// `.bespoke.hook:<hook>:<module path>`.
fn hook_section(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(".bespoke.hook:")?.split_once(':')
}

/// The keys of a section of hook entries.
fn read_entries(object: &Object, section: &Section) -> Result<Vec<u64>, LoadError> {
    let wrong = |what| LoadError::Hook { section: object.section_name(section).into(), what };
    if !matches!(section.class, Class::Rodata | Class::Data) {
        return Err(wrong("they have no bytes"));
    }
    let bytes = object.section_bytes(section);
    if !bytes.len().is_multiple_of(16) {
        return Err(wrong("its length is no multiple of 16"));
    }
    if object
        .relocations_of(section)
        .iter()
        .any(|r| r.offset % 16 < 8 || r.offset % 16 + r.patch.width() > 16)
    {
        return Err(wrong("a key is an address"));
    }
    let key = |entry: &[u8]| u64::from_le_bytes(entry[..8].try_into().unwrap_or_default());
    Ok(bytes.chunks_exact(16).map(key).collect())
}

fn choice_item(
    name: &str,
    rest: &str,
    tree: &Tree,
    modules: &ModuleTree,
    implementations: &HashMap<(NodeId, &str), (u32, u64)>,
) -> Result<ChoiceItem, LoadError> {
    let (path, item) = rest.rsplit_once(':').ok_or_else(|| LoadError::Name(name.into()))?;
    let choice = modules
        .component(path)
        .ok_or_else(|| LoadError::NoComponent { name: name.into(), module: path.into() })?;
    let node = tree.node(choice);
    if node.kind != Kind::Choice {
        let (id, kind) = (node.id.clone(), node.kind.name());
        return Err(LoadError::NotAChoice { name: name.into(), id, kind });
    }
    let members = node.children.iter();
    let members = members
        .filter_map(|m| implementations.get(&(*m, item)).map(|(section, value)| (*m, *section, *value)))
        .collect();
    Ok(ChoiceItem { choice, members })
}

impl Layout {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "text.start" => Self::TextStart,
            "text.end" => Self::TextEnd,
            "rodata.start" => Self::RodataStart,
            "rodata.end" => Self::RodataEnd,
            "data.start" => Self::DataStart,
            "data.end" => Self::DataEnd,
            "root.start" => Self::RootStart,
            "root.end" => Self::RootEnd,
            "root.index" => Self::RootIndex,
            _ => return None,
        })
    }
}

/// The tree of modules that have a declaration.
struct ModuleTree {
    children: Vec<Vec<(String, u32)>>,
    /// The component or choice that code in a module belongs to.
    component_of: Vec<Option<NodeId>>,
}

impl ModuleTree {
    fn new(tree: &Tree) -> Self {
        let mut modules = Self { children: vec![Vec::new()], component_of: vec![None] };
        // Preorder: a node comes after the one that it lies in.
        let mut module_of: HashMap<NodeId, u32> = HashMap::new();
        for n in tree.nodes() {
            let node = tree.node(n);
            let parent = node.parent.and_then(|p| module_of.get(&p).copied()).unwrap_or(0);
            let module = modules.component_of.len() as u32;
            let name = bespoke_model::last_part(&node.id).replace('-', "_");
            modules.children[parent as usize].push((name, module));
            modules.children.push(Vec::new());
            modules.component_of.push(if node.kind == Kind::Menu { node.within } else { Some(n) });
            module_of.insert(n, module);
        }
        modules
    }

    /// The deepest module that a path leads to; `None` when it is of another crate.
    fn walk(&self, path: &str) -> Option<u32> {
        let mut parts = path.split("::");
        if parts.next() != Some(CRATE) {
            return None;
        }
        let mut module = 0;
        for part in parts {
            match self.child(module, part) {
                Some(child) => module = child,
                None => break,
            }
        }
        Some(module)
    }

    fn component(&self, path: &str) -> Option<NodeId> {
        self.component_of[self.walk(path)? as usize]
    }
}

impl Modules for ModuleTree {
    fn crate_name(&self) -> &str {
        CRATE
    }

    fn child(&self, module: u32, name: &str) -> Option<u32> {
        self.children[module as usize].iter().find(|(child, _)| child == name).map(|(_, child)| *child)
    }
}
