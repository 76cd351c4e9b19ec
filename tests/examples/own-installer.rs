//! An installer of one's own: the stages of the release and the node, and one more in code.
//!
//! ```text
//! own-installer ROOT install VERSION     as `install VERSION` does
//! own-installer ROOT rehearse VERSION    as `install rehearse VERSION` does
//! own-installer ROOT resume              ends what a crash cut off, as `install resume` does
//! ```
//!
//! Its stage keeps a logbook in `shared/logbook`, which a chat robot, say, reads.

use std::io::Write as _;
use std::process::ExitCode;

use cutover_formats::exit::Exit;
use cutover_formats::name::InvalidName;
use cutover_formats::stage::BuiltIn;
use cutover_install::installer::Installer;
use cutover_install::plan::Place;
use cutover_install::stage::{Scene, Stage};
use cutover_install::transaction::Undoing;
use cutover_terminal::{Failure, Output, OutputArgs};

/// Says in the logbook what is about to happen.
struct Logbook;

impl Stage for Logbook {
    fn plan(&self) -> String {
        "say so in shared/logbook".to_owned()
    }

    fn run(&self, scene: &mut Scene<'_>) -> Result<(), Failure> {
        write(scene, &format!("going to {}", scene.to))
    }

    fn undo(&self, scene: &mut Scene<'_>) -> Result<(), Failure> {
        write(scene, &format!("not going to {}", scene.to))
    }
}

fn write(scene: &Scene<'_>, line: &str) -> Result<(), Failure> {
    let path = scene.node.root.shared().join("logbook");
    let file = std::fs::File::options().create(true).append(true).open(&path);
    file.and_then(|mut file| writeln!(file, "{line}")).map_err(|error| {
        Failure::new(Exit::of_io(&error), format!("cannot write {}: {error}", path.display()))
    })
}

fn usage(error: InvalidName) -> Failure {
    Failure::new(Exit::Usage, error.to_string())
}

fn installer(root: &str) -> Result<Installer, Failure> {
    let (name, place) = ("logbook".parse().map_err(usage)?, Place::Before(BuiltIn::Switch.name()));
    Ok(Installer::open(root.as_ref())?.with(name, place, Logbook))
}

fn run(words: &[&str], output: &Output) -> Result<(), Failure> {
    match *words {
        [root, "install", version] => {
            let wanted = version.parse().map_err(usage)?;
            let done = installer(root)?.install(Some(&wanted), None, output)?;
            output.result(&done.receipt, || format!("{} runs", done.plan.to));
        }
        [root, "rehearse", version] => {
            let wanted = version.parse().map_err(usage)?;
            let rehearsal = installer(root)?.rehearse(Some(&wanted), None, output)?;
            output.result(&rehearsal, || format!("{} would run", rehearsal.version));
        }
        [root, "resume"] => {
            let receipt = installer(root)?.resume(Undoing::Must, output)?;
            output.result(&receipt, || "ended what was cut off".to_owned());
        }
        _ => {
            let how = "say ROOT and `install VERSION`, `rehearse VERSION` or `resume`";
            return Err(Failure::new(Exit::Usage, how));
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    cutover_install::umask::settle();
    // A rehearsal starts the service, and so this program once more.
    if let Some(ended) = cutover_install::gate::errand() {
        return ended;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    cutover_terminal::run(&OutputArgs::default().output(), |output| run(&words, output))
}
