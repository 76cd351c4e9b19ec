//! After a crash: the journal says what was under way, `current` says how far it came.

use cutover_terminal::Output;

use crate::journal;
use crate::node::Node;
use crate::receipt::Receipt;
use crate::stage::Own;
use crate::transaction::{StageError, Undoing, resume};

/// Ends a transaction that was left behind, if there is one: in the new release where the symlink
/// names it, else in the old. The node's lock is held. The receipt says which.
///
/// `own` are the stages that the installer adds in code, as they were when it was cut off.
pub fn recover(
    node: &Node,
    own: &[Own],
    undoing: Undoing,
    output: &Output,
) -> Result<Option<Receipt>, StageError> {
    let root = &node.root;
    let Some(trace) = journal::read(root)? else {
        // Litter of a crash before the first line was whole.
        if root.journal().exists() {
            journal::clear(root)?;
        }
        return Ok(None);
    };
    output.note(format!(
        "{} of {} was cut off at stage {}; ending it",
        trace.opening.operation,
        trace.opening.to,
        trace.stages.last().map_or("resolve", |stage| stage.as_str())
    ));
    resume(node, &trace, own, undoing, output).map(Some)
}
