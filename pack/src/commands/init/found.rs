//! What a source tree has that a release can use. Guesses, meant to be read and corrected.

use std::fs;
use std::io;
use std::path::Path;

use cutover_formats::name::Product;

use crate::source::read_capped;
use crate::vendor::is_lock;

/// Most bytes that are read of any file that is looked at.
const LARGEST: u64 = 16 << 20;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// A name for what is released.
    pub(super) product: Product,
    /// A lock of Python dependencies, if there is one.
    pub(super) lock: Option<String>,
    /// Python dependencies that are not locked.
    pub(super) unlocked: Option<String>,
    /// How it may be run.
    pub(super) command: Option<Vec<String>>,
    /// Folders that releases rarely need.
    pub(super) tests: Vec<String>,
    /// Whether it is under git.
    pub(super) git: Git,
    /// Whether there are dependencies that this version does not vendor by itself.
    pub(super) node_modules: NodeModules,
}

/// Whether a tree is under git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Git {
    /// It is.
    Yes,
    /// It is not, or a folder above it is.
    No,
}

/// Whether a tree has a `package.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeModules {
    /// It has.
    Wanted,
    /// It has not.
    None,
}

impl Found {
    /// Looks at the top of a tree.
    pub(super) fn look(dir: &Path) -> io::Result<Self> {
        let dir = dir.canonicalize()?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        let has = |name: &str| names.iter().any(|it| it == name);
        let requirements = |name: &&String| {
            name.starts_with("requirements") && (name.ends_with(".lock") || name.ends_with(".txt"))
        };
        let (locks, unlocked): (Vec<&String>, Vec<&String>) = names
            .iter()
            .filter(requirements)
            .partition(|name| read(&dir, name).is_some_and(|text| is_lock(text.as_bytes())));
        let pyproject = "pyproject.toml".to_owned();
        let unlocked = unlocked.first().copied().or(has(&pyproject).then_some(&pyproject));
        let tests = ["tests", "test"].into_iter().filter(|name| dir.join(name).is_dir());
        Ok(Self {
            product: product(&dir),
            lock: shortest(&locks),
            unlocked: unlocked.filter(|_| locks.is_empty()).cloned(),
            command: procfile(&dir).or_else(|| wsgi(&dir, &names)),
            tests: tests.map(str::to_owned).collect(),
            git: if dir.ancestors().any(|it| it.join(".git").exists()) {
                Git::Yes
            } else {
                Git::No
            },
            node_modules: if has("package.json") { NodeModules::Wanted } else { NodeModules::None },
        })
    }

    /// What was found, in words.
    pub(super) fn notes(&self) -> Vec<String> {
        let lock = self.lock.as_ref().map(|lock| format!("{lock}: a lock with hashes"));
        let unlocked =
            self.unlocked.as_ref().map(|file| format!("{file}: dependencies without hashes"));
        let command = self.command.as_ref().map(|words| format!("a service: {}", words.join(" ")));
        let packages = (self.node_modules == NodeModules::Wanted)
            .then(|| "package.json: its modules are not vendored".to_owned());
        [lock, unlocked, command, packages].into_iter().flatten().collect()
    }
}

/// `requirements.lock` rather than `requirements-dev.lock`.
fn shortest(names: &[&String]) -> Option<String> {
    names.iter().min_by_key(|name| name.len()).map(|name| (*name).clone())
}

/// The folder's name, as far as products may have it.
fn product(dir: &Path) -> Product {
    let name = dir.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.unwrap_or_default().chars().map(allowed).take(64).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    name.parse().unwrap_or_else(|_| "product".parse().expect("a constant name"))
}

fn read(dir: &Path, name: &str) -> Option<String> {
    let bytes = read_capped(&dir.join(name), LARGEST).ok()?;
    String::from_utf8(bytes).ok()
}

/// The `web` process of a Procfile that needs no shell and takes its port from `$PORT`.
fn procfile(dir: &Path) -> Option<Vec<String>> {
    let text = read(dir, "Procfile")?;
    let line = text.lines().find_map(|line| line.strip_prefix("web:"))?;
    // Only the gate is to be reached from elsewhere.
    let words = line.replace("${PORT}", "$PORT").replace("0.0.0.0:$PORT", "{listen}");
    let words = words.replace("$PORT", "{port}");
    let needs_shell = words.contains(['$', '`', '|', '&', ';', '<', '>', '"', '\'', '\\', '*']);
    if needs_shell || !(words.contains("{port}") || words.contains("{listen}")) {
        return None;
    }
    let mut words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    if let Some(program) = words.first_mut().filter(|program| !program.contains('/')) {
        *program = format!("{{prefix}}/env/bin/{program}");
    }
    Some(words)
}

/// A WSGI application in one of the usual places, run by gunicorn.
fn wsgi(dir: &Path, names: &[String]) -> Option<Vec<String>> {
    let top = ["wsgi.py", "app.py", "main.py"].map(|file| (file.to_owned(), module(file)));
    let packages = names.iter().map(|name| (format!("{name}/wsgi.py"), format!("{name}.wsgi")));
    top.into_iter().chain(packages).find_map(|(file, module)| {
        let text = read(dir, &file)?;
        let defines = |name: &&str| {
            text.lines().any(|line| {
                line.strip_prefix(*name).is_some_and(|rest| rest.trim_start().starts_with('='))
            })
        };
        let name = ["application", "app"].into_iter().find(|name| defines(name))?;
        let words = ["{prefix}/env/bin/gunicorn", "--chdir", "{prefix}", "--bind", "{listen}"];
        let target = format!("{module}:{name}");
        Some(words.into_iter().map(str::to_owned).chain([target]).collect())
    })
}

fn module(file: &str) -> String {
    file.trim_end_matches(".py").to_owned()
}
