//! An installer of one's own: the stages of the release and the node, and one more in code.
//!
//! ```text
//! own-installer ROOT VERSION    installs, as `install VERSION` does
//! own-installer ROOT            ends what a crash cut off, as `install resume` does
//! ```
//!
//! Its stage keeps a logbook in `shared/logbook`, which a chat robot, say, reads.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use cutover_formats::exit::Exit;
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

fn run(root: PathBuf, version: Option<&str>, output: &Output) -> Result<(), Failure> {
    let place = Place::Before(BuiltIn::Switch.name());
    let name = "logbook".parse().map_err(|error| Failure::new(Exit::Usage, format!("{error}")))?;
    let installer = Installer::open(&root)?.with(name, place, Logbook);
    let Some(version) = version else {
        let receipt = installer.resume(Undoing::Must, output)?;
        output.result(&receipt, || "ended what was cut off".to_owned());
        return Ok(());
    };
    let wanted = version.parse().map_err(|error| Failure::new(Exit::Usage, format!("{error}")))?;
    let done = installer.install(Some(&wanted), None, output)?;
    output.result(&done.receipt, || format!("{} runs", done.plan.to));
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (root, version) = (arguments.next().unwrap_or_default(), arguments.next());
    cutover_terminal::run(&OutputArgs::default().output(), |output| {
        run(root.into(), version.as_deref(), output)
    })
}
