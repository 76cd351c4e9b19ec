//! The client of etcd, against real clusters: what it does, and what it does when members fail.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cutover_etcd::{Compare, Created, Etcd, EtcdError, Held, Op, Revision, Swapped, Txn, Waited};
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::node_toml;
use cutover_tests::parts::authority::{Authority, VALID};
use cutover_tests::parts::etcd::Cluster;
use cutover_tests::world::wait_until;

fn open(folder: &Path, settings: &str) -> Result<Etcd, EtcdError> {
    #[derive(serde::Deserialize)]
    struct Settings {
        etcd: node_toml::Etcd,
    }
    let settings: Settings = toml::from_str(settings).expect("settings");
    Etcd::open(&settings.etcd, folder, &|path| std::fs::read(path))
}

fn of(cluster: &Cluster) -> Etcd {
    open(Path::new("/"), &cluster.settings()).expect("a client")
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn keys_are_compared_and_swapped() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), 1);
    let etcd = of(&cluster);
    assert_eq!(etcd.get("/k").unwrap(), None);
    etcd.put("/k", b"one", None).unwrap();
    assert_eq!(cluster.value("/k"), "one");
    let known = etcd.get("/k").unwrap().unwrap();
    assert_eq!((known.value.as_slice(), known.lease), (&b"one"[..], None));
    assert_eq!(etcd.replace(&known, b"two").unwrap(), Swapped::Done);
    let Swapped::Lost(Some(now)) = etcd.replace(&known, b"three").unwrap() else {
        panic!("it was changed since")
    };
    assert_eq!(now.value, b"two");
    assert!(now.modified > known.modified && now.created == known.created);
    etcd.delete("/k").unwrap();
    assert_eq!(etcd.replace(&now, b"three").unwrap(), Swapped::Lost(None));
    // Any bytes, and none.
    for value in [&b""[..], &[0, 255, 128, b'"', b'\n']] {
        etcd.put("/bytes", value, None).unwrap();
        assert_eq!(etcd.get("/bytes").unwrap().unwrap().value, value);
    }
    let txn = Txn {
        compare: vec![Compare::Absent("/a".into()), Compare::Says("/b".into(), b"x".to_vec())],
        then: vec![Op::Put("/a".into(), b"1".to_vec(), None)],
        otherwise: vec![
            Op::Put("/b".into(), b"x".to_vec(), None),
            Op::Get("/a".into()),
            Op::Get("/b".into()),
        ],
    };
    let outcome = etcd.txn(&txn).unwrap();
    assert!(!outcome.succeeded && outcome.found[0].is_none());
    assert_eq!(outcome.found[1].as_ref().unwrap().value, b"x");
    assert!(etcd.txn(&txn).unwrap().succeeded);
    assert_eq!(cluster.value("/a"), "1");
}

#[test]
fn leases_end_unless_they_are_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), 1);
    let etcd = of(&cluster);
    let lease = etcd.grant(Duration::from_secs(3)).unwrap();
    assert!(lease.ttl >= Duration::from_secs(3), "{lease:?}");
    assert_eq!(etcd.create("/once", b"me", lease.id).unwrap(), Created::Won);
    assert_eq!(etcd.create("/once", b"me", lease.id).unwrap(), Created::Won, "asked twice");
    let other = etcd.grant(Duration::from_secs(60)).unwrap();
    let Created::Lost(winner) = etcd.create("/once", b"you", other.id).unwrap() else {
        panic!("somebody was first")
    };
    assert_eq!((winner.value.as_slice(), winner.lease), (&b"me"[..], Some(lease.id)));
    // It outlives its time while it is held, and ends when it is not.
    let work = || {
        std::thread::sleep(2 * lease.ttl);
        etcd.get("/once").unwrap()
    };
    let (found, held) = etcd.while_held(&lease, work);
    assert_eq!((found.unwrap().value.as_slice(), held), (&b"me"[..], Held::Throughout));
    let gone = etcd.wait_for_change("/once", winner.modified, LONG).unwrap();
    assert_eq!((gone, etcd.get("/once").unwrap()), (Waited::Changed, None));
    assert_eq!(etcd.keep_alive(&lease).unwrap(), None);
    assert_eq!(etcd.while_held(&lease, || std::thread::sleep(lease.ttl)).1, Held::Lost);
    assert_eq!(etcd.create("/once", b"you", other.id).unwrap(), Created::Won);
    assert!(etcd.keep_alive(&other).unwrap().is_some());
    etcd.revoke(&other).unwrap();
    etcd.revoke(&other).unwrap();
    assert_eq!(etcd.get("/once").unwrap(), None);
    let error = etcd.put("/once", b"x", Some(other.id)).unwrap_err();
    assert_eq!(error.exit(), Exit::NotFound, "{error}");
}

#[test]
fn changes_are_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), 1);
    let etcd = of(&cluster);
    etcd.put("/w", b"1", None).unwrap();
    let known = etcd.get("/w").unwrap().unwrap();
    etcd.put("/other", b"1", None).unwrap();
    let began = Instant::now();
    let short = Duration::from_millis(700);
    assert_eq!(etcd.wait_for_change("/w", known.modified, short).unwrap(), Waited::Unchanged);
    assert!(began.elapsed() >= short);
    let changing = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            etcd.put("/w", b"2", None).unwrap();
        });
        etcd.wait_for_change("/w", known.modified, LONG)
    });
    assert_eq!(changing.unwrap(), Waited::Changed);
    // What has happened already is seen, and so is what etcd has forgotten since.
    assert_eq!(etcd.wait_for_change("/w", known.modified, LONG).unwrap(), Waited::Changed);
    let now = etcd.txn(&Txn::default()).unwrap().revision;
    assert!(now > known.modified);
    let number = format!("{now:?}").replace("Revision(", "").replace(')', "");
    let _ = cluster.ctl(&["compact", &number]).ok();
    assert_eq!(etcd.wait_for_change("/w", known.modified, LONG).unwrap(), Waited::Changed);
    assert_eq!(etcd.wait_for_change("/w", now, short).unwrap(), Waited::Unchanged);
}

#[test]
fn a_cluster_that_loses_its_leader_has_one_winner_a_key() {
    const KEYS: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(folder.path(), 3);
    let leader = cluster.leader();
    // Three nodes, whose clients ask different members first.
    let nodes: Vec<Etcd> = (0..3)
        .map(|first| {
            let mut endpoints = cluster.endpoints();
            endpoints.rotate_left(first);
            let settings = format!("[etcd]\nendpoints = {endpoints:?}\ntimeout = '60s'\n");
            open(Path::new("/"), &settings).unwrap()
        })
        .collect();
    let (won, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (number, etcd) in nodes.iter().enumerate() {
            let (won, asked) = (&won, &asked);
            scope.spawn(move || {
                let lease = etcd.grant(Duration::from_secs(300)).unwrap();
                for key in 0..KEYS {
                    let created =
                        etcd.create(&format!("/once/{key}"), &[b'a' + number as u8], lease.id);
                    if created.unwrap() == Created::Won {
                        won.fetch_add(1, Ordering::Relaxed);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_until("some are asked for", || asked.load(Ordering::Relaxed) >= KEYS);
        cluster.kill(leader);
    });
    assert_eq!((won.into_inner(), asked.into_inner()), (KEYS, 3 * KEYS));
    assert_ne!(cluster.leader(), leader);
    // Waiting works across the loss of a member too, and one that is back is asked again.
    let known = nodes[leader].get("/once/0").unwrap().unwrap();
    nodes[(leader + 1) % 3].put("/once/0", b"done", None).unwrap();
    let waited = nodes[leader].wait_for_change("/once/0", known.modified, LONG).unwrap();
    assert_eq!(waited, Waited::Changed);
    cluster.start_again(leader);
    assert_eq!(nodes[leader].get("/once/0").unwrap().unwrap().value, b"done");
}

#[test]
fn members_that_hang_or_are_alone_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(folder.path(), 3);
    let follower = (cluster.leader() + 1) % 3;
    let mut endpoints = cluster.endpoints();
    endpoints.rotate_left(follower);
    let settings = format!("[etcd]\nendpoints = {endpoints:?}\ntimeout = '4s'\n");
    let etcd = open(Path::new("/"), &settings).unwrap();
    cluster.freeze(follower);
    etcd.put("/k", b"1", None).unwrap();
    let known = etcd.get("/k").unwrap().unwrap();
    cluster.thaw(follower);
    // The one that is left has no majority: it hears the question, and must not answer it.
    cluster.kill((follower + 1) % 3);
    cluster.kill((follower + 2) % 3);
    let error = etcd.get("/k").unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable, "{error}");
    assert!(error.to_string().matches("http://").count() == 3, "{error}");
    cluster.start_again((follower + 1) % 3);
    let settings = settings.replace("4s", "60s");
    let found = open(Path::new("/"), &settings).unwrap().get("/k").unwrap().unwrap();
    // The follower, awake again, may have done the `put` that it was given while it hung.
    assert_eq!((found.value, found.created), (known.value, known.created));
}

#[test]
fn users_log_in_with_a_password_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    // A token lives for two seconds, so that it ends in between.
    let cluster = Cluster::with(folder.path(), 1, &["--auth-token-ttl", "2"]);
    std::fs::write(folder.path().join("password"), "s3cret\n").unwrap();
    std::fs::write(folder.path().join("wrong"), "guess\n").unwrap();
    let login = |user: &str, file: &str| {
        let settings = cluster.settings();
        let login = format!("login = {{ user = '{user}', password-file = '{file}' }}\n");
        open(folder.path(), &(settings + &login)).unwrap()
    };
    // Before there are users, everybody may.
    login("weave", "password").put("/pools/a", b"1", None).unwrap();
    for arguments in [
        &["user", "add", "root:root"][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "weave:s3cret"],
        &["role", "add", "pools"],
        &["role", "grant-permission", "pools", "readwrite", "--prefix=true", "/pools/"],
        &["user", "grant-role", "weave", "pools"],
        &["auth", "enable"],
    ] {
        let _ = cluster.ctl(arguments).ok();
    }
    let etcd = login("weave", "password");
    etcd.put("/pools/a", b"2", None).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(etcd.get("/pools/a").unwrap().unwrap().value, b"2");
    let error = etcd.put("/other", b"x", None).unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
    assert_eq!(error.exit(), Exit::Usage);
    let error = login("weave", "wrong").get("/pools/a").unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(!format!("{error} {error:?}").contains("guess"), "{error:?}");
    let error = of(&cluster).get("/pools/a").unwrap_err();
    assert_eq!(error.exit(), Exit::Usage, "{error}");
    assert!(!format!("{etcd:?}").contains("s3cret"));
    // Never where it could be overheard.
    let far = "[etcd]\nendpoints = ['https://etcd.example:2379', 'http://192.0.2.1:2379']\n\
               login = { user = 'weave', password-file = 'password' }\n";
    let error = open(folder.path(), far).unwrap_err();
    assert!(matches!(&error, EtcdError::PlainPassword { .. }), "{error}");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
    let error = open(folder.path(), &far.replace("'password'", "'no'").replace("http:", "https:"));
    assert_eq!(error.unwrap_err().exit(), Exit::NotFound);
}

#[test]
fn certificates_are_checked_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::make(folder.path(), "etcd");
    let member = authority.issue("member", "IP:127.0.0.1", VALID);
    let cluster = Cluster::secret(folder.path(), &authority, &member);
    let ours = "identity = { certificate-file = 'member.pem', key-file = 'member.key' }\n";
    let settings = cluster.settings() + "timeout = '1s'\n[etcd.tls]\n";
    let etcd = open(folder.path(), &format!("{settings}ca-file = 'ca.pem'\n{ours}")).unwrap();
    etcd.put("/k", b"1", None).unwrap();
    assert_eq!(etcd.get("/k").unwrap().unwrap().value, b"1");
    let nobody = open(folder.path(), &format!("{settings}ca-file = 'ca.pem'\n")).unwrap();
    assert_eq!(nobody.get("/k").unwrap_err().exit(), Exit::Unreachable);
    // The system's authorities do not know it.
    let strict = open(folder.path(), &format!("{settings}{ours}")).unwrap();
    let error = strict.get("/k").unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable, "{error}");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    let error = open(folder.path(), &format!("{settings}ca-file = 'ca.key'\n")).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage, "{error}");
}

#[test]
fn nobody_there() {
    let settings = "[etcd]\nendpoints = ['http://127.0.0.1:9']\ntimeout = '1s'\n";
    let etcd = open(Path::new("/"), settings).unwrap();
    let error = etcd.get("/k").unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable);
    assert!(error.to_string().contains("http://127.0.0.1:9: "), "{error}");
    let waited = etcd.wait_for_change("/k", Revision::default(), Duration::from_secs(1)).unwrap();
    assert_eq!(waited, Waited::Unchanged);
}
