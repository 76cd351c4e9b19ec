//! `install logs`: what a real service says, through files that take each other's place, a restart and a
//! swap, and what it says where there is nothing to show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use cutover_tests::world::{NodeDir, Run, Running, World, free_address, get, wait_until};

/// A few lines fit into a file, and few files are kept.
const SMALL: &str = "[service]\nlog = { size = \"1KiB\", files = 4 }\n";

fn node(world: &World) -> NodeDir<'_> {
    let node = world.node(Some(free_address()));
    node.add(SMALL);
    node
}

/// Has the service say so many lines, and tells them.
fn say(node: &NodeDir<'_>, what: &str, lines: usize) -> Vec<String> {
    let say = |number| {
        let line = format!("{what}-{number:03}-{}", "x".repeat(30));
        wait_until("the service says it", || {
            get(node.gate.unwrap(), &format!("/say?{line}"))
                .is_some_and(|(status, _)| status == 200)
        });
        line
    };
    (0..lines).map(say).collect()
}

/// The lines of `said`, which may have others among them, such as the service's own.
fn among(shown: &str, said: &[String]) -> Vec<String> {
    let of_ours = |line: &&str| said.iter().any(|said| said == line);
    shown.lines().filter(of_ours).map(str::to_owned).collect()
}

/// `install logs --follow` into a file.
struct Follower {
    process: Running,
    shown: PathBuf,
    notes: PathBuf,
}

impl Follower {
    fn start(node: &NodeDir<'_>, name: &str, arguments: &[&str]) -> Self {
        let [shown, notes] =
            ["shown", "notes"].map(|kind| node.root.with_extension(format!("{name}.{kind}")));
        let mut command = node.command();
        command.args(["logs", "--follow"]).args(arguments);
        command.stdout(File::create(&shown).unwrap()).stderr(File::create(&notes).unwrap());
        Self { process: Running::start(&mut command), shown, notes }
    }

    fn shown(&self) -> String {
        std::fs::read_to_string(&self.shown).unwrap()
    }

    fn waits_for(&self, lines: &[String]) {
        wait_until("all lines are shown", || self.shown().contains(lines.last().unwrap()));
    }
}

#[test]
fn the_last_lines_are_found_across_files_and_releases() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = node(&world);
    let _gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    let old = say(&node, "old", 60);
    let logs = |arguments: &[&str]| {
        let run = Run::of(node.command().arg("logs").args(arguments)).ok();
        run.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("all is kept", || logs(&["-n", "1"]) == old[59..]);
    let older = node.root.join("run/service-1.0.0.log.2");
    assert!(older.exists(), "there are several files");
    assert_eq!(logs(&["-n", "45"]), old[15..], "of more than one file");
    assert_eq!(logs(&["-n", "0"]), [""; 0]);
    let all = logs(&["-n", "all"]);
    assert!(all.ends_with(&old), "{all:?}");
    assert_eq!(logs(&[]), all, "there are not a hundred");

    let _ = node.install(["1.1.0"]).ok();
    let new = say(&node, "new", 10);
    wait_until("all is kept", || logs(&["-n", "1"]) == new[9..]);
    let both = Run::of(node.command().args(["logs", "-n", "15"])).ok();
    assert_eq!(among(&both.stdout, &new), new, "{both}");
    assert!(both.stdout.lines().count() == 15 && both.stdout.lines().next() != Some(&new[0]));
    assert!(both.stderr.contains("==> 1.0.0 <==\n==> 1.1.0 <==\n"), "{both}");
    let of_old = node.install(["logs", "-n", "all", "--release", "1.0.0"]).ok();
    assert_eq!(among(&of_old.stdout, &old[20..]), old[20..]);
    assert!(among(&of_old.stdout, &new).is_empty(), "{of_old}");
    let json = node.install(["logs", "-n", "1", "--json"]).ok().json();
    assert_eq!(json, serde_json::json!({ "version": "1.1.0", "line": new[9] }));
    let hint = "hint: there is output of 1.0.0, 1.1.0";
    node.install(["logs", "--release", "9.9.9"])
        .refused(4, &["nothing is kept of what 9.9.9 said", hint]);
    node.install(["logs", "-n", "some"]).refused(2, &["it is a number of lines, or `all`"]);
}

#[test]
fn following_goes_on_across_files_a_restart_and_a_swap() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = node(&world);
    let _gate = node.start_gate();
    let mut all = Follower::start(&node, "all", &[]);
    wait_until("it says that it waits", || {
        std::fs::read_to_string(&all.notes).unwrap().contains("waiting for it")
    });
    let _ = node.install(["1.0.0"]).ok();
    // Each time less than there is room for in the files, so that none goes away unread.
    let mut said = say(&node, "first", 60);
    all.waits_for(&said);
    let service = node.status()["gate"]["running"]["pid"].to_string();
    let _ = Run::of(std::process::Command::new("kill").args(["-s", "KILL", &service])).ok();
    said.extend(say(&node, "again", 40));
    all.waits_for(&said);
    let _ = node.install(["1.1.0"]).ok();
    said.extend(say(&node, "second", 60));
    all.waits_for(&said);
    let mut end = Follower::start(&node, "end", &["-n", "1", "--release", "1.1.0"]);
    end.waits_for(&said);
    said.extend(say(&node, "after", 30));
    all.waits_for(&said);
    end.waits_for(&said);
    for follower in [&mut all, &mut end] {
        follower.process.signal("INT");
        assert_eq!(follower.process.wait(), Some(0));
    }
    assert_eq!(among(&all.shown(), &said), said, "every line once, in order");
    assert_eq!(end.shown().lines().collect::<Vec<_>>(), said[159..], "the last one, and what came");
    let notes = std::fs::read_to_string(&all.notes).unwrap();
    assert!(notes.ends_with("==> 1.1.0 <==\n"), "{notes}");
}

#[test]
fn where_there_is_nothing_it_says_where_to_look() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = node(&world);
    node.install(["logs"]).refused(4, &["no service has said anything here yet", "--follow"]);
    let settings = node.settings();
    let with = |service: &str| node.set(&settings.replace(SMALL, service));
    with("[service]\nlog = \"journal\"\n");
    let name = node.root.file_name().unwrap().display().to_string();
    let command = format!("`journalctl -u cutover-gate@{name}.service -n 100`");
    for arguments in [&["logs"][..], &["logs", "--follow"]] {
        let words = ["the service's output goes where the gate's own goes", &command];
        Run::of(node.command().args(arguments)).refused(4, &words);
    }
    let unit = "manager = { kind = \"systemd\", unit = \"tiny@{version}-{port}.service\" }\n";
    with(&format!("[service]\nlog = \"journal\"\n{unit}"));
    let words =
        ["systemd has the service's output", "`journalctl -u 'tiny@1.0.0-*.service' -n 100`"];
    node.install(["logs", "--release", "1.0.0"]).refused(4, &words);
    with(&format!("[service]\n{unit}"));
    std::fs::create_dir_all(node.root.join("run")).unwrap();
    std::fs::write(node.root.join("run/service-1.0.0.log"), "Unit not found.\nno end").unwrap();
    let run = node.install(["logs"]).ok();
    assert_eq!(run.stdout, "Unit not found.\nno end");
    assert!(run.stderr.contains("warning: systemd has the service's output: `journalctl"), "{run}");
    // Whom nobody reads any more has nothing to complain of.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut unread = node.command();
    unread.arg("logs").stdout(writer).stderr(Stdio::piped());
    let unread = Running::start(&mut unread).ended();
    assert!(unread.status == 0 && !unread.stderr.contains("error"), "{unread}");
    let bare = world.unmade_node(world.path("bare"), None);
    let _ = Run::of(&mut bare.init()).ok();
    bare.install(["logs"]).refused(4, &["this node has no gate"]);
}
