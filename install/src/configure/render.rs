//! From signed templates and the node's values to text.

use std::io::Read as _;

use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{FileList, Kind};
use cutover_formats::input::BUILT_IN;
use cutover_formats::path::RelPath;
use cutover_formats::secret::Secret;
use cutover_formats::template::{LARGEST, Template};

use super::inputs::Inputs;
use super::{ConfigError, entry};
use crate::disk::{DiskError, Folder};

/// A template, with what is rendered from it.
#[derive(Debug)]
pub struct Source {
    /// Where the outcome is seen in the prefix.
    pub path: RelPath,
    /// What makes it.
    pub template: Template,
}

/// A text for a file.
#[derive(Debug)]
pub struct Rendered {
    /// Where it is seen in the prefix.
    pub path: RelPath,
    /// The text; it may hold secrets.
    pub text: Secret,
    /// The same with a stand-in for each secret.
    pub masked: String,
    /// Who may read it.
    pub access: Access,
}

/// Who may read a rendered file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever can reach it: it holds no secret.
    Everybody,
    /// Only the one who installs, who runs the service too.
    Owner,
    /// The service's group as well, by its number.
    Group(u32),
}

/// What the list signs for a template.
pub fn signed_template(
    list: &FileList,
    path: &RelPath,
    template: &RelPath,
) -> Result<Digest, ConfigError> {
    match entry(list, template.as_str()).map(|entry| &entry.kind) {
        Some(Kind::File { sha256, .. }) => Ok(*sha256),
        _ => Err(ConfigError::NoTemplate { path: path.clone(), template: template.clone() }),
    }
}

/// The templates of a release; `read` brings the bytes of a file of it, at most so many.
///
/// What is read is held against the file list, wherever it comes from, and takes only what the
/// release declares.
pub fn sources<E: From<ConfigError>>(
    release: &Descriptor,
    list: &FileList,
    mut read: impl FnMut(&RelPath, u64) -> Result<Vec<u8>, E>,
) -> Result<Vec<Source>, E> {
    let files = release.config.iter().filter_map(|(path, file)| Some((path, file.template()?)));
    let mut sources = Vec::new();
    for (path, template) in files {
        let signed = signed_template(list, path, template)?;
        let bytes = read(template, LARGEST + 1)?;
        if bytes.len() as u64 <= LARGEST && Digest::of(&bytes) != signed {
            return Err(ConfigError::Changed(template.clone()).into());
        }
        let template = Template::parse(template, &bytes).map_err(ConfigError::from)?;
        let known = |name: &str| BUILT_IN.contains(&name) || release.inputs.contains_key(name);
        template.check_names(known).map_err(ConfigError::from)?;
        sources.push(Source { path: path.clone(), template });
    }
    Ok(sources)
}

/// The templates of a release whose contents stand in `prefix`.
pub fn sources_in(
    prefix: &Folder,
    release: &Descriptor,
    list: &FileList,
) -> Result<Vec<Source>, ConfigError> {
    sources(release, list, |path, most| {
        let mut bytes = Vec::new();
        let file = prefix.open_file(path)?;
        let read = file.take(most).read_to_end(&mut bytes);
        let full = || prefix.path().join(path.as_path());
        read.map_err(|error| DiskError::new("read", &full(), error))?;
        Ok(bytes)
    })
}

/// Puts the values in.
pub fn render(sources: &[Source], inputs: &Inputs) -> Result<Vec<Rendered>, ConfigError> {
    sources.iter().map(|source| render_one(source, inputs)).collect()
}

fn render_one(source: &Source, inputs: &Inputs) -> Result<Rendered, ConfigError> {
    let Source { path, template } = source;
    let holds_secrets = template.names().iter().any(|name| inputs.is_secret(name));
    let masked = template.render(inputs.stand_ins())?;
    let text = if holds_secrets {
        // What the engine says of a failure may repeat a value.
        template.render(inputs.real()).map_err(|error| error.discreet())?
    } else {
        masked.clone()
    };
    let access = match (holds_secrets, inputs.readers()) {
        (false, _) => Access::Everybody,
        (true, None) => Access::Owner,
        (true, Some(group)) => Access::Group(group),
    };
    Ok(Rendered { path: path.clone(), text: Secret::new(text), masked, access })
}
