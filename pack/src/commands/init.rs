//! `pack init`: a first `release.toml` for a source tree.

mod found;
mod render;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use cutover_formats::exit::Exit;
use cutover_formats::release_toml::{FILE_NAME, ReleaseToml};
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use crate::source::refuse_other_than_folder;
use found::Found;

/// What `pack init` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The source tree
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    product: String,
    found: Vec<String>,
}

/// Looks at the tree and writes the file.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let file = args.dir.join(FILE_NAME);
    let failed = |error: std::io::Error| {
        let exit = Exit::of_io(&error);
        Failure::new(exit, format!("{}: {error}", file.display()))
    };
    refuse_other_than_folder(&args.dir)?;
    let found = Found::look(&args.dir).map_err(failed)?;
    let text = render::render(&found);
    ReleaseToml::parse(&text)?;
    let made = OpenOptions::new().write(true).create_new(true).open(&file);
    let mut made = made.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::Usage, format!("{} exists already", file.display()))
                .hint("it was left as it is; move it away to have a new one written")
        }
        _ => failed(error),
    })?;
    made.write_all(text.as_bytes()).map_err(failed)?;
    let steps = render::next_steps(&found, &file);
    let (product, notes) = (found.product.to_string(), found.notes());
    output.result(&Written { file: file.clone(), product, found: notes }, || steps);
    Ok(())
}

#[cfg(test)]
mod tests;
