//! What `pack` refuses: the message, the exit code, and that the repository is as it was.

use std::process::Command;

use cutover_tests::wheel::{VENDOR, add_source_for};
use cutover_tests::world::{Run, World, assert_same, inventory, program};

/// Everything in the repository but the publishers' own scratch folder.
fn published(world: &World) -> Vec<String> {
    inventory(&world.repository(), &[".incoming"])
}

/// Runs `pack` on a repository that must be left as it is.
#[track_caller]
fn refused(world: &World, arguments: &[&str], status: i32, words: &[&str]) {
    let before = published(world);
    world.pack(arguments.iter().copied()).refused(status, words);
    assert_same(&before, &published(world));
}

#[test]
fn tags_that_cannot_be_released() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    refused(&world, &["release", "v1.0.1", "--source", "tree"], 4, &["v1.0.1", "v1.0.0"]);
    refused(&world, &["release", "--source", "tree"], 2, &["1.0.0 is already published"]);
    tree.git(["tag", "vertical"]);
    refused(&world, &["release", "vertical", "--source", "tree"], 2, &["`vertical`", "ertical"]);
    tree.write("app.py", "print('not committed')\n");
    tree.git(["tag", "v1.1.0"]);
    refused(&world, &["release", "v1.1.0", "--source", "tree"], 2, &["app.py", "commit"]);
    refused(&world, &["release", "--source", "nowhere"], 4, &["nowhere"]);
}

#[test]
fn checks_that_fail() {
    let world = World::new();
    let tree = world.tree("tiny");
    let toml = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    tree.write("release.toml", &format!("{toml}\n[checks]\nbefore-release = [\"exit 3\"]\n"));
    tree.tag("1.0.0");
    refused(&world, &["release", "--source", "tree"], 5, &["exit 3", "no release was made"]);
}

#[test]
fn a_channel_that_is_none() {
    let world = World::new();
    let tree = world.tree("tiny");
    tree.tag("1.0.0");
    let release = ["release", "--source", "tree", "--channel", "stabel"];
    refused(&world, &release, 4, &["stabel", "stable"]);
    refused(&world, &["promote", "1.0.0", "stable"], 4, &["holds no release yet"]);
}

#[test]
fn a_wrong_passphrase() {
    let world = World::bare();
    let pack = |passphrase: &str, arguments: &[&str]| {
        Run::of(world.packer().env("CUTOVER_PASSPHRASE", passphrase).args(arguments))
    };
    let _ = pack("elevenchars", &["keys", "new"]).refused(2, &["11 characters", "at least 12"]);
    let _ = pack("right and long", &["keys", "new"]).ok();
    let _ = pack("right and long", &["repo", "init"]).ok();
    world.tree("tiny").tag("1.0.0");
    let before = published(&world);
    let run = pack("wrong", &["release", "--source", "tree"]);
    assert!(!run.stderr.contains("wrong\n"), "the passphrase is not printed: {run}");
    run.refused(2, &["passphrase", ".pem"]);
    assert_same(&before, &published(&world));
    let _ = pack("right and long", &["release", "--source", "tree"]).ok();
}

#[test]
fn what_is_no_repository() {
    let world = World::new();
    world.tree("tiny").tag("1.0.0");
    std::fs::create_dir(world.path("empty")).unwrap();
    let elsewhere = |repo: &str, status: i32, words: &[&str]| {
        let mut pack = world.packer();
        pack.env("CUTOVER_REPO", repo).args(["release", "--source", "tree"]);
        Run::of(&mut pack).refused(status, words);
    };
    elsewhere("empty", 4, &["empty"]);
    elsewhere("nowhere", 8, &["nowhere"]);
    elsewhere("s3://bucket", 2, &["s3://bucket"]);
    elsewhere("http://127.0.0.1:1", 8, &["127.0.0.1:1"]);
    assert!(inventory(&world.path("empty"), &[]).is_empty());
    refused(&world, &["repo", "init"], 2, &["already"]);
}

/// Runs `pack release` where the repository's folder is mounted over by `mount`, in a mount
/// namespace of its own; prints what is in the repository afterwards.
fn release_over(world: &World, mount: &str) -> Run {
    let script = format!(
        "{mount} && cd \"$1\" && \"$2\" release --source tree; status=$?; \
         find \"$1/repository\" -name '*release.json' -o -name '2.snapshot.json'; exit $status"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(world.path("")).arg(program("pack"));
    command.env("CUTOVER_REPO", world.repository()).env("CUTOVER_KEYS", world.path("keys"));
    Run::of(command.env("CUTOVER_CACHE", world.path("cache")))
}

#[test]
fn a_repository_that_is_full_or_unwritable() {
    let world = World::new();
    let tree = world.tree("tiny");
    // What does not compress: a linear congruential generator's high bytes.
    let next = |seed: &u64| Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let noise = std::iter::successors(Some(1), next).take(8 << 20);
    let noise: Vec<u8> = noise.map(|seed| seed.to_be_bytes()[0]).collect();
    std::fs::write(tree.folder.join("noise"), noise).unwrap();
    tree.tag("1.0.0");
    let full = "cp -a \"$1/repository\" \"$1/copy\" && \
                mount -t tmpfs -o size=3m none \"$1/repository\" && \
                cp -a \"$1/copy/.\" \"$1/repository\"";
    let run = release_over(&world, full);
    assert_eq!(run.stdout, "", "nothing was published");
    run.refused(7, &["No space", "nothing was published"]);
    let read_only = "mount --bind \"$1/repository\" \"$1/repository\" && \
                     mount -o remount,ro,bind \"$1/repository\"";
    let run = release_over(&world, read_only);
    assert_eq!(run.stdout, "", "nothing was published");
    run.refused(2, &["repository", "nothing was published"]);
    let _ = world.pack(["release", "--source", "tree"]).ok();
}

#[test]
fn a_dry_run_refuses_what_a_release_would() {
    let world = World::new();
    let tree = world.tree("tiny");
    std::os::unix::fs::symlink("/etc/passwd", tree.folder.join("passwords")).unwrap();
    tree.tag("1.0.0");
    let release = ["release", "--source", "tree"];
    refused(&world, &[&release[..], &["--dry-run"]].concat(), 2, &["/etc/passwd"]);
    refused(&world, &release, 2, &["/etc/passwd"]);
}

#[test]
fn secrets_that_anybody_could_read() {
    let world = World::new();
    let key = world.path("keys/releases.pem");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let again = world.pack(["keys", "new", "--unencrypted"]);
    again.refused(2, &["keys"]);
}

/// Both are named: the one that is locked, and the one that is missing.
#[test]
fn a_source_distribution_whose_builder_is_nowhere() {
    let world = World::new();
    let tree = world.tree("tiny");
    add_source_for(&tree, "no-such-builder");
    let toml = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    tree.write("release.toml", &format!("{toml}\n{VENDOR}"));
    tree.tag("1.0.0");
    let words = ["demo_app-1.0.tar.gz", "no-such-builder", "nothing was released"];
    refused(&world, &["release", "--source", "tree"], 4, &words);
}

#[test]
fn a_file_is_no_tree() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let before = inventory(&tree.folder, &[".git"]);
    for command in [&["init", "tree/app.py"][..], &["release", "--source", "tree/app.py"]] {
        refused(&world, command, 2, &["source `tree/app.py` is not a folder", "name a folder"]);
    }
    refused(&world, &["init", "tree"], 2, &["release.toml exists already"]);
    assert_same(&before, &inventory(&tree.folder, &[".git"]));
}

/// A folder with a `release.toml` of its own is a product of its own, from wherever in it `pack` runs.
#[test]
fn a_product_in_a_folder_of_a_larger_repository() {
    let world = World::new();
    let tree = world.tree("tiny");
    let part = tree.folder.join("my part");
    std::fs::create_dir_all(part.join("src")).unwrap();
    let run = world.pack(["init", "tree/my part"]).ok();
    let steps = "next:\n  1. cd 'tree/my part'\n";
    assert!(run.stdout.contains(steps), "{run}");
    std::fs::write(part.join("release.toml"), "[release]\nproduct = 'part'\n").unwrap();
    std::fs::write(part.join("src/a.py"), "").unwrap();
    tree.tag("1.0.0");
    let below = |folder: &str| {
        let mut pack = world.packer();
        Run::of(pack.args(["release", "--dry-run", "--json"]).current_dir(tree.folder.join(folder)))
    };
    for (folder, product) in [("", "tiny"), ("my part", "part"), ("my part/src", "part")] {
        let run = below(folder).ok();
        assert_eq!(run.json()["product"], product, "{folder}");
    }
}
