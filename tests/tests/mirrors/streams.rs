//! Contents that stream in: what a place sends instead of a frame, where a connection breaks, what an
//! install that was killed need not fetch again, and what is on the node already.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use cutover_formats::bundle::{FrameTable, Layout};
use cutover_formats::descriptor::Descriptor;
use cutover_formats::filelist::FileList;
use cutover_tests::attacker::{Answer, Attacker};
use cutover_tests::image::{Image, Kind};
use cutover_tests::world::{NodeDir, Run, Tree, World, assert_same, wait_until};

use super::{file_of, node};

/// Files of a mebibyte each.
const FILES: usize = 18;

/// 1.0.0 of `tiny`, with as many files of noise, which is in the repository.
fn release(world: &World) -> Tree {
    let tree = world.tree("tiny");
    for number in 0..FILES {
        std::fs::write(tree.folder.join(name(number)), noise(number)).unwrap();
    }
    tree.tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree", "--level", "1"]).ok();
    tree
}

fn name(number: usize) -> String {
    format!("noise{number:02}")
}

/// A mebibyte that does not compress.
fn noise(seed: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ ((seed as u64) << 8);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take((1 << 20) / 8).flatten().collect()
}

/// The stored bundle of 1.0.0, and where its frames lie.
struct Bundle {
    path: String,
    bytes: Vec<u8>,
    table: FrameTable,
}

impl Bundle {
    fn of(world: &World) -> Self {
        let read = |end| std::fs::read(world.repository().join(file_of(world, end))).unwrap();
        let release = Descriptor::parse(&read(".release.json")).unwrap();
        let list = FileList::parse(&read(".files.json.zst"), &release.expected_files()).unwrap();
        let (frames, expected) = (read(".frames.bin"), release.expected_frames());
        let table = FrameTable::parse(&frames, &expected, &Layout::new(&list)).unwrap();
        Self { path: file_of(world, ".tar.zst"), bytes: read(".tar.zst"), table }
    }

    /// The bytes of these frames, one after the other.
    fn frames(&self, numbers: &[usize]) -> Vec<u8> {
        let frame = |number: &usize| {
            let frame = self.table.frames()[*number];
            let at = frame.at as usize;
            self.bytes[at..at + frame.compressed as usize].to_vec()
        };
        numbers.iter().flat_map(frame).collect()
    }

    fn start(&self, number: usize) -> u64 {
        self.table.frames()[number].at
    }
}

fn fetched(node: &NodeDir<'_>) -> u64 {
    let log = node.install(["log", "--last", "--json"]).ok().json();
    log["fetched"].as_u64().unwrap_or_else(|| panic!("{log}"))
}

/// Each is refused as what is not trusted, with nothing left behind; the next place takes over in the same
/// run, at the frame where it went wrong.
#[test]
fn frames_that_are_not_the_ones_that_were_signed() {
    let world = World::new();
    let _tree = release(&world);
    let bundle = Bundle::of(&world);
    let (hostile, honest) =
        (Attacker::serve(&world.repository()), Attacker::serve(&world.repository()));
    let mut flipped = bundle.bytes.clone();
    flipped[bundle.start(2) as usize + 1000] ^= 1;
    for (what, bytes) in [
        ("flipped", flipped),
        ("missing", bundle.frames(&[0, 1, 3, 4])),
        ("repeated", bundle.frames(&[0, 1, 1, 2, 3, 4])),
        ("reordered", bundle.frames(&[0, 1, 3, 2, 4])),
        ("oversize", [bundle.frames(&[0, 1]), vec![7; 12 << 20], bundle.frames(&[2])].concat()),
    ] {
        println!("{what}");
        hostile.answer(&bundle.path, Answer::Bytes(bytes));
        let alone = node(&world, &[hostile.url()]);
        let before = alone.inventory();
        let words = ["unpack: bundle: frame 2 has sha256", "was signed", "nothing was switched"];
        let _ = alone.install(["1.0.0"]).refused(3, &words);
        assert_same(&before, &alone.inventory());
        std::fs::remove_dir_all(&alone.root).unwrap();

        if !["flipped", "missing"].contains(&what) {
            continue;
        }
        let both = node(&world, &[hostile.url(), honest.url()]);
        let _ = honest.ranges();
        let run = both.install(["1.0.0"]).ok();
        assert_eq!(run.stderr.matches("passing over").count(), 1, "{run}");
        assert_eq!(honest.ranges(), [(bundle.path.clone(), bundle.start(2))]);
        let _ = both.install(["verify"]).ok();
        std::fs::remove_dir_all(&both.root).unwrap();
    }
    // The half that one place has is enough where the other has the other half.
    hostile.answer(&bundle.path, Answer::Bytes(bundle.frames(&[0, 1, 2])));
    let both = node(&world, &[hostile.url(), honest.url()]);
    let _ = both.install(["1.0.0"]).ok();
    let _ = both.install(["verify"]).ok();
}

/// It goes on where it broke: on the same server, or else on the next.
#[test]
fn a_connection_that_breaks() {
    let world = World::new();
    let _tree = release(&world);
    let bundle = Bundle::of(&world);
    let (broken, honest) =
        (Attacker::serve(&world.repository()), Attacker::serve(&world.repository()));
    let at = bundle.start(2) as usize + 1000;
    broken.answer(&bundle.path, Answer::Broken(bundle.bytes.clone(), at));
    let both = node(&world, &[broken.url(), honest.url()]);
    let run = both.install(["1.0.0"]).ok();
    assert!(run.stderr.contains(&format!("passing over {}", broken.url())), "{run}");
    let (ranges, path) = (honest.ranges(), bundle.path.clone());
    assert_eq!(ranges, [(path, bundle.start(2))]);
    assert!(broken.ranges().contains(&(bundle.path.clone(), at as u64)), "the same one first");
    let _ = both.install(["verify"]).ok();

    std::fs::remove_dir_all(&both.root).unwrap();

    // Where no other place is left, what came stays for the next try.
    let alone = node(&world, &[broken.url()]);
    let _ = alone.install(["1.0.0"]).refused(8, &["nothing was switched"]);
    broken.relent();
    let _ = alone.install(["1.0.0"]).ok();
    assert!(fetched(&alone) <= bundle.table.end() - bundle.start(1), "{}", fetched(&alone));
    let _ = alone.install(["verify"]).ok();
}

#[test]
fn what_a_killed_install_brought_is_not_fetched_again() {
    let world = World::new();
    let _tree = release(&world);
    let bundle = Bundle::of(&world);
    let server = Attacker::serve(&world.repository());
    let node = node(&world, &[server.url()]);
    let at = bundle.start(3) as usize + 1000;
    server.answer(&bundle.path, Answer::Silent(bundle.bytes.clone(), at));
    let mut install = node.begin(["1.0.0"]);
    // All that lies in the first three frames; what is finished has the release's time.
    let prefix = node.root.join("releases/1.0.0");
    let time = |name: &str| std::fs::metadata(prefix.join(name)).and_then(|it| it.modified()).ok();
    wait_until("three frames are there", || {
        let app = time("app.py");
        app.is_some() && (0..=10).all(|number| time(&name(number)) == app)
    });
    install.kill();
    let inode = || std::fs::metadata(prefix.join(name(0))).unwrap().ino();
    let kept = inode();
    server.relent();
    let _ = node.install(["resume"]).ok();
    let plan = node.install(["plan", "1.0.0", "--json"]).ok().json();
    assert!(plan["contents"]["kept"]["files"].as_u64() >= Some(10), "{plan}");
    let _ = server.ranges();
    let _ = node.install(["1.0.0"]).ok();
    assert_eq!(plan["fetch"], fetched(&node));
    assert_eq!(fetched(&node), bundle.table.end() - bundle.start(2));
    assert_eq!(server.ranges(), [(bundle.path.clone(), bundle.start(2))]);
    assert_eq!(inode(), kept);
    let _ = node.install(["verify"]).ok();
}

/// Only what changed comes over the wire. A file that was damaged in the other release does not travel.
#[test]
fn what_another_release_has_is_taken_from_there() {
    let world = World::new();
    let tree = release(&world);
    let server = Attacker::serve(&world.repository());
    let node = node(&world, &[server.url()]);
    let _ = node.install(["1.0.0"]).ok();
    // In the last frame, so that the frames before hold nothing else.
    std::fs::write(tree.folder.join(name(FILES - 1)), noise(77)).unwrap();
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--level", "1"]).ok();

    let plan = node.install(["plan", "1.1.0"]).ok();
    assert!(plan.stdout.contains("from other releases"), "{plan}");
    let plan = node.install(["plan", "1.1.0", "--json"]).ok().json();
    assert!(plan["fetch"].as_u64() < Some(9 << 20), "{plan}");
    let _ = node.install(["1.1.0"]).ok();
    assert_eq!(plan["fetch"], fetched(&node));
    let _ = node.install(["verify"]).ok();

    let _ = node.install(["rollback"]).ok();
    for folder in ["releases/1.1.0", "state/releases/1.1.0"] {
        std::fs::remove_dir_all(node.root.join(folder)).unwrap();
    }
    let damaged = node.root.join("releases/1.0.0").join(name(3));
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&damaged, &bytes).unwrap();
    let _ = node.install(["1.1.0"]).ok();
    assert!(plan["fetch"].as_u64() < Some(fetched(&node)));
    let _ = node.install(["verify", "1.1.0"]).ok();
    let travelled = std::fs::read(node.root.join("releases/1.1.0").join(name(3))).unwrap();
    assert!(travelled == noise(3));
}

/// Where the file system can, the two share their blocks.
#[test]
fn what_is_taken_is_a_clone() {
    let world = World::new();
    let tree = release(&world);
    let image = Image::new(&world.path(""), Kind::Xfs, 300);
    let node = world.unmade_node(image.path().join("node"), None);
    let _ = Run::of(&mut node.init()).ok();
    let _ = node.install(["1.0.0"]).ok();
    std::fs::write(tree.folder.join(name(FILES - 1)), noise(77)).unwrap();
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--level", "1"]).ok();
    let _ = node.install(["1.1.0"]).ok();
    let shares = |number| {
        let file = node.root.join("releases/1.1.0").join(name(number));
        Run::of(Command::new("filefrag").arg("-v").arg(file)).ok().stdout.contains("shared")
    };
    // What lies beside files that changed came along with them.
    assert!(shares(8) && !shares(FILES - 1));
    let _ = node.install(["verify", "--all"]).ok();
}

/// Whatever the size: this one is larger than what it may take.
#[test]
fn memory_does_not_grow_with_the_contents() {
    const PEAK: &str = "import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)";
    let world = World::new();
    let tree = world.tree("tiny");
    let large = "head -c 80M /dev/urandom >large";
    let _ = Run::of(Command::new("sh").args(["-c", large]).current_dir(&tree.folder)).ok();
    tree.tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree", "--level", "1"]).ok();
    let (_server, url) = world.serve(&[]);
    let node = node(&world, &[url]);
    let install = node.command();
    let mut measured = Command::new("python3");
    measured.args(["-c", PEAK]).arg(install.get_program()).arg("1.0.0");
    measured.envs(install.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let run = Run::of(&mut measured).ok();
    let peak = run.stdout.lines().find_map(|line| line.strip_prefix("peak ")).unwrap();
    assert!(peak.parse::<u64>().unwrap() < 64 << 10, "{run}");
    let _ = node.install(["verify"]).ok();
}
