//! A pool that two commands know how to talk to.

use std::time::Duration;

use cutover_formats::node_toml::CommandPool;
use cutover_node::node::Node;
use cutover_node::placeholders::fill;
use cutover_node::program;
use cutover_repository::child;

use super::running::Running;
use super::{Driver, Places, PoolError};

/// Commands say nothing of how a node stands, so it is thought to be in, and is told to be out as
/// often as it is asked for.
const IN: &str = "in";

/// The commands, with this node's values in them.
#[derive(Debug)]
pub(super) struct Commands {
    depool: Vec<String>,
    repool: Vec<String>,
    timeout: Duration,
    running: Running,
}

impl Commands {
    pub(super) fn new(node: &Node, settings: &CommandPool) -> Self {
        let gate = node.settings.gate.as_ref().map(|gate| gate.listen.to_string());
        let values = [
            ("root", node.root.path().display().to_string()),
            ("product", node.settings.product.to_string()),
            ("gate", gate.unwrap_or_default()),
        ];
        let filled = |words: &[String]| words.iter().map(|word| fill(word, &values)).collect();
        Self {
            depool: filled(&settings.depool),
            repool: filled(&settings.repool),
            timeout: settings.timeout.as_duration(),
            running: Running::of(&node.root),
        }
    }

    fn run(&self, words: &[String]) -> Result<(), PoolError> {
        let Some((program, arguments)) = words.split_first() else { return Ok(()) };
        let mut command = child::command(program);
        command.args(arguments);
        self.running.begin(&mut command)?;
        let shown = program::shown(&command);
        let ended = program::run(command, self.timeout);
        self.running.end()?;
        match ended {
            Ok(ended) if ended.succeeded() => Ok(()),
            Ok(ended) => {
                let how = ended.how.to_string();
                Err(PoolError::Command { command: shown, how, tail: ended.tail })
            }
            Err(error) => {
                let how = format!("cannot be run: {error}");
                Err(PoolError::Command { command: shown, how, tail: Vec::new() })
            }
        }
    }
}

impl Driver for Commands {
    fn describe(&self) -> String {
        format!(
            "the pool that `{}` leaves and `{}` enters",
            self.depool.join(" "),
            self.repool.join(" ")
        )
    }

    fn look(&self) -> Result<Places, PoolError> {
        Ok([(self.depool.join(" "), IN.to_owned())].into())
    }

    fn is_out(&self, _stands: &str) -> bool {
        false
    }

    fn take_out(&self, _was: &Places) -> Result<(), PoolError> {
        self.run(&self.depool)
    }

    fn put_back(&self, _was: &Places) -> Result<(), PoolError> {
        self.run(&self.repool)
    }
}
