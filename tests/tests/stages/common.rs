//! A node with 1.0.0 behind its gate, and a 1.1.0 that asks for more.

use cutover_tests::world::{NodeDir, Running, Tree, World, free_address};

/// What these tests begin with: 1.0.0 runs; 1.1.0 has `release` in its `release.toml` beside what is
/// there, and the node `node` in its `node.toml`.
pub(crate) struct Scene<'w> {
    pub(crate) world: &'w World,
    pub(crate) tree: Tree,
    pub(crate) node: NodeDir<'w>,
    pub(crate) gate: Running,
}

impl<'w> Scene<'w> {
    pub(crate) fn new(world: &'w World, release: &str, node: &str) -> Self {
        Self::with(world, "", release, node)
    }

    /// The same, with `first` in the `release.toml` of 1.0.0.
    pub(crate) fn with(world: &'w World, first: &str, release: &str, node: &str) -> Self {
        let tree = world.tree("tiny");
        let plain = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
        for (version, more) in [("1.0.0", first), ("1.1.0", release)] {
            tree.write("release.toml", &format!("{plain}\n{more}"));
            tree.tag(version);
            let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
        }
        let root = world.node(Some(free_address()));
        let gate = root.start_gate();
        let _ = root.install(["1.0.0"]).ok();
        root.add(node);
        Self { world, tree, node: root, gate }
    }

    /// What the stages of a test wrote down, a line each.
    pub(crate) fn log(&self) -> Vec<String> {
        let path = self.node.root.join("shared/log");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What the gate's service says it is.
    pub(crate) fn served(&self) -> String {
        let (status, body) = cutover_tests::world::get(self.node.gate.unwrap(), "/").unwrap();
        assert_eq!(status, 200, "{body}");
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        value["version"].as_str().unwrap().to_owned()
    }

    /// The node is on 1.0.0, whole, and nothing is left to be ended.
    #[track_caller]
    pub(crate) fn is_as_before(&self) {
        assert_eq!(self.node.current().as_deref(), Some("1.0.0"));
        assert_eq!(self.served(), "1.0.0");
        assert_eq!(self.node.status()["unfinished"], serde_json::Value::Null);
        let _ = self.node.install(["verify"]).ok();
    }

    /// The node is on 1.1.0, whole, and nothing is left to be ended.
    #[track_caller]
    pub(crate) fn is_on_the_new(&self) {
        assert_eq!(self.node.current().as_deref(), Some("1.1.0"));
        assert_eq!(self.served(), "1.1.0");
        assert_eq!(self.node.status()["unfinished"], serde_json::Value::Null);
        let _ = self.node.install(["verify"]).ok();
    }
}

/// A stage that writes down its name, and on the way back its name with a minus.
pub(crate) fn noting(name: &str, place: &str) -> String {
    format!(
        "[stage.{name}]\n{place}\nrun = 'echo {name} >> {{root}}/shared/log'\n\
         undo = 'echo -{name} >> {{root}}/shared/log'\n"
    )
}

/// A stage that writes down its name and fails.
pub(crate) fn failing(name: &str, place: &str) -> String {
    noting(name, place).replace(">> {root}/shared/log'\nundo", ">> {root}/shared/log; false'\nundo")
}
