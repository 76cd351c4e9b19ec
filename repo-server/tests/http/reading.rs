//! Ranges, caching, confinement, pages.

use crate::common::{Server, target};

#[test]
fn ranges() {
    let server = Server::start();
    // One that is read whole and one that is read in parts.
    for length in [1000, 700_000_usize] {
        let contents: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let path = target("releases/w/1", "x", &contents);
        server.place(&path, &contents);
        let path = format!("/{path}");
        let whole = server.get(&path, &[]);
        assert_eq!((whole.status, &whole.body), (200, &contents));
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let last = length - 1;
        for (range, first, end) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=5-99".to_owned(), 5, 100),
            ("bytes=-7".to_owned(), length - 7, length),
            (format!("bytes=900-{}", length + 9), 900, length),
            (format!("bytes={last}-"), last, length),
        ] {
            let part = server.get(&path, &[&format!("Range: {range}")]);
            assert_eq!((part.status, &part.body[..]), (206, &contents[first..end]), "{range}");
            let expected = format!("bytes {first}-{}/{length}", end - 1);
            assert_eq!(part.header("content-range"), expected);
            assert_eq!(part.header("content-length"), (end - first).to_string());
        }
        let beyond = server.get(&path, &[&format!("Range: bytes={length}-")]);
        assert_eq!(
            (beyond.status, beyond.header("content-range")),
            (416, &*format!("bytes */{length}"))
        );
        for ignored in ["bytes=9-1", "bytes=0-1,5-6", "lines=1-2"] {
            assert_eq!(server.get(&path, &[&format!("Range: {ignored}")]).status, 200, "{ignored}");
        }
        let tag = format!("If-Range: {}", whole.header("etag"));
        assert_eq!(server.get(&path, &["Range: bytes=1-2", &tag]).status, 206);
        assert_eq!(server.get(&path, &["Range: bytes=1-2", "If-Range: \"x\""]).status, 200);
        let head = server.ask("HEAD", &path, &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), length.to_string());
    }
}

/// Who asks gets JSON compressed, and nothing else; caches are told that it depends on who asks.
#[test]
fn coding() {
    let server = Server::start();
    for length in [10, 5_000, 300_000] {
        let json = format!("{{\"a\":\"{}\"}}", "0123456789".repeat(length / 10));
        let path = target("releases/w/1", "release.json", json.as_bytes());
        server.place(&path, json.as_bytes());
        let path = format!("/{path}");
        let plain = server.get(&path, &[]);
        assert_eq!((&plain.body[..], plain.header("vary")), (json.as_bytes(), "accept-encoding"));
        let coded = server.get(&path, &["Accept-Encoding: gzip, zstd"]);
        if length == 10 {
            assert_eq!((coded.header("content-encoding"), &coded.body[..]), ("", json.as_bytes()));
            continue;
        }
        assert_eq!(coded.header("content-encoding"), "zstd");
        assert_eq!(coded.header("vary"), "accept-encoding");
        assert_eq!(coded.header("content-length"), coded.body.len().to_string());
        assert!(coded.body.len() < json.len() / 10, "{}", coded.body.len());
        assert_eq!(zstd::bulk::decompress(&coded.body, json.len()).unwrap(), json.as_bytes());
        // Another representation is no byte-for-byte equal, but as good as known.
        let etag = coded.header("etag").to_owned();
        assert_eq!(etag, format!("W/{}", server.get(&path, &[]).header("etag")));
        let known = format!("If-None-Match: {etag}");
        assert_eq!(server.get(&path, &["Accept-Encoding: zstd", &known]).status, 304);
        let part = server.get(&path, &["Accept-Encoding: zstd", "Range: bytes=1-3"]);
        assert_eq!((part.status, &part.body[..]), (206, &json.as_bytes()[1..4]));
        let head = server.ask("HEAD", &path, &["Accept-Encoding: zstd"], b"");
        assert_eq!(head.header("content-length"), coded.body.len().to_string());
    }
    let path = target("a", "x.tar.zst", &[0; 5000]);
    server.place(&path, &[0; 5000]);
    let bundle = server.get(&format!("/{path}"), &["Accept-Encoding: zstd"]);
    assert_eq!((bundle.header("content-encoding"), bundle.body.len()), ("", 5000));
}

#[test]
fn caching() {
    let server = Server::start();
    let path = target("releases/w/1", "release.json", b"{}");
    server.place(&path, b"{}");
    server.place("metadata/timestamp.json", b"{\"a\":1}");
    server.place("metadata/3.root.json", b"{}");
    for path in [format!("/{path}"), "/metadata/3.root.json".to_owned()] {
        let answer = server.get(&path, &[]);
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.header("content-type"), "application/json");
        let etag = answer.header("etag").to_owned();
        assert_eq!(etag, format!("\"{}\"", cutover_formats::digest::Digest::of(b"{}")));
        for known in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
            let again = server.get(&path, &[&format!("If-None-Match: {known}")]);
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
            assert_eq!(again.header("etag"), etag);
        }
        assert_eq!(server.get(&path, &["If-None-Match: \"x\""]).status, 200);
    }
    let before = server.get("/metadata/timestamp.json", &[]);
    assert_eq!(before.header("cache-control"), "no-cache");
    server.place("metadata/timestamp.json", b"{\"a\":2}");
    let after = server.get("/metadata/timestamp.json", &[]);
    assert_eq!(after.body, b"{\"a\":2}");
    assert_ne!(before.header("etag"), after.header("etag"));
}

#[test]
fn nothing_but_the_repository() {
    let server = Server::start();
    server.place("secret", b"SECRET");
    server.place("keys/root.pem", b"SECRET");
    server.place(".incoming/upload-1", b"SECRET");
    server.place("targets/.hidden", b"SECRET");
    server.place("targets/a/file", b"fine");
    server.place("metadata/notes.txt", b"SECRET");
    let targets = server.store().join("targets");
    std::os::unix::fs::symlink("../../secret", targets.join("a/link")).unwrap();
    std::os::unix::fs::symlink("/etc", targets.join("etc")).unwrap();
    std::os::unix::fs::symlink("file", targets.join("a/beside")).unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(targets.join("pipe")).status().unwrap().success()
    );
    for path in [
        "/secret",
        "/keys/root.pem",
        "/.incoming/upload-1",
        "/targets/.hidden",
        "/targets/../secret",
        "/targets/a/../../secret",
        "/targets/%2e%2e/secret",
        "/targets/%2E%2e%2Fsecret",
        "/targets/..%2fsecret",
        "/targets%2f..%2fsecret",
        "/targets/a%2ffile",
        "/targets//a/file",
        "//etc/passwd",
        "/targets//etc/passwd",
        "/targets/%2fetc/passwd",
        "/targets/etc/passwd",
        "/targets/etc/",
        "/targets/a/link",
        "/targets/a/beside",
        "/targets/pipe",
        "/targets/a/file/",
        "/targets/a/file%00",
        "/targets/a/file%0a",
        "/targets/a/%ff",
        "/targets/a\\..\\..\\secret",
        "/metadata/notes.txt",
        "/metadata/",
        "/metadata/../secret",
        "/metadata/1.x/../../secret",
        "http://x/secret",
    ] {
        let answer = server.get(path, &[]);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(!answer.text().contains("SECRET"), "{path}");
        let put = server.put(path, "If-None-Match: *", b"x");
        assert!([404, 400].contains(&put.status), "PUT {path}: {}", put.status);
    }
    assert_eq!(server.get("/targets/a/file?x=1", &[]).body, b"fine");
    assert_eq!(server.get(&format!("/targets/{}", "a".repeat(5000)), &[]).status, 404);
    assert_eq!(server.ask("DELETE", "/targets/a/file", &[], b"").status, 405);
    assert_eq!(server.ask("POST", "/targets/a/file", &[], b"").header("allow"), "GET, HEAD, PUT");
}

#[test]
fn pages() {
    let server = Server::start();
    assert!(server.get("/", &[]).text().contains("Nothing is published yet"));
    server.place("targets/releases/weave/1.0.0/a&b<script>.x", b"12345");
    server.place("targets/releases/weave/1.0.0/.hidden", b"");
    let front = server.get("/", &[]);
    assert!(front.text().contains("<a href=\"/targets/releases/weave/\">weave</a>"));
    assert!(front.header("content-security-policy").contains("default-src 'none'"));
    let moved = server.get("/targets/releases/weave", &[]);
    assert_eq!((moved.status, moved.header("location")), (301, "/targets/releases/weave/"));
    let page = server.get("/targets/releases/weave/1.0.0/", &[]);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let text = page.text();
    assert!(
        text.contains("a&amp;b&lt;script&gt;.x") && text.contains("a%26b%3Cscript%3E%2Ex")
            || text.contains("a%26b%3Cscript%3E.x"),
        "{text}"
    );
    assert!(!text.contains("<script>") && !text.contains(".hidden"), "{text}");
    assert_eq!(server.get("/targets/releases/weave/1.0.0/a%26b%3Cscript%3E.x", &[]).body, b"12345");
    assert_eq!(server.get("/healthz", &[]).text(), "ok\n");
    assert_eq!(server.get("/targets/nothing/", &[]).status, 404);
}
