//! `formats/docs/trust.md`, followed to the letter: what is stolen or lost is stolen or lost, and the
//! commands of the guide are run as they stand there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use cutover_formats::digest::Digest;
use cutover_tests::attacker::Forger;
use cutover_tests::world::{NodeDir, Run, World, program, source};
use serde_json::{Value, json};

/// Which keys lie on the machine that is on.
const ONLINE: [&str; 2] = ["snapshot", "timestamp"];

/// Somebody with the guide before them.
struct Keeper<'w> {
    world: &'w World,
    guide: String,
}

impl<'w> Keeper<'w> {
    fn of(world: &'w World) -> Self {
        Self { world, guide: guide() }
    }

    /// Runs what stands in the guide, with its placeholders filled in.
    #[track_caller]
    fn tries(&self, documented: &str, filled: &[(&str, &str)]) -> Run {
        let in_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let stands = in_one_line(&self.guide).contains(&in_one_line(documented));
        assert!(stands, "the guide does not say `{documented}`");
        let fill = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        self.shell(&filled.iter().fold(documented.to_owned(), fill))
    }

    /// The same, which works.
    #[track_caller]
    fn does(&self, documented: &str, filled: &[(&str, &str)]) -> Run {
        self.tries(documented, filled).ok()
    }

    /// The block of shell lines that holds `words`, without comments; each line stands in the guide.
    #[track_caller]
    fn block(&self, words: &str) -> Vec<String> {
        let blocks =
            self.guide.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut found = blocks.filter(|block| block.contains(words));
        let block = found.next().unwrap_or_else(|| panic!("no block with `{words}`"));
        let code = |line: &str| line.split(" #").next().unwrap_or_default().trim().to_owned();
        block.lines().map(code).collect()
    }

    fn shell(&self, line: &str) -> Run {
        let programs = program("pack").parent().unwrap().display().to_string();
        let mut command = self.world.command("pack");
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.world.path(""));
        for (name, value) in command.env("CUTOVER_REPO", self.world.repository()).get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        // New keys are encrypted, as they are without a word about it.
        shell.env("PATH", path).env("CUTOVER_KEYS", self.world.path("keys"));
        Run::of(shell.env("CUTOVER_PASSPHRASE", "over the hills").env("XDG_STATE_HOME", "xdg"))
    }

    /// A key file is no more.
    fn destroys(&self, role: &str) {
        fs::remove_file(self.world.path("keys").join(format!("{role}.pem"))).unwrap();
    }

    /// The keys of a role, as `pack repo status` has them: id and, where it is said, whose.
    fn keys_of(&self, role: &str) -> Vec<String> {
        let status = self.does("pack repo status", &[("status", "status --json")]).json();
        let roles = status["roles"].as_array().unwrap();
        let role = roles.iter().find(|one| one["role"] == role).unwrap();
        let ids = role["keys"].as_array().unwrap().iter();
        ids.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    }

    fn public_key_in(&self, folder: &str) -> String {
        let shown = self.shell(&format!("pack keys show --json --keys {folder}")).ok().json();
        shown["keys"][0]["public"].as_str().unwrap().to_owned()
    }
}

fn guide() -> String {
    fs::read_to_string(source("../formats/docs/trust.md")).unwrap()
}

/// Copies of a role's key and of the online keys are in the folder `stolen`, with the root that
/// everybody has.
fn steal(world: &World, role: &str) {
    let stolen = world.path("stolen");
    fs::create_dir_all(&stolen).unwrap();
    let files = [role, ONLINE[0], ONLINE[1]].map(|role| format!("{role}.pem"));
    for file in files.into_iter().chain(["root.json".to_owned()]) {
        fs::copy(world.path("keys").join(&file), stolen.join(&file)).unwrap();
    }
}

/// `pack`, as the thief runs it.
fn thief<'a>(world: &World, arguments: impl IntoIterator<Item = &'a str>) -> Run {
    Run::of(world.packer().env("CUTOVER_KEYS", world.path("stolen")).args(arguments))
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

#[track_caller]
fn installs(node: &NodeDir<'_>, what: &str, version: &str) {
    let _ = node.install([what]).ok();
    assert_eq!(node.current().as_deref(), Some(version));
}

/// Two releases, and a node that follows stable.
fn scene(world: &World) -> (Keeper<'_>, NodeDir<'_>) {
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    installs(&node, "stable", "1.1.0");
    (Keeper::of(world), node)
}

#[test]
fn every_command_that_the_guide_names_is_there_with_its_options() {
    let guide = guide();
    let spans = guide.split('`').skip(1).step_by(2).filter(|span| !span.is_empty());
    let blocks = guide.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap_or_default());
    let mut seen = BTreeSet::new();
    for text in spans.chain(lines) {
        let words: Vec<_> = text.split_whitespace().collect();
        let Some((name @ ("pack" | "install" | "repo-server"), rest)) =
            words.split_first().map(|(first, rest)| (*first, rest))
        else {
            continue;
        };
        if name == "install" && rest.first() == Some(&"-d") {
            continue;
        }
        let of_name = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        let mut path: Vec<_> = rest.iter().take_while(of_name).copied().collect();
        let deepest =
            if path.first().is_some_and(|word| ["keys", "repo", "channels"].contains(word)) {
                2
            } else {
                1
            };
        path.truncate(deepest);
        let help = Run::of(Command::new(program(name)).args(&path).arg("--help")).ok().stdout;
        for option in rest.iter().filter(|word| word.trim_start_matches('[').starts_with("--")) {
            let option = option.trim_start_matches('[').trim_end_matches(']');
            let known =
                help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n"));
            assert!(known, "`{text}`: no {option} in\n{help}");
        }
        seen.insert(format!("{name} {}", path.join(" ")));
    }
    assert!(seen.len() > 15, "{seen:?}");
}

#[test]
fn the_machine_that_is_on() {
    let world = World::new();
    let keeper = Keeper::of(&world);
    let etc = world.path("etc").display().to_string();
    let [folder, keys, modes, start] = &keeper.block("--online-keys")[..] else { panic!() };
    for line in [folder, keys, modes] {
        let _ = keeper.does(line, &[("install -d", "/usr/bin/install -d"), ("/etc/cutover", &etc)]);
    }
    let start = start.replace("/etc/cutover", &etc);
    let (_, options) = start.split_once("repo-server --store /srv/vendor ").unwrap();
    let (mut server, url) = world.serve(&options.split(' ').collect::<Vec<_>>());
    assert!(url.starts_with("http://"));
    assert_eq!(server.end(), Some(0));
}

/// The status of a `PUT`.
fn put(address: &str, path: &str, condition: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "PUT /{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer stolen-token\r\n\
         {condition}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_token_stolen() {
    let world = World::new();
    let (_, node) = scene(&world);
    fs::write(world.path("tokens"), "ci stolen-token\n").unwrap();
    let tokens = world.path("tokens").display().to_string();
    let (_server, url) = world.serve(&["--tokens", &tokens]);
    node.takes_from(&url);
    installs(&node, "1.0.0", "1.0.0");

    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let (root, timestamp) = ("metadata/2.root.json", "metadata/timestamp.json");
    let honest = fs::read(world.repository().join(timestamp)).unwrap();
    let bad = r#"{"signatures":[],"signed":{"_type":"timestamp","version":99}}"#;
    assert_eq!(put(address, root, "If-None-Match: *", bad), "201");
    let seen = format!("If-Match: \"{}\"", Digest::of(&honest));
    assert_eq!(put(address, timestamp, &seen, bad), "204");
    let old = put(address, "metadata/1.root.json", "If-None-Match: *", bad);
    assert_eq!(old, "412", "what is there stays");
    node.install(["stable"]).refused(3, &["2.root.json", "is not trusted"]);
    assert_eq!(node.current().as_deref(), Some("1.0.0"));

    fs::remove_file(world.repository().join(root)).unwrap();
    node.install(["stable"]).refused(3, &["timestamp.json", "is not trusted"]);
    fs::write(world.repository().join(timestamp), honest).unwrap();
    installs(&node, "stable", "1.1.0");
}

/// What the thief serves or writes with the online keys: a version far ahead, or the next one, of a
/// channel that is not there, or is not what the channel's keys signed.
#[test]
fn timestamp_and_snapshot_stolen() {
    for (ahead, is_there) in [(5000, false), (1, false), (1, true)] {
        let world = World::new();
        let (keeper, node) = scene(&world);
        let metadata = world.repository().join("metadata");
        copy(&metadata, &world.path("backup"));
        let forger = Forger::new(world.repository(), world.path("keys"));
        let far = |snapshot: &mut Value| {
            snapshot["meta"]["channel-stable.json"] = json!({ "version": 4000 });
        };
        let forged = forger.online(ahead, far);
        let away = world.unmade_node(world.path("away"), None);
        let _ = Run::of(&mut away.init()).ok();
        let _ = away.install(["plan", "stable"]).ok();
        for (path, bytes) in &forged {
            fs::write(world.repository().join(path), bytes).unwrap();
        }
        if is_there {
            fs::write(metadata.join("4000.channel-stable.json"), "{}").unwrap();
        }
        let refused = node.install(["stable"]);
        assert_ne!(refused.status, 0, "{refused}");
        assert_eq!(node.current().as_deref(), Some("1.1.0"));
        // The keepers look, too: what they see, they will not see go back.
        let looked = world.pack(["repo", "status"]);
        assert!([0, 3, 8].contains(&looked.status), "{looked}");

        if is_there {
            // Without a backup, from a node that has not looked since.
            fs::remove_file(metadata.join("4000.channel-stable.json")).unwrap();
            fs::remove_file(world.repository().join(&forged[0].0)).unwrap();
            let last = away.root.join("state/trust/timestamp.json");
            let _ = fs::copy(last, metadata.join("timestamp.json")).unwrap();
            let same =
                Command::new("diff").arg("-r").args([&metadata, &world.path("backup")]).status();
            assert!(same.unwrap().success());
        } else {
            fs::remove_dir_all(&metadata).unwrap();
            copy(&world.path("backup"), &metadata);
        }
        node.install(["stable"]).refused(3, &["went back from version"]);
        keeper.tries("pack keys rotate timestamp", &[]).refused(3, &["went back from version"]);
        fs::remove_dir_all(world.path("keys/trust")).unwrap();
        for role in ["timestamp", "snapshot"] {
            let _ = keeper.does(&format!("pack keys rotate {role}"), &[]);
            keeper.destroys(role);
        }
        // The machine that is on gets them; the root that it has leads to the new one.
        let online = "mkdir online; cp keys/snapshot.*.pem keys/timestamp.*.pem online; \
                      cp repository/metadata/1.root.json online/root.json";
        let _ = keeper.shell(online).ok();
        let _ = keeper.does("pack refresh", &[("refresh", "refresh --keys online")]);
        installs(&node, "stable", "1.1.0");
        let _ = keeper.does("pack promote 1.4.0 stable", &[("1.4.0", "1.0.0")]);
        installs(&node, "stable", "1.0.0");
    }
}

#[test]
fn releases_stolen() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "releases");
    let _ = thief(&world, ["release", "--tree", "tree", "--version", "1.6.6"]).ok();
    installs(&node, "^1.2", "1.6.6");
    let before = keeper.does("pack keys export", &[]).stdout;

    assert!(keeper.does("pack list", &[]).stdout.contains("1.6.6"));
    let why = r#"pack withdraw VERSION --reason "the releases key was stolen""#;
    let _ = keeper.does(why, &[("VERSION", "1.6.6")]);
    let _ = keeper.does("pack keys rotate releases", &[]);
    keeper.destroys("releases");
    thief(&world, ["release", "--tree", "tree", "--version", "1.6.7"]).refused(2, &["trusts for"]);
    let _ = keeper.tries("install plan CHANNEL", &[("CHANNEL", "stable --root node")]);
    let status = node.install(["status"]).ok().stderr;
    assert!(status.contains("1.6.6 is current here and WAS WITHDRAWN"), "{status}");
    node.install(["1.6.6"]).refused(3, &["the releases key was stolen"]);
    let after = keeper.does("pack keys export", &[]).stdout;
    let root = world.root_json().display().to_string();
    let url = world.repository().display().to_string();
    let asked = "pack keys export --repo URL --trust ROOT.json";
    let asked = keeper.does(asked, &[("URL", &url), ("ROOT.json", &root)]).stdout;
    assert!(before != after && after == asked, "{before}{after}{asked}");
    installs(&node, "stable", "1.1.0");
}

#[test]
fn channels_stolen() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "channels");
    let _ = thief(&world, ["promote", "1.0.0", "stable"]).ok();
    installs(&node, "stable", "1.0.0");
    let moved = keeper.does("pack list", &[]).stdout;
    assert!(
        moved.lines().any(|line| line.contains("1.0.0") && line.ends_with("stable")),
        "{moved}"
    );
    let _ = keeper.does("pack keys rotate channels", &[]);
    keeper.destroys("channels");
    let _ =
        keeper.does("pack promote VERSION CHANNEL", &[("VERSION", "1.1.0"), ("CHANNEL", "stable")]);
    thief(&world, ["promote", "1.0.0", "stable"]).refused(2, &["trusts for"]);
    installs(&node, "stable", "1.1.0");

    let _ = keeper.shell("pack keys new --role channel-production --keys bert").ok();
    let bert = keeper.public_key_in("bert");
    let _ = keeper.does("pack keys add channel-production …", &[("…", &bert)]);
    let _ = keeper
        .tries("pack keys threshold channel-production 2", &[])
        .refused(3, &["not published yet"]);
    let waiting = "let-channel-production-take-2-signatures.pending.json";
    let _ = keeper
        .shell(&format!("pack keys sign {waiting} --keys bert && pack repo apply {waiting}"))
        .ok();
    keeper.shell("pack promote 1.1.0 production").refused(3, &["channel-production needs 1 more"]);
}

#[test]
fn targets_stolen() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "targets");
    for role in ["releases", "channel-stable"] {
        let _ = thief(&world, ["keys", "rotate", role, "--unencrypted"]).ok();
    }
    let bad = ["release", "--tree", "tree", "--version", "6.6.6", "--channel", "stable"];
    let _ = thief(&world, bad).ok();
    installs(&node, "stable", "6.6.6");

    let _ = keeper.does("pack keys rotate targets", &[]);
    keeper.destroys("targets");
    for role in ["releases", "channel-stable"] {
        let shown = keeper.does("pack keys show", &[]).stdout;
        let keys = keeper.keys_of(role);
        assert!(keys.iter().all(|id| !shown.contains(id)), "{keys:?} are strangers: {shown}");
        let _ = keeper.does("pack keys rotate ROLE", &[("ROLE", role)]);
        let shown = keeper.does("pack keys show", &[]).stdout;
        assert!(keeper.keys_of(role).iter().all(|id| shown.contains(id)), "{role}: {shown}");
    }
    assert!(keeper.does("pack list", &[]).stdout.contains("6.6.6"));
    let _ = keeper
        .does("pack withdraw VERSION --reason TEXT", &[("VERSION", "6.6.6"), ("TEXT", "bad")]);
    for role in ONLINE {
        let _ = keeper.does(&format!("pack keys rotate {role}"), &[]);
        keeper.destroys(role);
    }
    let _ =
        keeper.does("pack promote VERSION CHANNEL", &[("VERSION", "1.1.0"), ("CHANNEL", "stable")]);
    thief(&world, ["keys", "rotate", "releases", "--unencrypted"])
        .refused(3, &["targets needs 1 more"]);
    node.install(["6.6.6"]).refused(3, &["was withdrawn"]);
    installs(&node, "stable", "1.1.0");
}

#[test]
fn root_stolen_below_its_threshold() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "root");
    let lines = keeper.block("pack keys threshold root 2");
    let [made, show, add, threshold, sign, apply] = &lines[..] else { panic!("{lines:?}") };
    let berts = [("BERTS-DIR", "berts")];
    for line in [made, show] {
        let _ = keeper.does(line, &berts);
    }
    let _ = keeper.does(add, &[("5f0c…", &keeper.public_key_in("berts"))]);
    let _ = keeper.tries(threshold, &[]).refused(3, &["not published yet"]);
    for line in [sign, apply] {
        let _ = keeper.does(line, &berts);
    }
    let stolen = &keeper.keys_of("root")[0];
    let rotate = "pack keys rotate root --old KEYID";
    let waits = keeper.tries(rotate, &[("KEYID", &stolen[..8])]);
    let _ = waits.refused(3, &["root needs 1 more of"]);
    keeper.destroys("root");
    for line in
        ["pack keys sign rotate-root-*.json --keys berts", "pack repo apply rotate-root-*.json"]
    {
        let _ = keeper.shell(line).ok();
    }
    let keys = keeper.keys_of("root");
    assert!(keys.len() == 2 && !keys.contains(stolen), "{keys:?}");
    installs(&node, "1.0.0", "1.0.0");
}

#[test]
fn root_stolen_with_its_threshold() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "root");
    let _ = thief(&world, ["keys", "rotate", "root", "--unencrypted"]).ok();
    // Away from the network.
    let elsewhere = world.path("elsewhere");
    fs::rename(world.repository(), &elsewhere).unwrap();
    let before = node.inventory();
    node.install(["stable"]).refused(8, &[]);
    cutover_tests::world::assert_same(&before, &node.inventory());
    // The keepers' own root is not the last one any more: another repository.
    fs::rename(world.path("keys"), world.path("old-keys")).unwrap();
    let _ = keeper.does("pack keys new", &[]);
    let _ = keeper.does("pack repo init", &[]);
    let _ = keeper.shell("pack release --tree tree --version 1.1.0 --channel stable").ok();
    let anew = "install init --root NEW --repo … --trust 1.root.json";
    let filled = [("NEW", "anew"), ("…", "repository"), ("1.root", "repository/metadata/1.root")];
    let _ = keeper.does(anew, &filled);
    installs(&NodeDir::at(&world, world.path("anew")), "stable", "1.1.0");
}

#[test]
fn keys_that_are_lost() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    for role in ["timestamp", "snapshot", "targets", "releases", "channels", "branches"] {
        keeper.destroys(role);
        let _ = keeper.does("pack keys rotate ROLE", &[("ROLE", role)]);
    }
    let _ = keeper.does("pack promote 1.4.0 stable", &[("1.4.0", "1.0.0")]);
    installs(&node, "stable", "1.0.0");
    for role in ["root", "targets", "snapshot", "timestamp", "releases", "channels", "branches"] {
        let _ = keeper.does("pack keys renew ROLE", &[("ROLE", role)]);
    }
    let _ = keeper.does("pack refresh", &[]);
    installs(&node, "1.1.0", "1.1.0");
}

#[test]
fn a_channel_with_promoters_and_more_than_one_signature() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    let lines = keeper.block("pack channels add train-7");
    let [new, add, sign, apply, promote, remove] = &lines[..] else { panic!("{lines:?}") };
    for who in ["anna", "bert"] {
        let _ = keeper.does(new, &[("MY-KEYS", who)]);
        fs::copy(world.path("keys/root.json"), world.path(who).join("root.json")).unwrap();
    }
    let keys = [("5f0c…", keeper.public_key_in("anna")), ("77a1…", keeper.public_key_in("bert"))];
    let keys = keys.each_ref().map(|(from, to)| (*from, to.as_str()));
    let _ = keeper.tries(add, &keys).refused(3, &["not published yet"]);
    for who in ["anna", "bert"] {
        let _ = keeper.does(sign, &[("MY-KEYS", who)]);
    }
    let _ = keeper.does(apply, &[]);
    let waits = keeper.tries(promote, &[("1.4.0", "1.0.0"), ("MY-KEYS", "anna")]);
    let _ = waits.refused(3, &["point-train-7-of-tiny-at-1.0.0.pending.json"]);

    let lines = keeper.block("--show");
    let [_, show, signed, both] = &lines[..] else { panic!("{lines:?}") };
    let filled = [
        ("point-….pending.json", "point-train-7-of-tiny-at-1.0.0.pending.json"),
        ("--keys DIR", "--keys bert"),
    ];
    let _ = keeper.shell("cp point-train-7-of-tiny-at-1.0.0.pending.json copy-of-bert.json").ok();
    for line in [show, signed, both] {
        let _ = keeper.does(line, &filled);
    }
    installs(&node, "train-7", "1.0.0");
    let _ = keeper.does(remove, &[]);
}
