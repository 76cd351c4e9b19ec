//! Whatever is found, the result can be read.

use std::fs;

use cutover_formats::digest::Digest;
use cutover_terminal::OutputArgs;

use super::*;

fn init(files: &[(&str, &str)]) -> (ReleaseToml, String) {
    let top = tempfile::tempdir().unwrap();
    let dir = top.path().join("My App");
    for (path, text) in files {
        let place = dir.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }
    fs::create_dir_all(&dir).unwrap();
    let output = OutputArgs::default().output();
    run(&Args { dir: dir.clone() }, &output).unwrap();
    let text = fs::read_to_string(dir.join(FILE_NAME)).unwrap();
    let again = run(&Args { dir }, &output).unwrap_err();
    assert_eq!(again.exit, Exit::Usage);
    assert!(again.message.ends_with("release.toml exists already"), "{}", again.message);
    (ReleaseToml::parse(&text).unwrap(), text)
}

fn lock() -> String {
    format!("gunicorn==27.0.1 --hash=sha256:{}\n", Digest::of(b""))
}

#[test]
fn an_empty_folder() {
    let (parsed, text) = init(&[]);
    assert_eq!(parsed.release.product.unwrap().as_str(), "my-app");
    assert_eq!((parsed.service, parsed.vendor.python), (None, None));
    assert!(text.contains("# [service]"), "{text}");
}

#[test]
fn a_python_application() {
    let lock = lock();
    let (parsed, _) = init(&[
        ("requirements.lock", &lock),
        ("requirements-dev.lock", &lock),
        ("wsgi.py", "from x import y\napplication = y()\n"),
        ("tests/test_x.py", ""),
    ]);
    assert_eq!(parsed.vendor.python.unwrap().requirements.as_str(), "requirements.lock");
    assert_eq!(parsed.service.unwrap().command.last().unwrap(), "wsgi:application");
    assert_eq!(parsed.release.exclude, ["tests/**"]);
}

#[test]
fn requirements_that_are_no_lock() {
    let (parsed, text) = init(&[("requirements.txt", "flask\n"), ("app.py", "app = Flask()\n")]);
    assert_eq!((parsed.service, parsed.vendor.python), (None, None));
    assert!(text.contains("uv pip compile --generate-hashes requirements.txt"), "{text}");
    assert!(text.contains("# command = [\"{prefix}/env/bin/gunicorn\""), "{text}");
}

#[test]
fn a_procfile() {
    let lock = lock();
    let procfile = "worker: w\nweb: gunicorn --bind 0.0.0.0:$PORT app:app\n";
    let (parsed, _) = init(&[("Procfile", procfile), ("requirements.lock", &lock)]);
    let command = parsed.service.unwrap().command;
    let expected = ["{prefix}/env/bin/gunicorn", "--bind", "{listen}", "app:app"];
    assert_eq!(command, expected);
    let (parsed, _) = init(&[("Procfile", "web: a \"b c\" $PORT | tee x"), ("package.json", "{}")]);
    assert_eq!(parsed.service, None);
}

/// A package of Django, and names that TOML has to quote.
#[test]
fn odd_names() {
    let lock = lock();
    let (parsed, _) = init(&[
        ("requirements \"a\".lock", &lock),
        ("site/wsgi.py", "application = get_wsgi_application()\n"),
        ("\\.txt", ""),
    ]);
    assert_eq!(parsed.vendor.python.unwrap().requirements.as_str(), "requirements \"a\".lock");
    assert_eq!(parsed.service.unwrap().command.last().unwrap(), "site.wsgi:application");
}
