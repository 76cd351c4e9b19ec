//! A stack that is large enough, wherever a template is worked on.

use std::thread::Builder;

use super::TemplateError;
use crate::path::RelPath;

/// Bytes of address space; of memory only what is used.
const STACK: usize = 64 << 20;

/// Does `work` with a stack on which it cannot run out of room. A failure of the engine itself
/// is an error of the template that it was caused by.
pub(super) fn with_room<T: Send>(
    path: &RelPath,
    work: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    let gave_up = |what: String| TemplateError::at(path, None, what);
    std::thread::scope(|scope| {
        let started = Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let thread = started.map_err(|error| gave_up(format!("no room for a stack: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(gave_up("the template engine gave up".to_owned())))
    })
}
