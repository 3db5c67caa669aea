//! [`imports`]: which file uses an item that which other file defines.
//!
//! A path is followed as the compiler follows it: `crate`, `self` and `super` of any depth,
//! names that a `use` brought in, and re-exports until the module that defines the item. So
//! `use crate::clock::Counter` is an import of the file that defines `Counter`, however many
//! re-exports lie between. Three cases need a decision:
//!
//! - A module that re-exports an item of its own descendant does not import it. It only
//!   publishes it. Code of that module that uses the item imports it all the same.
//! - A `use` that names a module imports nothing yet, because each use of the module's
//!   items is a path of its own. To re-export somebody else's module does import it, and
//!   so does a glob, because what is used of it cannot be seen.
//! - An item that cannot be found (a macro has defined it) counts as defined in the last
//!   module that the path names.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Id, Meaning, Segments, Tree, Use};

/// For each pair of files, the items that the first uses and the second defines.
pub type Imports = BTreeMap<(String, String), BTreeSet<String>>;

/// What a path leads to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Item { module: Id, name: String },
    Module(Id),
}

/// Every import of one file from another.
pub fn imports(tree: &Tree) -> Imports {
    let mut imports = Imports::new();
    for (importer, module) in tree.modules.iter().enumerate() {
        let resolver = || Resolver { tree, followed: BTreeSet::new() };
        let mut add = |defined_in: Id, item: &str| {
            let (from, to) = (&module.file, &tree.modules[defined_in].file);
            if from != to {
                let key = (from.clone(), to.clone());
                imports.entry(key).or_default().insert(item.to_owned());
            }
        };
        for used in &module.uses {
            for target in resolver().resolve(importer, &used.path) {
                if let Some((defined_in, item)) = imported(tree, importer, used, target) {
                    add(defined_in, &item);
                }
            }
        }
        for path in &module.paths {
            for target in resolver().resolve(importer, path) {
                if let Target::Item { module, name } = target {
                    add(module, &name);
                }
            }
        }
    }
    imports
}

/// The item that a `use` imports, and the module that defines it.
fn imported(tree: &Tree, importer: Id, used: &Use, target: Target) -> Option<(Id, String)> {
    let (module, item) = match target {
        Target::Item { module, name } => (module, name),
        Target::Module(module) => {
            let is_ours = tree.is_within(importer, module) && !used.is_glob;
            let names = &tree.modules[module].names;
            let is_item = |meaning: &Meaning| matches!(meaning, Meaning::Type | Meaning::Value);
            let defines = names.values().flatten().any(is_item);
            if is_ours || !defines || !(used.is_glob || used.is_reexport) {
                return None;
            }
            (module, "*".to_owned())
        }
    };
    let only_published = used.is_reexport && tree.is_within(module, importer);
    (!only_published).then_some((module, item))
}

struct Resolver<'a> {
    tree: &'a Tree,
    /// The `use` leaves on the way: each is followed once, because re-exports may be circular.
    followed: BTreeSet<(Id, usize, String)>,
}

impl Resolver<'_> {
    /// Everything that `path` may mean in the module `at`; nothing if it is another crate's.
    fn resolve(&mut self, at: Id, path: &[String]) -> BTreeSet<Target> {
        let Some((first, rest)) = path.split_first() else { return BTreeSet::new() };
        match first.as_str() {
            "crate" => self.walk(0, rest),
            "self" => self.walk(at, rest),
            "super" => self.walk(self.tree.modules[at].parent.unwrap_or(0), rest),
            name => {
                let found = self.look_up(at, name, rest.is_empty());
                self.go_on(found, rest)
            }
        }
    }

    fn walk(&mut self, at: Id, rest: &[String]) -> BTreeSet<Target> {
        let Some((first, rest)) = rest.split_first() else {
            return BTreeSet::from([Target::Module(at)]);
        };
        match first.as_str() {
            "super" => self.walk(self.tree.modules[at].parent.unwrap_or(0), rest),
            "self" => self.walk(at, rest),
            name => {
                let found = self.look_up(at, name, rest.is_empty());
                if found.is_empty() {
                    let name = name.to_owned();
                    return BTreeSet::from([Target::Item { module: at, name }]);
                }
                self.go_on(found, rest)
            }
        }
    }

    /// What comes after an item (a variant, a method) belongs to the item.
    fn go_on(&mut self, found: BTreeSet<Target>, rest: &[String]) -> BTreeSet<Target> {
        let step = |target| match target {
            Target::Module(module) => self.walk(module, rest),
            item => BTreeSet::from([item]),
        };
        found.into_iter().flat_map(step).collect()
    }

    /// What a name stands for in a module: its own items first, then those of its globs. Only the
    /// last name of a path may be a value.
    fn look_up(&mut self, at: Id, name: &str, is_last: bool) -> BTreeSet<Target> {
        let module = &self.tree.modules[at];
        let mut found = BTreeSet::new();
        for meaning in module.names.get(name).into_iter().flatten() {
            match *meaning {
                Meaning::Value if !is_last => {}
                Meaning::Type | Meaning::Value => {
                    found.insert(Target::Item { module: at, name: name.to_owned() });
                }
                Meaning::Module(child) => {
                    found.insert(Target::Module(child));
                }
                Meaning::Used(index) => {
                    found.extend(self.follow(at, index, name, &module.uses[index].path));
                }
            }
        }
        if found.is_empty() {
            for (index, glob) in module.uses.iter().enumerate().filter(|(_, used)| used.is_glob) {
                for target in self.follow(at, index, name, &glob.path) {
                    if let Target::Module(module) = target {
                        found.extend(self.look_up(module, name, is_last));
                    }
                }
            }
        }
        found
    }

    fn follow(&mut self, at: Id, index: usize, name: &str, path: &Segments) -> BTreeSet<Target> {
        let step = (at, index, name.to_owned());
        if !self.followed.insert(step.clone()) {
            return BTreeSet::new();
        }
        let found = self.resolve(at, path);
        self.followed.remove(&step);
        found
    }
}
