//! Stages that are not built in: what an install does beside, in commands or in code.
//!
//! A Rust program that wants an installer of its own implements [`Stage`] and gives it to
//! [`Installer`](crate::installer::Installer); the command lines of `release.toml` and `node.toml`
//! and the node's pool are driven through the same trait. The executor writes the journal before
//! [`Stage::run`], and calls [`Stage::undo`] on the way back, in reverse order, for every stage
//! that was begun.

mod command;
mod pooling;
mod scene;
mod words;

use cutover_formats::name::StageName;
use cutover_terminal::Failure;

use crate::plan::Place;

pub(crate) use command::Command;
pub use command::CommandError;
pub(crate) use command::Job;
pub(crate) use pooling::{Depool, Repool};
pub(crate) use scene::own;
pub use scene::{Answers, Scene};

/// A step of an install.
pub trait Stage {
    /// What it will do, in a few words. Looks, and changes nothing.
    fn plan(&self) -> String;

    /// Does it. After a crash beyond the switch, the stage that was cut off is run again.
    fn run(&self, scene: &mut Scene<'_>) -> Result<(), Failure>;

    /// Takes it back. It may be that it did nothing, or half, or was taken back already.
    fn undo(&self, scene: &mut Scene<'_>) -> Result<(), Failure>;
}

impl<S: Stage + ?Sized> Stage for &S {
    fn plan(&self) -> String {
        (**self).plan()
    }

    fn run(&self, scene: &mut Scene<'_>) -> Result<(), Failure> {
        (**self).run(scene)
    }

    fn undo(&self, scene: &mut Scene<'_>) -> Result<(), Failure> {
        (**self).undo(scene)
    }
}

/// A stage of the installer's own, with its name and its place.
pub struct Own {
    /// Its name, which plan, journal and receipt use; not one of a built-in stage.
    pub name: StageName,
    /// Where it goes.
    pub place: Place,
    /// What it does.
    pub stage: Box<dyn Stage>,
}
