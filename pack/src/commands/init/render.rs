//! The text of a first `release.toml`, and what to do with it.

use std::fmt::Write as _;
use std::path::Path;

use super::found::{Found, Git, NodeModules};

/// The file. What was not found stands there as a comment, to show what there is.
pub(super) fn render(found: &Found) -> String {
    [HEAD.to_owned(), release(found), CHECKS.to_owned(), python(found), OTHER.to_owned()]
        .into_iter()
        .chain([packages(found), service(found), CONFIG.to_owned()])
        .collect()
}

const HEAD: &str = "\
# How releases of this tree are made and run. Every section is optional.
# Read from the tag that is released, so commit it before tagging.
";

const CHECKS: &str = r#"
[checks]
# Shell commands that must succeed in a clean copy of the tag before there is a release,
# e.g. "python3 -m pytest -q".
before-release = []
"#;

const OTHER: &str = r#"
# Any other file that the release needs, locked by its digest.
# [[vendor.file]]
# url = "https://example.org/x.tar.gz"
# sha256 = "…"

# [requires]
# Programs that must be on the node.
# commands = ["openssl"]
"#;

const CONFIG: &str = r#"
# Files that belong to the node, seen from inside the release. `from` is absolute, or
# relative to <root>/shared on the node.
# [config]
# "etc/app.ini" = { from = "app.ini", required = true }
# Or they are rendered for it, from a template here that takes what the node is asked for.
# "etc/site.ini" = { template = "etc/site.ini.j2" }
# [inputs.workers]
# type = "integer"
# default = 4
# [inputs.db_password]
# secret = true
"#;

fn release(found: &Found) -> String {
    let globs: Vec<String> = found.tests.iter().map(|name| quoted(&format!("{name}/**"))).collect();
    format!(
        "\n[release]\nproduct = {}\n\
         # How tags name versions: git tag -a v1.0.0 makes release 1.0.0.\n\
         tag = \"v{{version}}\"\n\
         # What releases leave out, beside what .gitattributes marks export-ignore.\n\
         exclude = [{}]\n",
        quoted(found.product.as_str()),
        globs.join(", ")
    )
}

fn python(found: &Found) -> String {
    let heading = "\n# Python distributions, locked with hashes; each node builds an environment from them, offline.\n";
    if let Some(lock) = &found.lock {
        return format!(
            "{heading}[vendor.python]\nrequirements = {}\ninterpreter = \"python3\"\n",
            quoted(lock)
        );
    }
    let mut text = heading.to_owned();
    if let Some(file) = &found.unlocked {
        let _ = writeln!(
            text,
            "# {file} has no hashes; lock it, then take the # away:\n\
             #   uv pip compile --generate-hashes {} -o requirements.lock",
            cutover_terminal::quoted(file)
        );
    }
    text.push_str(
        "# [vendor.python]\n# requirements = \"requirements.lock\"\n# interpreter = \"python3\"\n",
    );
    text
}

fn packages(found: &Found) -> String {
    match found.node_modules {
        NodeModules::None => String::new(),
        NodeModules::Wanted => "\n# package.json: this version does not vendor its modules. Commit what is built from them,\n\
             # or release a staging folder: pack release --tree DIR --version V.\n"
            .to_owned(),
    }
}

fn service(found: &Found) -> String {
    let example = ["{prefix}/env/bin/gunicorn", "--bind", "{listen}", "app:app"];
    let words: Vec<String> = match &found.command {
        Some(words) => words.iter().map(|word| quoted(word)).collect(),
        None => example.iter().map(|word| quoted(word)).collect(),
    };
    let section = format!(
        "[service]\ncommand = [{}]\n\
         health = {{ path = \"/\", within = \"30s\" }}\n\
         swap = \"blue-green\"\ndrain = \"10s\"\n",
        words.join(", ")
    );
    // What runs from the environment does not run without one.
    let runs = found.command.as_ref().is_some_and(|words| {
        found.lock.is_some() || !words.iter().any(|word| word.contains("{prefix}/env/"))
    });
    let section = if runs { section } else { commented(&section) };
    let heading = "\n# How a node runs it. The node fills in {prefix}, {version}, {root}, {listen}, {port}, {socket}.\n\
                   # swap: blue-green, hold or backoff.\n";
    format!("{heading}{section}")
}

fn commented(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}

/// A TOML string; JSON's escapes are among TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What to do next.
pub(super) fn next_steps(found: &Found, file: &Path) -> String {
    let mut text = format!("wrote {}\n", file.display());
    for note in found.notes() {
        let _ = writeln!(text, "found {note}");
    }
    let release = "pack release --repo URL --keys DIR";
    let folder = file.parent().filter(|folder| !matches!(folder.to_str(), Some("" | ".")));
    let enter = folder.map(|folder| format!("cd {}", cutover_terminal::quoted(folder)));
    let steps: Vec<&str> = match found.git {
        Git::Yes => vec![
            "read it and correct what was guessed",
            "git add release.toml && git commit -m 'Describe releases'",
            "git tag -a v1.0.0 -m 1.0.0",
            release,
        ],
        Git::No => vec![
            "read it and correct what was guessed",
            "pack release --tree DIR --version 1.0.0 --repo URL --keys DIR",
        ],
    };
    text.push_str("next:\n");
    for (number, step) in (1..).zip(enter.as_deref().into_iter().chain(steps)) {
        let _ = writeln!(text, "  {number}. {step}");
    }
    text
}
