//! Templates, held against the inputs that the release declares, before any node has to.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use cutover_formats::input::{BUILT_IN, InputName};
use cutover_formats::path::RelPath;
use cutover_formats::release_toml::ReleaseToml;
use cutover_formats::template::{LARGEST, Template};
use cutover_pack::bundle::{Source, SourceEntry};

use super::assemble::AssembleError;

/// Refuses templates that are missing, cannot be read, or take what is not declared; the inputs that
/// none takes.
pub(super) fn check(
    manifest: &ReleaseToml,
    entries: &[SourceEntry],
) -> Result<Vec<InputName>, AssembleError> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let files = manifest.config.iter().filter_map(|(path, file)| Some((path, file.template()?)));
    for (path, place) in files {
        let found = entries.iter().find(|entry| entry.path == *place).map(|entry| &entry.kind);
        let Some(Source::File { source, .. }) = found else {
            let (path, template) = (path.clone(), place.clone());
            return Err(AssembleError::NoTemplate { path, template });
        };
        let template = read(place, source)?;
        let known = |name: &str| BUILT_IN.contains(&name) || manifest.inputs.contains_key(name);
        template.check_names(known)?;
        taken.extend(template.names().iter().cloned());
    }
    let unused = manifest.inputs.keys().filter(|name| !taken.contains(name.as_str()));
    Ok(unused.cloned().collect())
}

fn read(place: &RelPath, source: &Path) -> Result<Template, AssembleError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(source);
    let read = file.and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| AssembleError::Unreadable { path: source.to_owned(), source: error })?;
    Ok(Template::parse(place, &bytes)?)
}
