//! Manual pages and shell completions, written by the program that they describe.
//!
//! Every program has a hidden option `--write-documents DIR` that only packaging uses. The files lie
//! in `DIR` as they do below `/usr/share`.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate};
use cutover_formats::exit::Exit;

use crate::Failure;

/// Where each shell looks for the completions of a command.
const SHELLS: [(Shell, &str, &str, &str); 3] = [
    (Shell::Bash, "bash-completion/completions", "", ""),
    (Shell::Zsh, "zsh/vendor-completions", "_", ""),
    (Shell::Fish, "fish/vendor_completions.d", "", ".fish"),
];

/// Writes the manual pages of `command` and its subcommands and the completions for three shells
/// below `folder`, all under the name `name`, which is what packaged copies are called.
pub fn documents(command: Command, name: &str, folder: &Path) -> Result<(), Failure> {
    write(command, name, folder).map_err(|error| {
        let message = format!("cannot write documents to {}: {error}", folder.display());
        Failure::new(Exit::of_io(&error), message)
    })
}

fn write(command: Command, name: &str, folder: &Path) -> io::Result<()> {
    let name: &'static str = String::leak(name.to_owned());
    let mut command = command.name(name).bin_name(name).display_name(name);
    // Else every `help` of every command would have pages that say nothing.
    let described = without_help(command.clone());
    for (shell, place, before, after) in SHELLS {
        let place = folder.join(place);
        fs::create_dir_all(&place)?;
        let mut script = Vec::new();
        generate(shell, &mut command, name, &mut script);
        if shell == Shell::Bash {
            script = mended(script, name);
        }
        fs::write(place.join(format!("{before}{name}{after}")), script)?;
    }
    let manual = folder.join("man/man1");
    fs::create_dir_all(&manual)?;
    clap_mangen::generate_to(described, manual)
}

/// The generator takes a hyphen in the program's name for the begin of a subcommand where it says what
/// completes a command, but not where it finds out which command is typed: no two of them ever meet.
fn mended(script: Vec<u8>, name: &str) -> Vec<u8> {
    let script = String::from_utf8_lossy(&script);
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__")).into_bytes()
}

fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_packaging_needs() {
        let folder = std::env::temp_dir().join(format!("cutover-documents-{}", std::process::id()));
        let hidden = clap::Arg::new("secret-option").long("secret-option").hide(true);
        let command = Command::new("pack")
            .about("packs")
            .arg(hidden)
            .subcommand(Command::new("release").about("releases"))
            .subcommand(Command::new("keys").subcommand(Command::new("new").about("a release")));
        documents(command, "cutover-pack", &folder).unwrap();
        for path in [
            "man/man1/cutover-pack.1",
            "man/man1/cutover-pack-release.1",
            "man/man1/cutover-pack-keys-new.1",
            "bash-completion/completions/cutover-pack",
            "zsh/vendor-completions/_cutover-pack",
            "fish/vendor_completions.d/cutover-pack.fish",
        ] {
            let text = fs::read_to_string(folder.join(path)).unwrap();
            assert!(text.contains("release"), "{path}");
        }
        // What bash completes below the first level.
        let script = folder.join("bash-completion/completions/cutover-pack");
        let asks = "source \"$0\"; COMP_WORDS=(cutover-pack keys n); COMP_CWORD=2
            _cutover__pack cutover-pack n keys; echo \"${COMPREPLY[*]}\"";
        let shell = std::process::Command::new("bash").args(["-c", asks]).arg(script).output();
        assert_eq!(String::from_utf8_lossy(&shell.unwrap().stdout), "new\n");
        let page = fs::read_to_string(folder.join("man/man1/cutover-pack.1")).unwrap();
        assert!(!page.contains("secret"), "{page}");
        let pages = fs::read_dir(folder.join("man/man1")).unwrap().count();
        assert_eq!(pages, 4, "a page for each command, and none for their `help`");
        fs::remove_dir_all(folder).unwrap();
    }
}
