//! [`Tree`]: the modules of one crate, what each names, and which paths its code contains.
//!
//! The sources are given as text, so that the tests of this engine can write a crate in a
//! few lines. Whatever is compiled for tests only (`#[cfg(test)]`) is left out, because a
//! test may look at everything.

use std::collections::BTreeMap;

use syn::{Attribute, Expr, Item, ItemMod, Lit, Meta, Token, punctuated::Punctuated};

use crate::paths::{self, Found};

/// The text of each file, by its path below `src`.
pub type Sources = BTreeMap<String, String>;

/// The segments of a path, such as `["super", "leap", "LeapTable"]`.
pub type Segments = Vec<String>;

/// A module's position in [`Tree::modules`].
pub type Id = usize;

/// All modules of one crate. The first is its root.
pub struct Tree {
    pub modules: Vec<Module>,
}

/// One module, in a file of its own or inline in another's.
pub struct Module {
    /// The file's path below `src`, without `.rs` and without `/mod`.
    pub file: String,
    pub parent: Option<Id>,
    /// What each name in this module may stand for. Types, values and macros have separate
    /// namespaces in Rust, so that one name may have several meanings.
    pub names: BTreeMap<String, Vec<Meaning>>,
    pub uses: Vec<Use>,
    /// Every path in code outside of `use`.
    pub paths: Vec<Segments>,
}

/// What a name stands for.
#[derive(Clone)]
pub enum Meaning {
    /// A type, trait or union that this module defines. Its path may go on, as in `Type::new`.
    Type,
    /// A function, constant or macro that this module defines. Its path ends with it.
    Value,
    /// A child module.
    Module(Id),
    /// The item at the end of a `use` path: the index into [`Module::uses`].
    Used(usize),
}

/// One leaf of a `use` item.
pub struct Use {
    pub path: Segments,
    /// The name it gets here; `None` for a glob and for `as _`.
    pub name: Option<String>,
    pub is_glob: bool,
    /// Whether it has a visibility, and so is for others to use.
    pub is_reexport: bool,
}

impl Tree {
    /// Reads the crate whose root is the file `root`, such as `lib.rs`.
    pub fn read(sources: &Sources, root: &str) -> Tree {
        let mut tree = Tree { modules: Vec::new() };
        let folder = folder_of(root).to_owned();
        tree.add_file(sources, root, &folder, None);
        tree
    }

    /// Adds the module in `file`, whose child files are in `folder`.
    fn add_file(&mut self, sources: &Sources, file: &str, folder: &str, parent: Option<Id>) -> Id {
        let text = sources.get(file).unwrap_or_else(|| panic!("{file} is declared and missing"));
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add_module(sources, file, folder, parent, &parsed.items)
    }

    fn add_module(
        &mut self,
        sources: &Sources,
        file: &str,
        folder: &str,
        parent: Option<Id>,
        items: &[Item],
    ) -> Id {
        let id = self.modules.len();
        let Found { uses, paths } = paths::collect(items);
        let mut names: BTreeMap<String, Vec<Meaning>> = BTreeMap::new();
        for (at, used) in uses.iter().enumerate() {
            if let Some(name) = &used.name {
                names.entry(name.clone()).or_default().push(Meaning::Used(at));
            }
        }
        for (name, meaning) in items.iter().filter_map(paths::definition) {
            names.entry(name).or_default().push(meaning);
        }
        self.modules.push(Module { file: short(file), parent, names, uses, paths });
        for item in items {
            if let Item::Mod(child) = item
                && !paths::is_for_tests(&child.attrs)
            {
                for made in self.add_child(sources, file, folder, id, child) {
                    let name = child.ident.to_string();
                    let names = &mut self.modules[id].names;
                    names.entry(name).or_default().push(Meaning::Module(made));
                }
            }
        }
        id
    }

    /// Adds the module or, where `#[cfg_attr(…, path = …)]` chooses between files, each of them.
    fn add_child(
        &mut self,
        sources: &Sources,
        file: &str,
        folder: &str,
        parent: Id,
        child: &ItemMod,
    ) -> Vec<Id> {
        let below = join(folder, &child.ident.to_string());
        if let Some((_, items)) = &child.content {
            return vec![self.add_module(sources, file, &below, Some(parent), items)];
        }
        let chosen: Vec<String> = child.attrs.iter().filter_map(path_attribute).collect();
        let files = match chosen.is_empty() {
            true => vec![format!("{below}.rs"), join(&below, "mod.rs")],
            false => chosen.iter().map(|path| join(folder_of(file), path)).collect(),
        };
        let found: Vec<&String> = files.iter().filter(|file| sources.contains_key(*file)).collect();
        assert!(!found.is_empty(), "{file} declares {}, and none of {files:?} exists", child.ident);
        let add = |file: &String| {
            let folder = match file.strip_suffix("/mod.rs") {
                Some(folder) => folder,
                None => file.strip_suffix(".rs").unwrap_or(file),
            };
            self.add_file(sources, file, folder, Some(parent))
        };
        found.into_iter().map(add).collect()
    }

    /// Whether `module` is `ancestor` or below it.
    pub fn is_within(&self, module: Id, ancestor: Id) -> bool {
        let mut at = Some(module);
        while let Some(id) = at {
            if id == ancestor {
                return true;
            }
            at = self.modules[id].parent;
        }
        false
    }
}

/// `path = "…"`, also within a `cfg_attr`.
fn path_attribute(attribute: &Attribute) -> Option<String> {
    let text = |meta: &Meta| match meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    if attribute.path().is_ident("cfg_attr") {
        let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
        return attribute.parse_args_with(parse).ok()?.iter().find_map(text);
    }
    text(&attribute.meta)
}

fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `folder/path`, with each `..` resolved.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// `clock/mod.rs` is `clock`, and `clock/driver.rs` is `clock/driver`.
fn short(file: &str) -> String {
    let name = file.strip_suffix(".rs").unwrap_or(file);
    name.strip_suffix("/mod").unwrap_or(name).to_owned()
}
