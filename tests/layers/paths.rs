//! Finding every `use` and every path in the code of one module.

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};
use syn::{
    Attribute, ImplItem, Item, ItemExternCrate, ItemMod, ItemUse, Meta, Path, Stmt, Token,
    TraitItem, UseTree, Visibility, punctuated::Punctuated,
};

use crate::tree::{Meaning, Segments, Use};

/// What a module's code names.
#[derive(Default)]
pub struct Found {
    pub uses: Vec<Use>,
    pub paths: Vec<Segments>,
}

/// Visits `items`, but not the modules among them, which are modules of their own.
pub fn collect(items: &[Item]) -> Found {
    let mut collector = Collector::default();
    for item in items.iter().filter(|item| !matches!(item, Item::Mod(_))) {
        collector.visit_item(item);
    }
    collector.found
}

/// The name that an item defines, unless it is a module, a `use`, or for tests only.
pub fn definition(item: &Item) -> Option<(String, Meaning)> {
    if is_for_tests(attributes(item)) {
        return None;
    }
    let (ident, meaning) = match item {
        Item::Const(item) => (&item.ident, Meaning::Value),
        Item::Enum(item) => (&item.ident, Meaning::Type),
        Item::Fn(item) => (&item.sig.ident, Meaning::Value),
        Item::Macro(item) => (item.ident.as_ref()?, Meaning::Value),
        Item::Static(item) => (&item.ident, Meaning::Value),
        Item::Struct(item) => (&item.ident, Meaning::Type),
        Item::Trait(item) => (&item.ident, Meaning::Type),
        Item::TraitAlias(item) => (&item.ident, Meaning::Type),
        Item::Type(item) => (&item.ident, Meaning::Type),
        Item::Union(item) => (&item.ident, Meaning::Type),
        _ => return None,
    };
    Some((ident.to_string(), meaning))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether a `#[cfg(…)]` among the attributes needs `test`, as in `all(test, loom)`.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<Meta>().is_ok_and(|meta| needs_test(&meta))
    })
}

fn needs_test(meta: &Meta) -> bool {
    let Meta::List(list) = meta else { return meta.path().is_ident("test") };
    let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
    let Ok(parts) = list.parse_args_with(parse) else { return false };
    match () {
        _ if list.path.is_ident("all") => parts.iter().any(needs_test),
        _ if list.path.is_ident("any") => !parts.is_empty() && parts.iter().all(needs_test),
        _ => false,
    }
}

#[derive(Default)]
struct Collector {
    found: Found,
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let is_test = matches!(item, TraitItem::Fn(item) if is_for_tests(&item.attrs));
        if !is_test {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let is_test = matches!(statement, Stmt::Local(local) if is_for_tests(&local.attrs));
        if !is_test {
            visit::visit_stmt(self, statement);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        // Only a module inside a function comes here. `super` would mean something else in it.
        panic!("the module {} inside a function: move it out, it cannot be followed", item.ident);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        assert!(item.ident != "self", "`extern crate self` is a second way to spell `crate`");
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // `use ::name` is a crate.
        if item.leading_colon.is_none() {
            let is_reexport = !matches!(item.vis, Visibility::Inherited);
            flatten(&item.tree, &mut Vec::new(), is_reexport, &mut self.found.uses);
        }
    }

    /// `pub(in path)` restricts who may look and imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        // The conditions of a `cfg` are not paths, nor are the names of lints.
        let skipped = ["cfg", "cfg_attr", "doc", "allow", "expect", "warn", "deny"];
        if !skipped.iter().any(|name| attribute.path().is_ident(name)) {
            visit::visit_attribute(self, attribute);
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            self.found.paths.push(path.segments.iter().map(|s| s.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        assert!(!mac.path.is_ident("include"), "`include!` hides code from this test");
        self.visit_path(&mac.path);
        let tokens = TokenBuffer::new2(mac.tokens.clone());
        paths_in_tokens(tokens.begin(), &mut self.found.paths);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        let tokens = TokenBuffer::new2(list.tokens.clone());
        paths_in_tokens(tokens.begin(), &mut self.found.paths);
    }
}

/// Each leaf of `use a::{b, c::{self, d as e}, f::*}`.
fn flatten(tree: &UseTree, prefix: &mut Segments, is_reexport: bool, uses: &mut Vec<Use>) {
    let leaf = |prefix: &[String], last: &str, name: &str| {
        let mut path = prefix.to_vec();
        // `a::{self}` is `a`, and so is its name.
        if last != "self" || path.is_empty() {
            path.push(last.to_owned());
        }
        let name = if name == "self" { path.last().cloned() } else { Some(name.to_owned()) };
        let name = name.filter(|name| name != "_");
        Use { path, name, is_glob: false, is_reexport }
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, is_reexport, uses);
            prefix.pop();
        }
        UseTree::Name(last) => {
            let last = last.ident.to_string();
            uses.push(leaf(prefix, &last, &last));
        }
        UseTree::Rename(last) => {
            uses.push(leaf(prefix, &last.ident.to_string(), &last.rename.to_string()));
        }
        UseTree::Glob(_) => {
            uses.push(Use { path: prefix.clone(), name: None, is_glob: true, is_reexport });
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, prefix, is_reexport, uses);
            }
        }
    }
}

/// The paths in the tokens of a macro, whose grammar nobody knows: identifiers joined by `::`.
fn paths_in_tokens(mut at: Cursor<'_>, found: &mut Vec<Segments>) {
    let mut is_field = false;
    while !at.eof() {
        if let Some((ident, mut after)) = at.ident() {
            let mut segments = vec![ident.to_string()];
            while let Some((segment, next)) = joined_segment(after) {
                segments.push(segment);
                after = next;
            }
            // `.name` is a field or a method.
            if !is_field {
                found.push(segments);
            }
            (is_field, at) = (false, after);
        } else if let Some((inside, _, _, after)) = at.any_group() {
            paths_in_tokens(inside, found);
            (is_field, at) = (false, after);
        } else if let Some((punct, after)) = at.punct() {
            (is_field, at) = (punct.as_char() == '.', after);
        } else if let Some((_, after)) = at.token_tree() {
            (is_field, at) = (false, after);
        }
    }
}

/// `::name`, and what follows it.
fn joined_segment(at: Cursor<'_>) -> Option<(String, Cursor<'_>)> {
    let (first, at) = at.punct()?;
    let (second, at) = at.punct()?;
    let (ident, after) = at.ident()?;
    (first.as_char() == ':' && second.as_char() == ':').then(|| (ident.to_string(), after))
}

/// How many times the code of a file says `unsafe`, outside of what is for tests only.
pub fn count_unsafe(text: &str) -> usize {
    use syn::parse::Parser as _;
    let count = |input: syn::parse::ParseStream<'_>| {
        input.step(|cursor| {
            let mut end = *cursor;
            while let Some((_, after)) = end.token_tree() {
                end = after;
            }
            Ok((count_unsafe_tokens(*cursor), end))
        })
    };
    count.parse_str(text).expect("it was parsed before")
}

fn count_unsafe_tokens(mut at: Cursor<'_>) -> usize {
    let mut count = 0;
    while !at.eof() {
        if let Some(after) = after_test_item(at) {
            at = after;
        } else if let Some((ident, after)) = at.ident() {
            count += usize::from(ident == "unsafe");
            at = after;
        } else if let Some((inside, _, _, after)) = at.any_group() {
            count += count_unsafe_tokens(inside);
            at = after;
        } else if let Some((_, after)) = at.token_tree() {
            at = after;
        }
    }
    count
}

/// What follows an item with `#[cfg(test)]`: its end is the first `;` or `{…}`.
fn after_test_item(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let (hash, at) = at.punct()?;
    let (inside, _, _, mut at) = at.any_group().filter(|_| hash.as_char() == '#')?;
    let meta: Meta = syn::parse2(inside.token_stream()).ok()?;
    let Meta::List(list) = meta else { return None };
    let is_test = list.path.is_ident("cfg")
        && list.parse_args::<Meta>().is_ok_and(|condition| needs_test(&condition));
    if !is_test {
        return None;
    }
    while !at.eof() {
        if let Some((_, delimiter, _, after)) = at.any_group() {
            at = after;
            if format!("{delimiter:?}") == "Brace" {
                break;
            }
        } else if let Some((punct, after)) = at.punct() {
            at = after;
            if punct.as_char() == ';' {
                break;
            }
        } else {
            at = at.token_tree()?.1;
        }
    }
    Some(at)
}
