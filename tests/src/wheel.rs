//! Python distributions, made on the spot, for releases that vendor one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::trial::copy;
use crate::world::{Run, Tree, source};

/// A wheel with a module and a script.
const MAKE_WHEEL: &str = r#"
import sys, zipfile
info = "demo_app-1.0.dist-info"
files = {
    "demo/__init__.py": "def main():\n    print('demo')\n",
    f"{info}/METADATA": "Metadata-Version: 2.1\nName: Demo.App\nVersion: 1.0\n",
    f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{info}/entry_points.txt": "[console_scripts]\ndemo = demo:main\n",
}
files[f"{info}/RECORD"] = "".join(f"{it},,\n" for it in files) + f"{info}/RECORD,,\n"
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for path, text in files.items():
        wheel.writestr(zipfile.ZipInfo(path), text)
"#;

/// Its file's name.
pub const WHEEL: &str = "demo_app-1.0-py3-none-any.whl";

/// What a `release.toml` says to have it.
pub const VENDOR: &str =
    "[vendor.python]\nrequirements = \"requirements.lock\"\nfind-links = \"wheels\"\n";

/// Puts it into a tree, with a lock file that names it; its digest.
///
/// # Panics
/// Where Python does not make it.
#[must_use]
pub fn add_wheel(tree: &Tree) -> String {
    let wheel = wheels(tree).join(WHEEL);
    let _ = Run::of(Command::new("python3").args(["-c", MAKE_WHEEL]).arg(&wheel)).ok();
    lock(tree, &wheel)
}

/// The same, where the wheel says of its files what they are.
///
/// # Panics
/// Where Python does not make it.
pub fn add_hashed_wheel(tree: &Tree) {
    let hashed = "import base64, hashlib\n\
        def line(it):\n    \
            digest = base64.urlsafe_b64encode(hashlib.sha256(files[it].encode()).digest())\n    \
            return f'{it},sha256={digest.decode().rstrip(chr(61))},{len(files[it])}\\n'\n";
    let plain = "\"\".join(f\"{it},,\\n\" for it in files)";
    assert!(MAKE_WHEEL.contains(plain), "the script is another");
    let script = MAKE_WHEEL.replace(plain, "\"\".join(map(line, files))");
    let script = script.replacen("\nfiles[", &format!("\n{hashed}files["), 1);
    let wheel = wheels(tree).join(WHEEL);
    let _ = Run::of(Command::new("python3").args(["-c", &script]).arg(&wheel)).ok();
    let _ = lock(tree, &wheel);
}

/// The same with a source of it, `tests/apps/demo`, which is built on the node, and there waits
/// where the file `slow` is.
///
/// # Panics
/// Where it cannot be made.
pub fn add_source(tree: &Tree, slow: &Path) {
    let wheels = wheels(tree);
    let folder = wheels.join("demo_app-1.0");
    copy(&source("apps/demo"), &folder);
    std::fs::write(folder.join("slow.txt"), slow.display().to_string()).expect("a scratch file");
    pack_source(tree, &wheels);
}

/// Makes an archive of the source that lies among the wheels, and locks it.
fn pack_source(tree: &Tree, wheels: &Path) {
    let archive = wheels.join("demo_app-1.0.tar.gz");
    let mut tar = Command::new("tar");
    tar.args(["--create", "--gzip", "--file"]).arg(&archive).arg("--directory").arg(wheels);
    let _ = Run::of(tar.arg("demo_app-1.0")).ok();
    std::fs::remove_dir_all(wheels.join("demo_app-1.0")).expect("it was made");
    lock(tree, &archive);
}

/// The same with a source of it that only `builder` builds, which is nowhere.
///
/// # Panics
/// Where it cannot be made.
pub fn add_source_for(tree: &Tree, builder: &str) {
    let wheels = wheels(tree);
    let folder = wheels.join("demo_app-1.0");
    std::fs::create_dir(&folder).expect("a folder");
    let text =
        format!("[build-system]\nrequires = [\"{builder}\"]\nbuild-backend = \"{builder}\"\n");
    std::fs::write(folder.join("pyproject.toml"), text).expect("a scratch file");
    pack_source(tree, &wheels);
}

/// The folder of `uv`: in the path, else where `tests/parts` puts it.
///
/// # Panics
/// Where it is in none of them.
#[must_use]
pub fn folder_of_uv() -> PathBuf {
    let path = std::env::var_os("PATH").expect("there is a path");
    let tools = source("../target/tools/bin");
    let mut folders = std::env::split_paths(&path).chain([tools]);
    let found = folders.find(|folder| folder.join("uv").is_file());
    found.expect("tests/parts installs uv")
}

fn wheels(tree: &Tree) -> PathBuf {
    let wheels = tree.folder.join("wheels");
    std::fs::create_dir(&wheels).expect("a folder");
    wheels
}

/// Writes the lock file for the one distribution; its digest.
fn lock(tree: &Tree, distribution: &Path) -> String {
    let sum = Run::of(Command::new("sha256sum").arg(distribution)).ok();
    let sha256 = sum.stdout[..64].to_owned();
    tree.write("requirements.lock", &format!("demo-app==1.0 --hash=sha256:{sha256}\n"));
    sha256
}
