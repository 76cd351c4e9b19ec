//! The HTTP store: against our server, and against servers that stall, break off, ignore ranges,
//! redirect or send without end.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::secret::Secret;
use cutover_repository::http::{HttpPublisher, HttpStore, Patience};
use cutover_repository::location::Location;
use cutover_repository::mirrors::Blame as _;
use cutover_repository::patience::Patient;
use cutover_repository::store::{Body, Create as _, Created, Read, StoreError, Swap, Swapped};
use cutover_repository::{open_read, open_write};

use crate::common::{Made, Server, TOKEN, target};

fn writer(server: &Server, token: &str) -> Box<dyn Swap> {
    open_write(&server.url().parse().unwrap(), Some(Secret::new(token.to_owned()))).unwrap()
}

fn part(store: &(impl Read + ?Sized), path: &str, from: u64, cap: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.stream(path, from, cap).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn publishes_and_reads() {
    let server = Server::start();
    let store = writer(&server, TOKEN);
    let contents: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    let path = target("releases/w/1.0.0+b c", "bundle", &contents);
    assert!(store.get(&path, 1).unwrap_err().is_not_found());
    let mut temp = store.temp_file().unwrap();
    temp.write_all(&contents).unwrap();
    assert_eq!(store.create(&path, Body::File(temp.path())).unwrap(), Created::New);
    assert_eq!(store.create(&path, Body::File(temp.path())).unwrap(), Created::Exists);
    let small = target("a", "x", b"small");
    assert_eq!(store.create(&small, Body::Bytes(b"small")).unwrap(), Created::New);
    assert_eq!(store.create(&small, Body::Bytes(b"small")).unwrap(), Created::Exists);
    let reader = open_read(&server.url().parse().unwrap()).unwrap();
    assert_eq!(reader.get(&path, 5_000_000).unwrap(), contents);
    assert!(matches!(reader.get(&path, 4_999_999), Err(StoreError::TooLarge { .. })));
    for (from, cap) in
        [(0_u64, 10_u64), (0, u64::MAX), (4_999_990, 100), (70_000, 1_000_000), (7, 0)]
    {
        let end = from.saturating_add(cap).min(5_000_000);
        assert_eq!(part(&*reader, &path, from, cap), contents[from as usize..end as usize]);
    }
    assert!(part(&*reader, &path, 5_000_000, 5).is_empty());
    assert!(reader.stream("targets/none", 5, 5).err().unwrap().is_not_found());
    let made = Made::new(1, 0);
    made.give(&server);
    let [one, two] = [&made.timestamps[0], &made.timestamps[1]].map(Vec::as_slice);
    let timestamp = "metadata/timestamp.json";
    assert_eq!(store.swap(timestamp, Some(one), two).unwrap(), Swapped::Changed);
    assert_eq!(store.swap(timestamp, None, one).unwrap(), Swapped::Done);
    assert_eq!(store.swap(timestamp, None, two).unwrap(), Swapped::Changed);
    assert_eq!(store.swap(timestamp, Some(one), two).unwrap(), Swapped::Done);
    assert_eq!(reader.get(timestamp, 9999).unwrap(), two);
}

#[test]
fn one_of_sixteen_creates() {
    let server = Server::start();
    let barrier = Barrier::new(16);
    let store = writer(&server, TOKEN);
    let path = target("a", "x", b"x");
    let made = std::thread::scope(|scope| {
        let create = || {
            barrier.wait();
            store.create(&path, Body::Bytes(b"x")).unwrap()
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(made.iter().filter(|made| **made == Created::New).count(), 1, "{made:?}");
}

#[test]
fn says_why_not() {
    let server = Server::start_by(|command| command.args(["--max-upload", "2MiB"]));
    let error =
        writer(&server, "guess").create(&target("a", "x", b"x"), Body::Bytes(b"x")).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.hints().concat().contains("CUTOVER_TOKEN"), "{error}");
    assert!(!error.to_string().contains("guess"));
    let token = Some(Secret::new("two\nlines".to_owned()));
    let error = open_write(&server.url().parse().unwrap(), token).err().unwrap();
    assert!(error.hints().concat().contains("newline") && !error.to_string().contains("lines"));
}

#[test]
fn large_refused_uploads_are_explained() {
    let server = Server::start();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![3; 40 << 20]).unwrap();
    let path = target("a", "x", b"other");
    let error = writer(&server, "guess").create(&path, Body::File(file.path())).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage, "{error}");
    let error = writer(&server, TOKEN).create(&path, Body::File(file.path())).unwrap_err();
    assert!(error.to_string().contains("sha256"), "{error}");
}

/// A server that does with every connection what `play` says; counts them.
fn server(
    play: impl Fn(usize, &str, TcpStream) + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let (seen, play) = (count.clone(), Arc::new(play));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (number, play) = (seen.fetch_add(1, Ordering::SeqCst), play.clone());
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    request.push(byte[0]);
                }
                play(number, &String::from_utf8_lossy(&request).to_lowercase(), stream);
            });
        }
    });
    (url, count)
}

fn url(text: &str) -> cutover_repository::http::Url {
    match text.parse().unwrap() {
        Location::Http(url) => url,
        Location::Folder(_) => panic!("{text}"),
    }
}

fn hurried() -> Patience {
    let soon = Duration::from_secs(2);
    Patience { connect: soon, stall: soon, store: soon }
}

#[test]
fn a_server_that_ignores_ranges_works() {
    let (address, _) = server(|_, _, mut stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789").unwrap();
    });
    let store = HttpStore::open(&url(&address)).unwrap();
    assert_eq!(part(&store, "x", 3, 4), b"3456");
    assert_eq!(part(&store, "x", 30, 4), b"");
}

#[test]
fn a_stalled_server_is_given_up() {
    let (address, count) = server(|number, _, mut stream| {
        if number > 0 {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234").unwrap();
        }
        std::thread::sleep(Duration::from_secs(600));
    });
    let store = HttpPublisher::open_with(&url(&address), None, hurried()).unwrap();
    let begun = Instant::now();
    let error = store.get("x", 99).unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable);
    assert!(error.to_string().contains("in time"), "{error}");
    let mut bytes = Vec::new();
    let error = store.stream("x", 0, 99).unwrap().read_to_end(&mut bytes).unwrap_err();
    let error = StoreError::from_stream("x", error);
    assert_eq!((error.exit(), &bytes[..]), (Exit::Unreachable, &b"01234"[..]), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 2, "waiting once is enough");
    assert!(begun.elapsed() < Duration::from_secs(100));
}

#[test]
fn an_upload_that_nobody_takes_is_given_up() {
    let (address, _) = server(|_, request, mut stream| {
        if request.starts_with("get") {
            write!(stream, "HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
        } else {
            std::thread::sleep(Duration::from_secs(600));
        }
    });
    let store = HttpPublisher::open_with(&url(&address), None, hurried()).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![0; 32 << 20]).unwrap();
    let error = store.create("x", Body::File(file.path())).unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable, "{error}");
}

#[test]
fn a_stream_goes_on_where_it_broke() {
    let (address, count) = server(|number, request, mut stream| match number {
        0 => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123").unwrap(),
        _ => {
            assert!(request.contains("range: bytes=4-8\r\n"), "{request}");
            write!(
                stream,
                "HTTP/1.1 206 Part\r\nContent-Range: bytes 4-8/10\r\nContent-Length: 5\r\n\r\n45678"
            )
            .unwrap();
        }
    });
    let store = HttpStore::open(&url(&address)).unwrap();
    assert_eq!(part(&store, "x", 0, 9), b"012345678");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn tries_again_but_not_for_ever() {
    let (address, count) = server(|number, _, mut stream| match number {
        0 => drop(stream),
        1 => write!(stream, "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .unwrap(),
        2 => write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .unwrap(),
        _ => write!(stream, "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .unwrap(),
    });
    let store = HttpStore::open(&url(&address)).unwrap();
    assert_eq!(store.get("x", 9).unwrap(), b"ok");
    let error = store.get("x", 9).unwrap_err();
    assert_eq!((error.exit(), count.load(Ordering::SeqCst)), (Exit::Unreachable, 7), "{error}");
    assert!(error.to_string().contains("500"), "{error}");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = HttpStore::open(&url(&format!("http://user:hunter2@{port}/"))).unwrap();
    let error = store.get("x", 9).unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable);
    assert!(
        error.to_string().contains("refused") && !error.to_string().contains("hunter2"),
        "{error}"
    );
}

/// It is for whoever knows other places to decide whether to wait; who publishes has only one.
#[test]
fn a_server_that_asks_for_patience_gets_it() {
    let busy = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After:";
    let (address, count) = server(move |number, request, mut stream| {
        let answer = match number {
            0 => format!("{busy} 77\r\n\r\n"),
            1 => "HTTP/1.1 429 Slow\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned(),
            2 => format!("{busy} Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"),
            _ if request.starts_with("put") => {
                "HTTP/1.1 201 Made\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            _ => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let store = HttpStore::open(&url(&address)).unwrap();
    for after in [77, 5] {
        let error = store.get("x", 9).unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(after)), "{error}");
        assert_eq!(error.exit(), Exit::Unreachable);
    }
    assert_eq!(count.load(Ordering::SeqCst), 2, "it is not asked at once");
    let publisher = HttpPublisher::open(&url(&address), None).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let tell = move |line: &str| hears.lock().unwrap().push(line.to_owned());
    let patient = Patient::new(Box::new(publisher), Box::new(tell));
    assert_eq!(patient.create("x", Body::Bytes(b"x")).unwrap(), Created::New);
    assert_eq!(*told.lock().unwrap(), [format!("{address} is busy; asking again in 1 s")]);
}

#[test]
fn a_login_page_is_no_file() {
    let (address, count) = server(|_, request, mut stream| {
        let head = match request.split(' ').nth(1).unwrap() {
            "/511" => "511 Login",
            _ => "200 OK",
        };
        let body = "<html>Welcome to our hotel</html>";
        write!(
            stream,
            "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Type: Text/HTML; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
    let store = HttpStore::open(&url(&address)).unwrap();
    for path in ["metadata/timestamp.json", "511"] {
        let error = store.get(path, 99).unwrap_err();
        assert!(error.to_string().contains("captive portal"), "{error}");
        assert_eq!(error.exit(), Exit::Unreachable);
        assert!(store.stream(path, 0, 99).is_err());
    }
    assert_eq!(count.load(Ordering::SeqCst), 4, "none is asked for again");
    assert!(store.get("targets/vendor/file/page/1.page.html", 99).is_ok());
}

#[test]
fn endless_files_end() {
    let (address, _) = server(|_, _, mut stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while stream.write_all(format!("10000\r\n{}\r\n", "x".repeat(0x10000)).as_bytes()).is_ok() {
        }
    });
    let store = HttpStore::open(&url(&address)).unwrap();
    assert!(matches!(store.get("x", 100_000), Err(StoreError::TooLarge { .. })));
    assert_eq!(part(&store, "x", 0, 100_000).len(), 100_000);
}

#[test]
fn small_files_come_compressed_and_no_larger_than_allowed() {
    let server = Server::start();
    let json = format!("{{\"a\":\"{}\"}}", "0".repeat(100_000));
    server.place("metadata/1.root.json", json.as_bytes());
    let store = HttpStore::open(&url(&server.url())).unwrap();
    assert_eq!(store.get("metadata/1.root.json", 100_008).unwrap(), json.as_bytes());
    assert!(matches!(store.get("metadata/1.root.json", 100_007), Err(StoreError::TooLarge { .. })));
}

#[test]
fn codings_that_lie_are_refused() {
    let (address, asked) = self::server(|_, request, mut stream| {
        let coding = match request.split(' ').nth(1).unwrap() {
            "/bomb" => "zstd",
            "/garbage" => "zstd",
            _ => "gzip",
        };
        let body = match request.split(' ').nth(1).unwrap() {
            "/bomb" => zstd::bulk::compress(&vec![0; 256 << 20], 3).unwrap(),
            _ => b"{}".to_vec(),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n");
        write!(stream, "{head}Content-Length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(&body).unwrap();
    });
    let store = HttpStore::open(&url(&address)).unwrap();
    assert!(matches!(store.get("bomb", 1 << 20), Err(StoreError::TooLarge { .. })));
    for (path, words) in [("garbage", "not zstd"), ("other", "nobody asked for")] {
        let error = store.get(path, 100).unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable);
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3, "none is asked for again");
}

#[test]
fn redirects_stay_within_the_scheme() {
    let (there, _) = server(|_, request, mut stream| {
        let body = if request.starts_with("get /moved/x ") { "moved" } else { "wrong" };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}").unwrap();
    });
    let (address, _) = server(move |_, request, mut stream| {
        let to = match request.split(' ').nth(1).unwrap() {
            "/x" => format!("{there}/moved/x"),
            "/loop" => "/loop".to_owned(),
            _ => "https://localhost:1/x".to_owned(),
        };
        let head = "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0";
        write!(stream, "{head}\r\nLocation: {to}\r\n\r\n").unwrap();
    });
    let store = HttpPublisher::open(&url(&address), None).unwrap();
    assert_eq!(store.get("x", 9).unwrap(), b"moved");
    let error = store.get("y", 9).unwrap_err();
    assert!(error.to_string().contains("redirects to https://localhost:1/x"), "{error}");
    assert!(store.get("loop", 9).unwrap_err().to_string().contains("without end"));
    let error = store.create("x", Body::Bytes(b"")).unwrap_err();
    assert!(error.to_string().contains("302"), "{error}");
}
