//! What anybody can check with `minisign`, `openssl`, `sha256sum` and `tar`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cutover_tests::world::{Run, Running, World, get, wait_until};

/// What a person has after downloading: everything of a release, under the names in the repository.
struct Downloads {
    folder: PathBuf,
    bundle: String,
    sums: String,
}

impl Downloads {
    /// The files of a release, copied from the repository, and the public keys beside them.
    fn of(world: &World, version: &str) -> Self {
        let folder = world.path(&format!("downloads-{version}"));
        let from = world.repository().join("targets/releases/tiny").join(version);
        let _ = Run::of(Command::new("cp").arg("-r").arg(from).arg(&folder)).ok();
        for (form, file) in [("minisign", "key.pub"), ("pem", "key.pem")] {
            let exported = world.pack(["keys", "export", "--as", form]).ok();
            fs::write(folder.join(file), exported.stdout).expect("the folder is writable");
        }
        let named = |end: &str| only(&folder, end);
        Self { bundle: named(".tar.zst"), sums: named(".SHA256SUMS"), folder }
    }

    /// Runs a script in the folder, with `$BUNDLE` and `$SUMS`.
    fn run(&self, script: &str) -> Run {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).current_dir(&self.folder);
        Run::of(bash.env("BUNDLE", &self.bundle).env("SUMS", &self.sums))
    }

    /// Every check, with whether it is content.
    fn checks(&self) -> Vec<(&'static str, bool)> {
        CHECKS.map(|(name, script)| (name, self.run(script).status == 0)).to_vec()
    }

    #[track_caller]
    fn all_content(&self) {
        for (name, script) in CHECKS {
            let run = self.run(script);
            assert_eq!(run.status, 0, "{name}: {run}");
        }
    }
}

/// The only file whose name ends so.
fn only(folder: &Path, end: &str) -> String {
    let names = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("names are UTF-8"));
    let names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    assert_eq!(names.len(), 1, "{end}: {names:?}");
    names.into_iter().next().expect("there is one")
}

/// As the README and `repository.md` tell people.
const CHECKS: [(&str, &str); 5] = [
    ("minisign, bundle", r#"minisign -Vm "$BUNDLE" -p key.pub"#),
    ("minisign, sums", r#"minisign -Vm "$SUMS" -p key.pub"#),
    (
        "openssl, bundle",
        r#"sed -n 2p "$BUNDLE.minisig" | base64 -d | tail -c 64 >bundle.sig
        openssl dgst -blake2b512 -binary "$BUNDLE" >bundle.blake2b
        openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in bundle.blake2b -sigfile bundle.sig"#,
    ),
    (
        "openssl, sums, and sha256sum",
        r#"sed -n 2p "$SUMS.minisig" | base64 -d | tail -c 64 >sums.sig
        openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in "$SUMS" -sigfile sums.sig
        sha256sum -c --ignore-missing "$SUMS""#,
    ),
    ("tar", r#"mkdir -p unpacked && tar --zstd -xf "$BUNDLE" -C unpacked && rm -r unpacked"#),
];

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("the file is there");
    bytes[at] ^= 1;
    let _ = fs::remove_file(path);
    fs::write(path, bytes).expect("the folder is writable");
}

#[test]
fn a_release_is_verified_by_minisign_openssl_and_sha256sum_and_unpacked_by_tar() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let downloads = Downloads::of(&world, "1.0.0");
    downloads.all_content();
    let verified = downloads.run(r#"minisign -Vm "$BUNDLE" -p key.pub"#).ok();
    assert!(verified.stdout.contains("tiny 1.0.0: tiny-1.0.0.tar.zst"), "{verified}");

    // All files of the release, under either name.
    let checked = downloads.run(r#"sha256sum -c --ignore-missing "$SUMS""#).ok();
    assert_eq!(checked.stdout.lines().count(), 4, "{checked}");
    let renamed = downloads.run(
        r#"mkdir plain; for file in [0-9a-f]*.{tar.zst,release.json,files.json.zst,frames.bin}; do
            cp "$file" "plain/${file#*.}"; done
        cd plain; sha256sum -c --ignore-missing "../$SUMS"; tar --zstd -xf tiny-1.0.0.tar.zst
        cat tiny-1.0.0/VERSION"#,
    );
    let renamed = renamed.ok();
    assert_eq!(renamed.stdout.matches(": OK").count(), 4, "{renamed}");
    assert!(renamed.stdout.ends_with("1.0.0"), "{renamed}");
}

#[test]
fn whatever_is_changed_is_refused() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let downloads = Downloads::of(&world, "1.0.0");
    let path = |name: &str| downloads.folder.join(name);
    let bundle = fs::read(path(&downloads.bundle)).expect("the bundle");

    // A bit in the middle of the bundle; then another release under its name.
    flip(&path(&downloads.bundle), bundle.len() / 2);
    let ok: Vec<_> = downloads.checks().into_iter().filter(|(_, ok)| *ok).collect();
    assert_eq!(ok, [("minisign, sums", true)]);
    let newer = Downloads::of(&world, "1.1.0");
    fs::copy(newer.folder.join(&newer.bundle), path(&downloads.bundle)).expect("copied");
    let ok: Vec<_> = downloads.checks().into_iter().filter(|(_, ok)| *ok).collect();
    assert_eq!(ok, [("minisign, sums", true), ("tar", true)]);

    // With its own signature: good, but the comment says which release it is.
    let signature = |name: &str| format!("{name}.minisig");
    let from = newer.folder.join(signature(&newer.bundle));
    fs::copy(from, path(&signature(&downloads.bundle))).expect("copied");
    let verified = downloads.run(r#"minisign -Vm "$BUNDLE" -p key.pub"#).ok();
    assert!(verified.stdout.contains("tiny 1.1.0: tiny-1.1.0.tar.zst"), "{verified}");
    downloads.run(r#"sed -i s/1.1.0/1.0.0/ "$BUNDLE.minisig""#).ok().stdout.clear();
    let renamed = downloads.run(r#"minisign -Vm "$BUNDLE" -p key.pub"#);
    renamed.refused(1, &["Comment signature verification failed"]);

    // Another list of digests; another key.
    fs::write(path(&downloads.bundle), bundle).expect("written");
    flip(&path(&downloads.sums), 0);
    assert_ne!(downloads.run(CHECKS[1].1).status, 0);
    assert_ne!(downloads.run(CHECKS[3].1).status, 0);
    let stranger = World::new();
    let _tree = stranger.release_tiny(&["1.0.0"]);
    let theirs = Downloads::of(&stranger, "1.0.0");
    for file in ["key.pub", "key.pem"] {
        fs::copy(newer.folder.join(file), theirs.folder.join(file)).expect("copied");
    }
    let ok: Vec<_> = theirs.checks().into_iter().filter(|(_, ok)| *ok).collect();
    assert_eq!(ok, [("tar", true)]);
}

#[test]
fn published_over_http_they_stand_beside_the_bundle_on_its_page() {
    let world = World::new();
    let (tokens, token) = (world.path("tokens"), "s3cret-token");
    fs::write(&tokens, format!("ci {token}\n")).expect("tokens");
    let (_server, address) = world.serve(&["--tokens", tokens.to_str().expect("UTF-8")]);
    world.tree("tiny").tag("1.0.0");
    let mut pack = world.packer();
    pack.env("CUTOVER_REPO", &address).env("CUTOVER_TOKEN", token);
    let released = Run::of(pack.args(["release", "--source", "tree", "--json"])).ok().json();
    Downloads::of(&world, "1.0.0").all_content();

    let host = address.strip_prefix("http://").expect(&address);
    let host = host.trim_end_matches('/').parse().expect("an address");
    let (_, page) = get(host, "/targets/releases/tiny/1.0.0/").expect("a page");
    for path in released["minisigned"].as_array().expect("a list") {
        let path = path.as_str().expect("text");
        let (status, body) = get(host, &format!("/{path}")).expect("an answer");
        assert_eq!((status, body.lines().count()), (200, 4), "{path}");
        let name = path.rsplit('/').next().expect("a name");
        assert!(page.contains(&format!("<a href=\"{name}\">")), "{name} in {page}");
    }
}

/// An ssh-agent with one key of its own, in `world`; its socket and the key's fingerprint.
fn agent(world: &World) -> (Running, PathBuf, String) {
    let socket = world.path("agent.sock");
    let mut agent = Command::new("ssh-agent");
    agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running::start(&mut agent);
    wait_until("the agent listens", || socket.exists());
    let key = world.path("id");
    let mut made = Command::new("ssh-keygen");
    let _ = Run::of(made.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)).ok();
    let _ = Run::of(Command::new("ssh-add").arg(&key).env("SSH_AUTH_SOCK", &socket)).ok();
    fs::remove_file(&key).expect("the private key goes");
    let listed = Run::of(Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &socket)).ok();
    let fingerprint = listed.stdout.split(' ').nth(1).expect("a fingerprint").to_owned();
    (running, socket, fingerprint)
}

#[test]
fn keys_in_an_ssh_agent_and_behind_a_command_sign_too() {
    let world = World::new();
    let (_agent, socket, fingerprint) = agent(&world);
    let in_agent = format!("key = \"ssh-agent:{fingerprint}\"\n");
    fs::write(world.path("keys/releases.key.toml"), in_agent).expect("a pointer");
    let pack =
        |arguments: &[&str]| Run::of(world.packer().args(arguments).env("SSH_AUTH_SOCK", &socket));
    let _ = pack(&["keys", "rotate", "releases", "--to", "id.pub"]).ok();
    fs::remove_file(world.path("keys/releases.pem")).expect("the old key");
    let tree = world.tree("tiny");
    tree.tag("1.0.0");
    let _ = pack(&["release", "--source", "tree"]).ok();
    Downloads::of(&world, "1.0.0").all_content();

    // OpenSSL wants the message in a file.
    let dir = world.path("");
    let lines = format!(
        "cd {}\ncat >message\nopenssl pkeyutl -sign -rawin -inkey hsm.pem -in message\n",
        dir.display()
    );
    fs::write(world.path("sign.sh"), lines).expect("a script");
    let made = "openssl genpkey -algorithm ed25519 -out hsm.pem; openssl pkey -in hsm.pem -pubout -out hsm.pub";
    let _ = Run::of(Command::new("sh").args(["-ec", made]).current_dir(&dir)).ok();
    let public = fs::read_to_string(world.path("hsm.pub")).expect("a public key");
    let script = world.path("sign.sh");
    let behind = format!("key = \"exec:sh {}\"\npublic = \"\"\"{public}\"\"\"\n", script.display());
    fs::write(world.path("keys/releases.hsm.key.toml"), behind).expect("a pointer");
    let _ = pack(&["keys", "rotate", "releases", "--to", "hsm.pub"]).ok();
    fs::remove_file(world.path("keys/releases.key.toml")).expect("the old pointer");
    tree.tag("1.1.0");
    let _ = pack(&["release", "--source", "tree"]).ok();
    Downloads::of(&world, "1.1.0").all_content();
}

#[test]
fn where_a_release_takes_two_signatures_the_first_signer_s_key_is_named() {
    let world = World::new();
    let _ = Run::of(world.packer().args(["keys", "new", "--unencrypted", "--keys", "bert"])).ok();
    let shown = world.pack(["keys", "show", "--keys", "bert", "--json"]).ok().json();
    let keys = shown["keys"].as_array().expect("a list");
    let is_bert = |key: &&serde_json::Value| {
        key["file"].as_str().is_some_and(|file| file.ends_with("releases.pem"))
    };
    let bert = keys.iter().find(is_bert).expect("a key")["public"].as_str().expect("text");
    let _ = world.pack(["keys", "add", "releases", bert, "--name", "bert"]).ok();
    let _ = world.pack(["keys", "threshold", "releases", "2"]).refused(3, &["--keys DIR"]);
    let pending = |world: &World| world.path(&only(&world.path(""), ".pending.json"));
    let agreed = |world: &World| {
        let file = pending(world);
        let name = file.to_str().expect("UTF-8");
        let _ = world.pack(["keys", "sign", name, "--keys", "bert"]).ok();
        let _ = world.pack(["repo", "apply", name]).ok();
        fs::remove_file(&file).expect("it was applied");
    };
    agreed(&world);
    world.tree("tiny").tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree"]).refused(3, &["releases-"]);
    agreed(&world);

    let exported = world.pack(["keys", "export", "--json"]).ok().json();
    let keys = exported["keys"].as_array().expect("a list").clone();
    assert_eq!(keys.len(), 2, "{exported}");
    let downloads = Downloads::of(&world, "1.0.0");
    let by = |key: &serde_json::Value| {
        let key = key["minisign"].as_str().expect("text");
        downloads.run(&format!(r#"minisign -Vm "$BUNDLE" -P {key}"#)).status == 0
    };
    let bert_signed = keys.iter().map(|key| (key["name"] == "bert", by(key)));
    let mut bert_signed: Vec<_> = bert_signed.collect();
    bert_signed.sort_unstable();
    assert_eq!(bert_signed, [(false, true), (true, false)], "{exported}");
}

#[test]
fn what_a_dead_publisher_left_is_used_if_it_is_good() {
    let world = World::new();
    let before = world.path("before");
    let copy = |from: &Path, to: &Path| {
        let _ = Run::of(Command::new("cp").arg("-r").arg(from).arg(to)).ok();
    };
    copy(&world.repository(), &before);
    let _tree = world.release_tiny(&["1.0.0"]);
    // The publisher died after it had uploaded everything.
    let (targets, after) = (world.repository().join("targets"), world.path("after"));
    fs::rename(world.repository(), &after).expect("moved");
    fs::rename(&before, world.repository()).expect("moved");
    copy(&after.join("targets"), &targets);
    fs::remove_dir_all(world.path("keys/trust")).expect("what was seen of it");
    let release = ["release", "--source", "tree"];

    // A signature by somebody else in its place is named, and nothing is published.
    let folder = targets.join("releases/tiny/1.0.0");
    let signature = folder.join(only(&folder, ".tar.zst.minisig"));
    let good = fs::read(&signature).expect("a signature");
    flip(&signature, 60);
    let words = ["no key of the release signed it", ".tar.zst.minisig", "remove it"];
    let _ = world.pack(release).refused(3, &words);
    let listed = world.pack(["list", "--json"]).ok().json();
    assert_eq!(listed["releases"].as_array().map(Vec::len), Some(0), "{listed}");
    fs::write(&signature, good).expect("as it was");
    let _ = world.pack(release).ok();
    Downloads::of(&world, "1.0.0").all_content();
}

#[test]
fn keys_are_exported_from_what_is_trusted_only() {
    let world = World::new();
    let root = world.root_json();
    let root = root.to_str().expect("UTF-8");
    let mut bare = world.command("pack");
    bare.args(["keys", "export"]).arg("--repo").arg(world.repository());
    let _ = Run::of(&mut bare).refused(2, &["--trust"]);
    let key = Run::of(bare.args(["--trust", root])).ok().stdout;
    assert_eq!(key, world.pack(["keys", "export"]).ok().stdout);
    let stranger = World::new();
    let other = stranger.root_json();
    let mut wrong = world.command("pack");
    wrong.args(["keys", "export"]).arg("--repo").arg(world.repository());
    let _ = Run::of(wrong.arg("--trust").arg(other)).refused(3, &["not trusted"]);
    let _ = world.pack(["keys", "export", "nobody"]).refused(4, &["nobody"]);

    // A new key shows, and the old signature is of the old one.
    let _tree = world.release_tiny(&["1.0.0"]);
    let downloads = Downloads::of(&world, "1.0.0");
    let _ = world.pack(["keys", "rotate", "releases", "--unencrypted"]).ok();
    let new = world.pack(["keys", "export"]).ok().stdout;
    assert_ne!(new, key);
    fs::write(downloads.folder.join("key.pub"), new).expect("written");
    let refused = downloads.run(r#"minisign -Vm "$BUNDLE" -p key.pub"#);
    refused.refused(1, &["key id"]);
}
