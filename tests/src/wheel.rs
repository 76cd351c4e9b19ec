//! A Python wheel, made on the spot, for releases that vendor one.

use std::process::Command;

use crate::world::{Run, Tree};

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
    let wheels = tree.folder.join("wheels");
    std::fs::create_dir(&wheels).expect("a folder");
    let mut make = Command::new("python3");
    let _ = Run::of(make.args(["-c", MAKE_WHEEL]).arg(wheels.join(WHEEL))).ok();
    let sum = Run::of(Command::new("sha256sum").arg(wheels.join(WHEEL))).ok();
    let sha256 = sum.stdout[..64].to_owned();
    tree.write("requirements.lock", &format!("demo-app==1.0 --hash=sha256:{sha256}\n"));
    sha256
}
