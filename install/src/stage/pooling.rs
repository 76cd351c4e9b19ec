//! `depool` and `repool`.

use cutover_terminal::Failure;
use jiff::Timestamp;

use super::{Scene, Stage};
use crate::maintenance;
use crate::pool::Pool;

/// The node leaves its pool; the inverse puts it back.
pub(crate) struct Depool<'a>(pub(crate) &'a dyn Pool);

/// The node goes back into its pool. Going back from that is `depool`'s inverse, which comes later
/// on the way back: until then the release that is there can as well be served.
pub(crate) struct Repool<'a>(pub(crate) &'a dyn Pool);

impl Stage for Depool<'_> {
    fn plan(&self) -> String {
        format!("out of {}", self.0.describe())
    }

    fn run(&self, _: &mut Scene<'_>) -> Result<(), Failure> {
        Ok(self.0.depool()?)
    }

    fn undo(&self, scene: &mut Scene<'_>) -> Result<(), Failure> {
        put_back(self.0, scene)
    }
}

impl Stage for Repool<'_> {
    fn plan(&self) -> String {
        format!("into {}", self.0.describe())
    }

    fn run(&self, scene: &mut Scene<'_>) -> Result<(), Failure> {
        put_back(self.0, scene)
    }

    fn undo(&self, _: &mut Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

/// A front end that the operator turned to the gate stays there until they say otherwise.
fn put_back(pool: &dyn Pool, scene: &Scene<'_>) -> Result<(), Failure> {
    let tell = |words: &str| scene.output.warn(words);
    let held = maintenance::load(&scene.node.root, Timestamp::now(), tell).is_some();
    if scene.node.is_beside() && held {
        scene
            .output
            .warn("maintenance is on: clients stay with the gate until `install maintenance off`");
        return Ok(());
    }
    Ok(pool.repool()?)
}
