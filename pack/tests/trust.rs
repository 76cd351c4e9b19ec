//! Living with keys, as it is typed: thresholds, changes carried by hand, rotation, revocation.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cutover_formats::exit::{Exit, Explain as _};
use cutover_repository::client::Client;
use cutover_repository::open_read;
use jiff::Timestamp;
use serde_json::Value;

/// A folder with keys, a repository, and a tree to release.
struct Scene(tempfile::TempDir);

struct Run {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    #[track_caller]
    fn done(self) -> Self {
        assert_eq!(self.exit, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn refused(self, exit: i32, words: &str) -> Self {
        assert_eq!(self.exit, exit, "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(words), "{}", self.stderr);
        self
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.done().stdout).unwrap()
    }
}

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        scene.pack(&["keys", "new", "--unencrypted"]).done();
        scene.pack(&["repo", "init"]).done();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pack"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("CUTOVER_REPO", "repository").env("CUTOVER_KEYS", "keys");
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    fn pack(&self, args: &[&str]) -> Run {
        run(&mut self.command(args))
    }

    fn release(&self, version: &str) -> Run {
        let tree = self.path("tree");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("release.toml"), "[release]\nproduct = 'weave'\n").unwrap();
        fs::write(tree.join("app"), version).unwrap();
        self.pack(&["release", "--tree", "tree", "--version", version])
    }

    /// Moves the key file `from` to another folder of keys, as to another machine.
    fn hand(&self, from: &str, folder: &str) -> PathBuf {
        let folder = self.path(folder);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(from);
        fs::rename(self.path("keys").join(from), &file).unwrap();
        fs::copy(self.path("keys/root.json"), folder.join("root.json")).unwrap();
        file
    }

    /// A key in a folder of its own: the public half, and where it is.
    fn key_of(&self, folder: &str, role: &str) -> String {
        self.pack(&["keys", "new", "--unencrypted", "--keys", folder]).done();
        fs::copy(self.path("keys/root.json"), self.path(folder).join("root.json")).unwrap();
        for file in fs::read_dir(self.path(folder)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name != "root.json" && name != format!("{role}.pem") {
                fs::remove_file(path).unwrap();
            }
        }
        let shown = self.pack(&["keys", "show", "--keys", folder, "--json"]).json();
        shown["keys"][0]["public"].as_str().unwrap().to_owned()
    }

    /// The file of the change that waits.
    #[track_caller]
    fn pending(&self, run: Run) -> PathBuf {
        let run = run.refused(3, "not published yet");
        let words = "the change waits in ";
        let line = run.stderr.lines().find_map(|line| Some(line.split_once(words)?.1)).unwrap();
        self.path(line)
    }

    /// What waits is signed by others, and applied.
    #[track_caller]
    fn signed_by(&self, folders: &[&str], run: Run) {
        let file = self.pending(run);
        for keys in folders {
            self.pack(&["keys", "sign", text(&file), "--keys", keys]).done();
        }
        self.pack(&["repo", "apply", text(&file)]).done();
    }

    fn role(&self, name: &str) -> Value {
        let status = self.pack(&["repo", "status", "--json"]).json();
        let roles = status["roles"].as_array().unwrap();
        roles.iter().find(|role| role["role"] == name).unwrap().clone()
    }

    /// A node that trusts what `folder` holds, and looks now.
    fn node(&self, folder: &str) -> Result<Option<String>, (Exit, String)> {
        self.follow(folder, "stable")
    }

    /// The same, of another channel than stable.
    fn follow(&self, folder: &str, channel: &str) -> Result<Option<String>, (Exit, String)> {
        let trust = self.path(folder);
        let failed =
            |error: cutover_repository::client::TrustError| (error.exit(), error.to_string());
        if !trust.join("root.json").exists() {
            Client::init(trust.clone(), &fs::read(self.path("keys/root.json")).unwrap()).unwrap();
        }
        let address = self.path("repository").to_str().unwrap().parse().unwrap();
        let store = open_read(&address).unwrap();
        let mut client = Client::open(store.as_ref(), trust, Timestamp::now()).map_err(failed)?;
        client.refresh().map_err(failed)?;
        let pointer = client.channel(&channel.parse().unwrap(), &"weave".parse().unwrap());
        Ok(pointer.map_err(failed)?.map(|pointer| pointer.version.to_string()))
    }
}

fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let exit = output.status.code().unwrap();
    Run { exit, stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn two_promoters_sign_the_same_promotion_in_either_order() {
    for anna_first in [true, false] {
        let scene = Scene::new();
        scene.release("1.0.0").done();
        let bert = scene.key_of("bert", "channels");
        scene.pack(&["keys", "add", "channel-stable", &bert, "--name", "bert"]).done();
        let raised = scene.pack(&["keys", "threshold", "channel-stable", "2"]);
        scene.signed_by(&["bert"], raised);
        let role = scene.role("channel-stable");
        assert_eq!((&role["threshold"], &role["keys"][1]["name"]), (&2.into(), &"bert".into()));
        scene.pack(&["keys", "threshold", "channel-stable", "3"]).refused(2, "3 signatures of 2");

        let waiting = scene.pack(&["promote", "1.0.0", "stable"]);
        let annas = scene.pending(waiting);
        assert_eq!(scene.node("node").unwrap(), None, "nothing is visible");
        scene.pack(&["repo", "apply", text(&annas)]).refused(3, "channel-stable needs 1 more of");

        // Bert gets a copy on which Anna has not signed, or one on which she has.
        let copy = scene.path("copy.json");
        fs::copy(&annas, &copy).unwrap();
        let signed = scene.pack(&["keys", "sign", "copy.json", "--keys", "bert"]).done();
        assert!(signed.stderr.contains("\"version\": \"1.0.0\""), "{}", signed.stderr);
        scene.pack(&["keys", "sign", "copy.json", "--keys", "bert"]).refused(2, "no key in bert");
        let files = if anna_first { [&annas, &copy] } else { [&copy, &annas] };
        let args = ["repo", "apply", text(files[0]), text(files[1])];
        scene.pack(&args).done();
        assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.0.0"));
        scene.pack(&args).done();

        // Others work as before, and a change from an old state is refused.
        scene.release("1.1.0").done();
        let stale = scene.pending(scene.pack(&["promote", "1.1.0", "stable"]));
        let other = scene.pending(scene.pack(&["promote", "1.1.0", "stable"]));
        for file in [&stale, &other] {
            scene.pack(&["keys", "sign", text(file), "--keys", "bert"]).done();
        }
        scene.pack(&["promote", "1.1.0", "testing"]).done();
        scene.pack(&["repo", "apply", text(&other)]).done();
        scene.pack(&["keys", "revoke", "channel-stable", "0000"]).refused(2, "not the begin of");
        assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.1.0"));
    }
}

#[test]
fn a_tampered_change_is_not_signed_and_not_applied() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.release("1.1.0").done();
    let bert = scene.key_of("bert", "channels");
    scene.pack(&["keys", "add", "channels", &bert]).done();
    scene.signed_by(&["bert"], scene.pack(&["keys", "threshold", "channels", "2"]));
    let pending = scene.pending(scene.pack(&["promote", "1.1.0", "stable"]));
    let good = fs::read_to_string(&pending).unwrap();
    fs::write(&pending, good.replace("1.1.0\\\"", "1.0.0\\\"")).unwrap();
    scene
        .pack(&["keys", "sign", text(&pending), "--keys", "bert"])
        .refused(3, "is not the file that the change vouches for");
    // A change that says that one signature is enough is not believed.
    let mut change: Value = serde_json::from_str(&good).unwrap();
    change["documents"][0]["needs"][0]["threshold"] = 1.into();
    fs::write(&pending, change.to_string()).unwrap();
    scene.pack(&["repo", "apply", text(&pending)]).refused(3, "needs 1 more of");
    assert_eq!(scene.node("node").unwrap(), None);
}

#[test]
fn a_rotation_that_cannot_be_leaves_no_key() {
    let scene = Scene::new();
    let bert = scene.key_of("bert", "root");
    scene.pack(&["keys", "add", "root", &bert]).done();
    let keys = || fs::read_dir(scene.path("keys")).unwrap().count();
    let before = keys();
    let rotate = |role| scene.pack(&["keys", "rotate", role, "--unencrypted"]);
    rotate("root").refused(2, "it has 2 keys");
    rotate("nonsense").refused(4, "no role `nonsense`");
    fs::remove_file(scene.path("repository/metadata/timestamp.json")).unwrap();
    assert_ne!(rotate("targets").exit, 0);
    assert_eq!(keys(), before);
}

#[test]
fn nodes_that_were_offline_follow_many_roots() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.pack(&["promote", "1.0.0", "stable"]).done();
    assert_eq!(scene.node("offline").unwrap().as_deref(), Some("1.0.0"));
    let mut old = "root.pem".to_owned();
    for number in 0..30 {
        let role = ["root", "timestamp", "targets", "snapshot"][number % 4];
        let rotated = scene.pack(&["keys", "rotate", role, "--unencrypted"]).done();
        assert!(rotated.stderr.contains("new key "), "{}", rotated.stderr);
        if role == "root" {
            // What signed the root before is gone for good.
            let line = rotated.stderr.lines().find(|line| line.starts_with("new key ")).unwrap();
            fs::remove_file(scene.path("keys").join(&old)).unwrap();
            old = line.rsplit_once('/').unwrap().1.to_owned();
        }
    }
    assert_eq!(scene.role("root")["version"], 31);
    assert_eq!(scene.node("offline").unwrap().as_deref(), Some("1.0.0"));
    assert_eq!(scene.node("fresh").unwrap().as_deref(), Some("1.0.0"));
}

#[test]
fn a_revoked_key_signs_no_more() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    for role in ["channels", "releases", "timestamp"] {
        scene.node("node").unwrap();
        let stolen = scene.hand(&format!("{role}.pem"), "stolen");
        scene.hand_back(&stolen);
        scene.pack(&["keys", "rotate", role, "--unencrypted"]).done();
        fs::remove_file(scene.path("keys").join(format!("{role}.pem"))).unwrap();
        scene.node("node").unwrap();
        // The thief has all other keys of a publisher, too.
        for file in fs::read_dir(scene.path("keys")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_file() && !name.starts_with(role) {
                fs::copy(&path, scene.path("stolen").join(name)).unwrap();
            }
        }
        let thief: &[&str] = match role {
            "timestamp" => &["refresh", "--keys", "stolen"],
            "channels" => &["promote", "1.0.0", "stable", "--keys", "stolen"],
            _ => &["release", "--tree", "tree", "--version", "6.6.6", "--keys", "stolen"],
        };
        scene.pack(thief).refused(2, "is not one that the repository trusts for");
        fs::remove_dir_all(scene.path("stolen")).unwrap();
    }
    // The new keys do.
    scene.release("1.1.0").done();
    scene.pack(&["promote", "1.1.0", "stable"]).done();
    assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.1.0"));
}

impl Scene {
    /// A stolen key is still where it was.
    fn hand_back(&self, file: &Path) {
        fs::copy(file, self.path("keys").join(file.file_name().unwrap())).unwrap();
    }
}

/// What the old timestamp key signs is refused by nodes that know of the rotation, exit code 3.
#[test]
fn nodes_refuse_what_a_revoked_key_signed() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let timestamp = scene.path("repository/metadata/timestamp.json");
    scene.pack(&["refresh"]).done();
    let by_old_key = fs::read(&timestamp).unwrap();
    scene.node("node").unwrap();
    scene.pack(&["keys", "rotate", "timestamp", "--unencrypted"]).done();
    // The overlap: signed by both, so that nobody notices.
    let both: Value = serde_json::from_slice(&fs::read(&timestamp).unwrap()).unwrap();
    assert_eq!(both["signatures"].as_array().unwrap().len(), 2);
    fs::remove_file(scene.path("keys/timestamp.pem")).unwrap();
    scene.pack(&["refresh"]).done();
    scene.node("node").unwrap();
    let before = fs::read(scene.path("node/timestamp.json")).unwrap();
    fs::write(&timestamp, by_old_key).unwrap();
    let (exit, words) = scene.node("node").unwrap_err();
    assert_eq!(exit, Exit::NotTrusted);
    assert!(words.contains("timestamp is signed by 0 of the 1 keys"), "{words}");
    assert_eq!(fs::read(scene.path("node/timestamp.json")).unwrap(), before);
}

#[test]
fn a_stolen_timestamp_key_set_floors_and_a_rotation_drops_them() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let timestamp = scene.path("repository/metadata/timestamp.json");
    let backup = fs::read(&timestamp).unwrap();
    // The thief lets nodes store a version far ahead.
    for _ in 0..5 {
        scene.pack(&["refresh"]).done();
    }
    scene.node("node").unwrap();
    fs::write(&timestamp, backup).unwrap();
    assert_eq!(scene.node("node").unwrap_err().0, Exit::NotTrusted, "a rollback");
    fs::remove_dir_all(scene.path("keys/trust")).unwrap();
    scene.pack(&["keys", "rotate", "timestamp", "--unencrypted"]).done();
    scene.node("node").unwrap();
}

#[test]
fn an_offline_root_signs_elsewhere() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let anna = scene.key_of("anna", "root");
    scene.pack(&["keys", "add", "root", &anna, "--name", "anna"]).done();
    scene.signed_by(&["anna"], scene.pack(&["keys", "threshold", "root", "2"]));
    assert_eq!(scene.role("root")["threshold"], 2);
    // From now on it takes both, and the machine that publishes has neither.
    scene.hand("root.pem", "safe");
    let change = scene.pack(&["keys", "rotate", "snapshot", "--unencrypted"]);
    let change = scene.pending(change);
    for keys in ["safe", "anna"] {
        scene.pack(&["repo", "apply", text(&change)]).refused(3, "root needs");
        let signed = scene.pack(&["keys", "sign", text(&change), "--keys", keys]).done();
        assert!(signed.stderr.contains("snapshot is signed by 1 of"), "{}", signed.stderr);
    }
    scene.pack(&["repo", "apply", text(&change)]).done();
    fs::remove_file(scene.path("keys/snapshot.pem")).unwrap();
    scene.pack(&["refresh"]).done();
    scene.node("node").unwrap();
}

#[test]
fn status_warns_before_anything_expires() {
    let scene = Scene::new();
    let run = scene.pack(&["repo", "status"]).done();
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    assert!(run.stdout.contains("channel-production"), "{}", run.stdout);
    assert!(run.stdout.contains("1 of 1"), "{}", run.stdout);
    assert!(matches!(scene.role("snapshot")["days_left"].as_i64(), Some(89..=90)));
    scene.pack(&["keys", "renew", "targets"]).done();
    assert_eq!(scene.role("targets")["version"], 2);
    assert_eq!(scene.role("root")["version"], 2);
    scene.pack(&["keys", "renew", "nobody"]).refused(4, "the repository has no role `nobody`");
}

/// Ends when the test does.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_ssh_agent_signs_and_the_private_key_is_never_on_disk() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let socket = scene.path("agent.sock");
    let mut agent = Command::new("ssh-agent");
    agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
    let _agent = Agent(agent.spawn().unwrap());
    let waited = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        socket.exists()
    });
    assert!(waited);
    let key = scene.path("id");
    let mut made = Command::new("ssh-keygen");
    run(made.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)).done();
    run(Command::new("ssh-add").arg(&key).env("SSH_AUTH_SOCK", &socket)).done();
    fs::remove_file(&key).unwrap();
    let listed = run(Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &socket)).done();
    let fingerprint = listed.stdout.split(' ').nth(1).unwrap();

    let pointer = scene.path("keys/channels.key.toml");
    fs::write(&pointer, format!("key = \"ssh-agent:{fingerprint}\"\n")).unwrap();
    let rotate = ["keys", "rotate", "channels", "--to", "id.pub", "--name", "anna"];
    run(scene.command(&rotate).env("SSH_AUTH_SOCK", &socket)).done();
    fs::remove_file(scene.path("keys/channels.pem")).unwrap();
    let promote = ["promote", "1.0.0", "stable"];
    let mut without = scene.command(&promote);
    run(without.env_remove("SSH_AUTH_SOCK")).refused(2, "SSH_AUTH_SOCK is not set");
    run(scene.command(&promote).env("SSH_AUTH_SOCK", &socket)).done();
    assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.0.0"));
    fs::write(&pointer, "key = \"ssh-agent:SHA256:nobody\"\n").unwrap();
    let mut other = scene.command(&["promote", "1.0.0", "next"]);
    run(other.env("SSH_AUTH_SOCK", &socket)).refused(2, "does not hold SHA256:nobody");
}

#[test]
fn a_command_signs() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let key = scene.path("hsm.pem");
    let openssl = |args: &[&str]| {
        run(Command::new("openssl").args(args).current_dir(scene.0.path())).done().stdout
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", text(&key)]);
    let public = openssl(&["pkey", "-in", text(&key), "-pubout"]);
    fs::write(scene.path("hsm.pub"), &public).unwrap();
    // OpenSSL wants the message in a file.
    let script = scene.path("sign.sh");
    let dir = scene.0.path().display();
    let lines = format!(
        "cat >{dir}/message\nopenssl pkeyutl -sign -rawin -inkey {dir}/$1 -in {dir}/message\n"
    );
    fs::write(&script, lines).unwrap();
    scene.pending(scene.pack(&["keys", "rotate", "timestamp", "--to", "hsm.pub"]));
    let pointer = |key: &str| {
        let exec = format!("key = \"exec:sh {} {key}\"\n", script.display());
        let text = format!("{exec}public = \"\"\"{public}\"\"\"\n");
        fs::write(scene.path("keys/timestamp.hsm.key.toml"), text).unwrap();
    };
    pointer("hsm.pem");
    scene.pack(&["keys", "rotate", "timestamp", "--to", "hsm.pub"]).done();
    fs::remove_file(scene.path("keys/timestamp.pem")).unwrap();
    scene.pack(&["refresh"]).done();
    scene.node("node").unwrap();
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "other.pem"]);
    pointer("other.pem");
    scene.pack(&["refresh"]).refused(2, "no signature of this key");
    pointer("nowhere.pem");
    scene.pack(&["refresh"]).refused(2, "`sh` failed");
    scene.node("node").unwrap();
}

#[test]
fn a_withdrawn_release_is_not_promoted_and_shown() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.pack(&["withdraw", "1.0.1", "--reason", "x"]).refused(4, "there is no weave 1.0.1");
    scene.pack(&["withdraw", "1.0.0", "--reason", " "]).refused(2, "it has to say something");
    let args = ["withdraw", "1.0.0", "--reason", "loses data"];
    let done = scene.pack(&args).done();
    assert!(done.stdout.contains("is withdrawn from next, testing, stable, production"));
    scene.pack(&args).refused(2, "weave 1.0.0 was withdrawn already");
    scene.pack(&["promote", "1.0.0", "stable"]).refused(2, "withdrawn from stable: loses data");
    scene.pack(&["promote", "1.0.0", "b.try"]).refused(2, "withdrawn from next: loses data");
    let listed = scene.pack(&["list", "--json"]).json();
    assert_eq!(listed["releases"][0]["withdrawn"], "next: loses data");
    scene.release("1.0.1").done();
    scene.pack(&["promote", "1.0.1", "stable"]).done();
    assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.0.1"));
}

/// Promoters make their keys on their own machines; what the folder of keys has is not theirs.
#[test]
fn a_channel_with_promoters_of_its_own() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let role = "channel-train-7";
    let mut publics = Vec::new();
    for who in ["anna", "bert", "carl"] {
        let made = ["keys", "new", "--unencrypted", "--keys", who, "--role", role, "--json"];
        let made = scene.pack(&made).json();
        publics.push(format!("{who}={}", made["keys"][0]["public"].as_str().unwrap()));
        fs::copy(scene.path("keys/root.json"), scene.path(who).join("root.json")).unwrap();
    }
    let shown = scene.pack(&["keys", "show", "--keys", "bert", "--json"]).json();
    assert!(publics[1].ends_with(shown["keys"][0]["public"].as_str().unwrap()));
    let keys: Vec<_> = publics.iter().flat_map(|key| ["--key", key]).collect();
    let add =
        |extra: &[&str]| scene.pack(&[&["channels", "add", "train-7"], &keys[..], extra].concat());
    add(&["--threshold", "4"]).refused(2, "4 signatures of 3 keys");
    scene.node("node").unwrap();
    // Two promoters sign that it begins, on two machines.
    let waiting = scene.pending(add(&["--threshold", "2"]));
    scene.pack(&["promote", "1.0.0", "train-7"]).refused(4, "no channel `train-7`");
    scene.pack(&["repo", "apply", text(&waiting)]).refused(3, "channel-train-7 needs 2 more of");
    for who in ["bert", "anna"] {
        scene.pack(&["keys", "sign", text(&waiting), "--keys", who]).done();
    }
    scene.pack(&["repo", "apply", text(&waiting)]).done();
    let found = scene.role(role);
    assert_eq!((&found["threshold"], found["keys"].as_array().unwrap().len()), (&2.into(), 3));
    assert!(found["keys"].as_array().unwrap().iter().any(|key| key["name"] == "carl"));
    add(&["--threshold", "2"]).refused(2, "it is there already");

    // A promotion by two of the three, in copies; one of them alone moves nothing.
    scene
        .pack(&["promote", "1.0.0", "train-7"])
        .refused(2, "is not one that the repository trusts");
    let promotion = scene.pending(scene.pack(&["promote", "1.0.0", "train-7", "--keys", "anna"]));
    let copy = scene.path("carls.json");
    fs::copy(&promotion, &copy).unwrap();
    scene.pack(&["repo", "apply", "carls.json"]).refused(3, "needs 1 more of");
    scene.pack(&["keys", "sign", "carls.json", "--keys", "carl"]).done();
    scene.pack(&["repo", "apply", "carls.json", text(&promotion)]).done();
    assert_eq!(scene.follow("node", "train-7").unwrap().as_deref(), Some("1.0.0"));
    // It is one role like others: a stolen key is replaced, without the thief.
    let annas = scene.role(role)["keys"][0]["id"].as_str().unwrap().to_owned();
    let revoke = scene.pack(&["keys", "revoke", role, &annas]);
    scene.signed_by(&["anna", "bert", "carl"], revoke);
    assert_eq!(scene.role(role)["keys"].as_array().unwrap().len(), 2);

    // It goes, and nodes find nothing there; a new one of that name begins empty, not older.
    let version = scene.role(role)["version"].as_u64().unwrap();
    scene.pack(&["channels", "remove", "train-7"]).done();
    assert_eq!(scene.follow("node", "train-7").unwrap(), None);
    scene.pack(&["channels", "remove", "train-7"]).refused(4, "no role `channel-train-7`");
    scene.pack(&["channels", "add", "train-7"]).done();
    assert!(scene.role(role)["version"].as_u64().unwrap() > version);
    assert_eq!(scene.follow("node", "train-7").unwrap(), None);
    scene.pack(&["promote", "1.0.0", "train-7"]).done();
    assert_eq!(scene.follow("node", "train-7").unwrap().as_deref(), Some("1.0.0"));
}

#[test]
fn channels_that_cannot_be_added_or_removed() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.pack(&["channels", "add", "b.feature"]).refused(2, "a branch's channel");
    scene.pack(&["channels", "add", "x", "--key", "nonsense"]).refused(2, "no ed25519 public key");
    scene.pack(&["channels", "add", "x", "--threshold", "0"]).refused(2, "0 signatures");
    scene
        .pack(&["keys", "new", "--role", "nobody", "--unencrypted"])
        .refused(2, "`nobody` is no role");
    scene
        .pack(&["keys", "new", "--role", "channel-../x", "--unencrypted"])
        .refused(2, "is no role");
    // What only this channel says nodes must not forget.
    scene.pack(&["withdraw", "1.0.0", "--reason", "a hole", "--channel", "next"]).done();
    scene.pack(&["channels", "remove", "next"]).refused(2, "weave 1.0.0 is withdrawn");
    scene.pack(&["withdraw", "1.0.0", "--reason", "a hole", "--channel", "stable"]).done();
    scene.pack(&["channels", "remove", "next"]).done();
    scene.pack(&["promote", "1.0.0", "stable"]).refused(2, "was withdrawn");
}

/// A node that was away while every role got other keys, thresholds rose and keys were revoked goes
/// on; the keys that went count no more.
#[test]
fn nodes_that_were_offline_while_everything_changed() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.pack(&["promote", "1.0.0", "stable"]).done();
    assert_eq!(scene.node("offline").unwrap().as_deref(), Some("1.0.0"));
    for role in ["releases", "branches", "channels", "targets", "snapshot", "timestamp", "root"] {
        scene.pack(&["keys", "rotate", role, "--unencrypted"]).done();
        let _ = fs::remove_file(scene.path("keys").join(format!("{role}.pem")));
    }
    // Two of two, then of three, then one is revoked: the rest still reaches the threshold.
    for role in ["root", "targets", "snapshot", "timestamp", "channel-stable"] {
        for _ in 0..2 {
            let made = ["keys", "new", "--unencrypted", "--role", role, "--json"];
            let made = scene.pack(&made).json();
            let public = made["keys"][0]["public"].as_str().unwrap();
            scene.pack(&["keys", "add", role, public]).done();
        }
        scene.pack(&["keys", "threshold", role, "2"]).done();
        let first = scene.role(role)["keys"][0]["id"].as_str().unwrap().to_owned();
        scene.pack(&["keys", "revoke", role, &first]).done();
        let found = scene.role(role);
        assert_eq!((&found["threshold"], found["keys"].as_array().unwrap().len()), (&2.into(), 2));
    }
    scene.release("1.1.0").done();
    scene.pack(&["promote", "1.1.0", "stable"]).done();
    assert_eq!(scene.node("offline").unwrap().as_deref(), Some("1.1.0"));
    assert_eq!(scene.node("fresh").unwrap().as_deref(), Some("1.1.0"));
}
