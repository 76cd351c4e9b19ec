//! `depool` and `repool`.

use cutover_terminal::Failure;

use super::{Scene, Stage};
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

    fn undo(&self, _: &mut Scene<'_>) -> Result<(), Failure> {
        Ok(self.0.repool()?)
    }
}

impl Stage for Repool<'_> {
    fn plan(&self) -> String {
        format!("into {}", self.0.describe())
    }

    fn run(&self, _: &mut Scene<'_>) -> Result<(), Failure> {
        Ok(self.0.repool()?)
    }

    fn undo(&self, _: &mut Scene<'_>) -> Result<(), Failure> {
        Ok(())
    }
}
