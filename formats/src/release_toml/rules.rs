//! What holds beyond the shape: values that fit each other, sections that this version acts on.

use super::{ConfigFile, InvalidReleaseToml, ReleaseToml, Service, VendorPython};
use crate::document::Document;
use crate::path::RelPath;
use crate::stage::{self, Author};

/// Sections of later versions. Skipping one silently would make a release that looks right and
/// does less than its author asked for.
const LATER: [(&[&str], &str); 1] = [(&["vendor", "command"], "[vendor.command]")];

type Verdict = Result<(), InvalidReleaseToml>;

/// Refuses sections of later versions.
pub(super) fn sections(document: &Document<'_>) -> Verdict {
    match LATER.iter().find(|(keys, _)| document.find(keys.iter().copied()).is_whole()) {
        None => Ok(()),
        Some((keys, section)) => Err(InvalidReleaseToml::Later {
            line: document.line(&document.find(keys.iter().copied())),
            section,
        }),
    }
}

/// Refuses values that cannot be meant.
pub(super) fn values(document: &Document<'_>, parsed: &ReleaseToml) -> Verdict {
    places(document, parsed)?;
    if let Some(python) = &parsed.vendor.python {
        plain_name(document, "vendor.python.interpreter", &python.interpreter)?;
    }
    for command in &parsed.requires.commands {
        plain_name(document, "requires.commands", command)?;
    }
    for (path, file) in &parsed.config {
        let ConfigFile::Linked { from, .. } = file else { continue };
        if from.is_empty() || from.contains('\0') {
            let key = ["config", path.as_str(), "from"];
            return refuse(document, &key, "must name a file of the node");
        }
    }
    parsed.service.as_ref().map_or(Ok(()), |service| reachable(document, service))?;
    if let Some(schema) = parsed.schema.as_ref().filter(|schema| !schema.takes(schema.version)) {
        let why = format!(
            "is `{}`, and version {} is none of these: a release works with the schema that it was \
             made for",
            schema.accepted(),
            schema.version
        );
        return refuse(document, &["schema", "accepts"], &why);
    }
    stage::object(Author::Release, &parsed.stage, &parsed.check).or_else(|objection| {
        let keys: Vec<&str> = objection.keys.iter().map(String::as_str).collect();
        refuse(document, &keys, &objection.why)
    })
}

/// A program that is looked up in `PATH`, or given by its absolute path.
fn plain_name(document: &Document<'_>, key: &str, name: &str) -> Verdict {
    let found_in_path = !name.contains('/');
    let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
    if plain && (found_in_path || name.starts_with('/')) {
        return Ok(());
    }
    let keys: Vec<&str> = key.split('.').collect();
    refuse(document, &keys, &format!("has `{name}`: name one program, without arguments"))
}

/// The gate must be able to start the service and to reach it.
fn reachable(document: &Document<'_>, service: &Service) -> Verdict {
    if service.command.first().is_none_or(String::is_empty) {
        return refuse(document, &["service", "command"], "is empty");
    }
    let mut words = service.command.iter().chain(service.env.values());
    if !words.any(|word| ["{listen}", "{port}", "{socket}"].iter().any(|it| word.contains(it))) {
        let why = "uses none of {listen}, {port} and {socket}, so the gate could not reach it";
        return refuse(document, &["service", "command"], why);
    }
    let path = &service.health.path;
    if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return refuse(document, &["service", "health", "path"], "must begin with `/`");
    }
    Ok(())
}

/// What ends up in the prefix may not stand in each other's way.
fn places(document: &Document<'_>, parsed: &ReleaseToml) -> Verdict {
    let mut taken: Vec<(String, &RelPath)> = Vec::new();
    if let Some(VendorPython { wheels, env, .. }) = &parsed.vendor.python {
        taken.push(("vendor.python.wheels".to_owned(), wheels));
        taken.push(("vendor.python.env".to_owned(), env));
    }
    let files = parsed.vendor.file.iter().enumerate();
    taken.extend(files.map(|(index, file)| (format!("vendor.file.{index}.path"), &file.path)));
    for (nth, (key, path)) in taken.iter().enumerate() {
        if let Some((_, other)) = taken[..nth].iter().find(|(_, other)| overlap(path, other)) {
            let keys: Vec<&str> = key.split('.').collect();
            return refuse(document, &keys, &format!("is `{path}`, where `{other}` goes already"));
        }
    }
    Ok(())
}

fn overlap(one: &RelPath, other: &RelPath) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(one.as_str(), other.as_str()) || within(other.as_str(), one.as_str())
}

/// The objection to a key that means nothing.
pub(super) fn unknown_key(document: &Document<'_>, keys: &[String]) -> InvalidReleaseToml {
    let line = document.line(&document.find(keys.iter().map(String::as_str)));
    InvalidReleaseToml::UnknownKey { line, key: keys.join(".") }
}

fn refuse(document: &Document<'_>, keys: &[&str], why: &str) -> Verdict {
    let line = document.line(&document.find(keys.iter().copied()));
    Err(InvalidReleaseToml::Value { line, key: keys.join("."), why: why.to_owned() })
}
