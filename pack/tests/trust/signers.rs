//! Keys that are in no file: an agent and a command sign.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::scene::{Scene, run, text};

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
    let began = Instant::now();
    while !socket.exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "the agent does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
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
fn a_command_that_signs_is_told_no_secret() {
    let scene = Scene::new();
    let key = scene.path("hsm.pem");
    fs::rename(scene.path("keys/timestamp.pem"), &key).unwrap();
    let public = run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&key)).done();
    let script = scene.path("sign.sh");
    let dir = scene.0.path().display();
    let lines = format!(
        "env >{dir}/environment\ncat >{dir}/message\n\
         openssl pkeyutl -sign -rawin -inkey {dir}/hsm.pem -in {dir}/message\n"
    );
    fs::write(&script, lines).unwrap();
    let pointer =
        format!("key = \"exec:sh {}\"\npublic = \"\"\"{}\"\"\"\n", text(&script), public.stdout);
    fs::write(scene.path("keys/timestamp.key.toml"), pointer).unwrap();
    let mut refresh = scene.command(&["refresh"]);
    run(refresh.env("CUTOVER_TOKEN", "token-secret").env("CUTOVER_PASSPHRASE", "pass-secret"))
        .done();
    let environment = fs::read_to_string(scene.path("environment")).unwrap();
    assert!(environment.contains("PATH="), "{environment}");
    assert!(!environment.contains("-secret"), "{environment}");
}
