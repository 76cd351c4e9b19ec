//! The arrows between the modules of a crate: those that stand side by side use each other in one
//! direction only.
//!
//! A module and what lies in its folder count as one: a child may use what its parent defines. So circles
//! are looked for among the modules of the crate's root, then among the children of each module. Arrows are
//! read off the sources: what `use` names, and every path that begins with `crate`, `self` or `super`,
//! wherever it stands, followed through what the module that it names has imported itself. Tests may
//! look at anything.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// The circles that stand, and are still to be opened: the library or program, the module in which they are
/// (none for its root), and who is in them. None may come, and none may grow.
const STANDING: [(&str, &str, &[&str]); 7] = [
    ("cutover_formats", "", &["channel", "layout", "minisign", "tuf"]),
    ("cutover_install", "", &["configure", "requires"]),
    ("cutover_publish", "", &["error", "keyring"]),
    ("cutover_publish", "", &["review", "settle"]),
    ("cutover_repository", "", &["file", "store"]),
    ("pack", "commands::release", &["assemble", "templates"]),
    ("pack", "source", &["error", "git", "placeholder", "scratch", "tree", "walk"]),
];

type Names = Vec<String>;
type Circle = (String, String, Vec<String>);

#[test]
fn modules_use_each_other_in_one_direction() {
    let standing: BTreeSet<Circle> = STANDING
        .iter()
        .map(|(name, within, members)| {
            let members = members.iter().map(|member| (*member).to_owned()).collect();
            ((*name).to_owned(), (*within).to_owned(), members)
        })
        .collect();
    let mut found = BTreeSet::new();
    let mut why = BTreeMap::new();
    for (name, root) in crate::shipped() {
        let modules = Modules::of(&root);
        assert!(modules.0.len() > 1 || !name.contains('_'), "{name} has no modules");
        for (within, members, arrows) in modules.circles() {
            let circle = (name.clone(), within, members);
            why.insert(circle.clone(), arrows);
            found.insert(circle);
        }
    }
    let new: Vec<_> = found.difference(&standing).map(|circle| (circle, &why[circle])).collect();
    assert!(new.is_empty(), "these modules use each other in a circle: {new:#?}");
    let opened: Vec<_> = standing.difference(&found).collect();
    assert!(opened.is_empty(), "these circles are open now: take them off the list: {opened:#?}");
}

#[test]
fn arrows_are_read_off_sources() {
    let read = |text: &str| {
        let mut module = Module::default();
        let tokens = TokenStream::from_str(text).expect("sources can be read");
        module.read(tokens, &["a".to_owned(), "b".to_owned()]);
        module
    };
    let paths = |text: &str| -> Vec<String> {
        read(text).paths.iter().map(|path| path.join("::")).collect()
    };
    assert_eq!(paths("use crate::{c::D, e::{self, F as G}};"), ["c::D", "e", "e::F"]);
    assert_eq!(
        paths("use c::{D}; mod e { fn f(_: super::g::H) {} }"),
        ["a::b::c::D", "a::b::g::H"]
    );
    assert_eq!(
        paths("use super::c::D; pub(in crate::x) fn f() { super::super::d::e() }"),
        ["a::c::D", "d::e"]
    );
    assert_eq!(
        paths("fn f() -> self::c::D { println!(\"{}\", crate::e::F) }"),
        ["a::b::c::D", "e::F"]
    );
    assert_eq!(
        paths("// crate::c\nconst D: &str = \"crate::d\"; #[cfg(test)] use crate::e::{F};"),
        [""; 0]
    );
    assert_eq!(paths("#[cfg(test)] #[path = \"x\"] mod c { use crate::d; } use crate::e;"), ["e"]);
    let module = read("mod c; pub use c::D; use crate::e::F as G; use std::fs;");
    assert_eq!(module.declared, ["c"]);
    assert_eq!(module.imported["D"], ["a", "b", "c", "D"]);
    assert_eq!(module.imported["G"], ["e", "F"]);
}

/// A module without its tests.
#[derive(Debug, Default)]
struct Module {
    /// The modules that it declares, each in a file of its own.
    declared: Names,
    /// What it brings into scope, by the name that it has here, from the crate's root on.
    imported: BTreeMap<String, Names>,
    /// Every path that it uses, from the crate's root on.
    paths: BTreeSet<Names>,
}

/// The modules of a crate by their paths; its root has none.
struct Modules(BTreeMap<Names, Module>);

impl Modules {
    fn of(root: &Path) -> Self {
        let mut all = Self(BTreeMap::new());
        all.load(root.to_owned(), &root.with_file_name(""), Vec::new());
        all
    }

    fn load(&mut self, file: PathBuf, folder: &Path, path: Names) {
        let text = std::fs::read_to_string(&file);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let tokens = TokenStream::from_str(&text);
        let tokens = tokens.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut module = Module::default();
        module.read(tokens, &path);
        for name in &module.declared {
            let below = [path.as_slice(), std::slice::from_ref(name)].concat();
            self.load(folder.join(format!("{name}.rs")), &folder.join(name), below);
        }
        self.0.insert(path, module);
    }

    /// The module in which what a path names is defined. One that leads nowhere is a crate's.
    fn home(&self, path: &[String], follow: usize) -> Option<Names> {
        let known = (0..=path.len()).rev().find(|end| self.0.contains_key(&path[..*end]))?;
        let (home, rest) = path.split_at(known);
        let imported = rest.first().and_then(|name| self.0[home].imported.get(name));
        match imported {
            // Two globs, or an import of itself, may lead in a circle.
            Some(from) if follow > 0 => {
                let onwards = [from, &rest[1..]].concat();
                self.home(&onwards, follow - 1)
            }
            _ => Some(home.to_owned()),
        }
    }

    /// Every circle among the children of one module: which module, who, and by which arrows.
    fn circles(&self) -> Vec<(String, Names, Vec<String>)> {
        const FOLLOW: usize = 8;
        let mut arrows: BTreeMap<Names, BTreeSet<(String, String)>> = BTreeMap::new();
        for (from, module) in &self.0 {
            let homes = module.paths.iter().filter_map(|path| self.home(path, FOLLOW));
            for to in homes {
                let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
                    let within = arrows.entry(from[..shared].to_vec()).or_default();
                    within.insert((a.clone(), b.clone()));
                }
            }
        }
        let mut circles = Vec::new();
        for (within, arrows) in arrows {
            for members in knots(&arrows) {
                let inside =
                    arrows.iter().filter(|(a, b)| members.contains(a) && members.contains(b));
                let shown = inside.map(|(a, b)| format!("{a} → {b}")).collect();
                circles.push((within.join("::"), members, shown));
            }
        }
        circles
    }
}

/// Sets of more than one in which everybody reaches everybody.
fn knots(arrows: &BTreeSet<(String, String)>) -> Vec<Names> {
    let reached = |from: &String| {
        let (mut seen, mut ahead) = (BTreeSet::new(), vec![from]);
        while let Some(at) = ahead.pop() {
            let next = arrows.iter().filter(|(a, _)| a == at).map(|(_, b)| b);
            ahead.extend(next.filter(|to| seen.insert((*to).clone())));
        }
        seen
    };
    let all: BTreeMap<&String, BTreeSet<String>> =
        arrows.iter().map(|(from, _)| (from, reached(from))).collect();
    let knot = |(from, seen): (&&String, &BTreeSet<String>)| -> Names {
        let back = |to: &&String| all.get(to).is_some_and(|seen| seen.contains(*from));
        seen.iter().filter(back).cloned().collect()
    };
    let knots: BTreeSet<Names> = all.iter().map(knot).filter(|knot| knot.len() > 1).collect();
    knots.into_iter().collect()
}

impl Module {
    /// Reads what stands in the module at `here`.
    fn read(&mut self, tokens: TokenStream, here: &[String]) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(hash) if hash.as_char() == '#' => match tokens.next() {
                    Some(TokenTree::Group(attribute)) if is_test(&attribute.stream()) => {
                        skip_item(&mut tokens);
                    }
                    _ => {}
                },
                TokenTree::Ident(word) if word == "pub" => {
                    tokens.next_if(|next| matches!(next, TokenTree::Group(_)));
                }
                TokenTree::Ident(word) if word == "use" => self.read_use(&mut tokens, here),
                TokenTree::Ident(word) if word == "mod" => {
                    let Some(TokenTree::Ident(name)) = tokens.next() else { continue };
                    match tokens.next() {
                        Some(TokenTree::Group(inside)) => {
                            let inside_of = [here, &[name.to_string()]].concat();
                            self.read(inside.stream(), &inside_of);
                        }
                        _ => self.declared.push(name.to_string()),
                    }
                }
                TokenTree::Ident(word) if begins(&word.to_string()) => {
                    let path = walk(vec![word.to_string()], &mut tokens);
                    self.paths.extend(from_root(&path, here));
                }
                TokenTree::Group(group) => self.read(group.stream(), here),
                _ => {}
            }
        }
    }

    fn read_use(&mut self, tokens: &mut Tokens, here: &[String]) {
        // `use ::name` is of another crate, and `use<>` is a bound.
        let Some(TokenTree::Ident(first)) = tokens.next() else { return };
        for (path, name) in branches(vec![first.to_string()], tokens) {
            // What begins otherwise is seen from here: a child, or another crate, which leads nowhere.
            let path = from_root(&path, here).unwrap_or_else(|| [here, &path].concat());
            self.imported.insert(name, path.clone());
            self.paths.insert(path);
        }
    }
}

type Tokens = Peekable<proc_macro2::token_stream::IntoIter>;

/// Goes on with a path as long as names follow.
fn walk(mut path: Names, tokens: &mut Tokens) -> Names {
    let is_first = |token: &TokenTree| matches!(token, TokenTree::Punct(it) if it.as_char() == ':' && it.spacing() == Spacing::Joint);
    while tokens.next_if(is_first).is_some() {
        tokens.next();
        match tokens.next_if(|next| matches!(next, TokenTree::Ident(_))) {
            Some(name) => path.push(name.to_string()),
            None => break,
        }
    }
    path
}

/// Goes on with what is imported: all that it names, where it has branches, and what each is called here.
fn branches(path: Names, tokens: &mut Tokens) -> Vec<(Names, String)> {
    let path = walk(path, tokens);
    if let Some(TokenTree::Group(group)) = tokens.next_if(|it| matches!(it, TokenTree::Group(_))) {
        let mut inside = group.stream().into_iter().peekable();
        let mut all = Vec::new();
        while let Some(token) = inside.next() {
            if let TokenTree::Ident(name) = token {
                let on = match name.to_string() {
                    name if name == "self" => path.clone(),
                    name => [path.as_slice(), &[name]].concat(),
                };
                all.extend(branches(on, &mut inside));
            }
        }
        return all;
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if tokens.next_if(|next| matches!(next, TokenTree::Ident(word) if word == "as")).is_some() {
        name = tokens.next().map(|other| other.to_string()).unwrap_or_default();
    }
    vec![(path, name)]
}

fn begins(word: &str) -> bool {
    ["crate", "self", "super"].contains(&word)
}

/// A path from the crate's root on; `None` for one that begins with another crate, and for `self` as a value.
fn from_root(path: &[String], here: &[String]) -> Option<Names> {
    let (first, rest) = path.split_first()?;
    let (mut from, mut rest) = match first.as_str() {
        "crate" => return Some(rest.to_vec()),
        "self" => (here, rest),
        "super" => (here.split_last()?.1, rest),
        _ => return None,
    };
    while let Some((next, after)) = rest.split_first()
        && next == "super"
    {
        (from, rest) = (from.split_last()?.1, after);
    }
    (!rest.is_empty()).then(|| [from, rest].concat())
}

fn is_test(attribute: &TokenStream) -> bool {
    attribute.to_string().replace(' ', "") == "cfg(test)"
}

/// Passes over the item that an attribute belongs to.
fn skip_item(tokens: &mut Tokens) {
    let mut is_use = false;
    for token in tokens.by_ref() {
        match token {
            TokenTree::Ident(word) if word == "use" => is_use = true,
            TokenTree::Punct(end) if end.as_char() == ';' => return,
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace && !is_use => return,
            _ => {}
        }
    }
}
