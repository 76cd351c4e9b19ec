//! Checks that ask over TLS, of an nginx whose certificates are good, and bad in each way.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use cutover_tests::parts::authority::{Authority, OVER, VALID};
use cutover_tests::parts::nginx;
use cutover_tests::world::{Run, Running, World, free_address};

use crate::common::Scene;

/// Before anything is fetched.
const PLACE: &str = "[[check]]\nstage = 'requires'\ntimeout = '5s'\n";

/// One nginx with a site for each certificate.
struct Sites {
    good: SocketAddr,
    /// Its certificate is for another name.
    other: SocketAddr,
    /// Its certificate was good once.
    expired: SocketAddr,
    /// It shows its authority's own certificate.
    itself: SocketAddr,
    /// It speaks plain HTTP.
    plain: SocketAddr,
    _nginx: Running,
}

impl Sites {
    fn start(folder: &Path, authority: &Authority) -> Self {
        let [good, other, expired, itself, plain] = [(); 5].map(|()| free_address());
        let answers = "location / { return 200 'errors 3\n'; } location /away { return 302 /; }";
        let site = |address, name: &str| {
            let file = |kind: &str| folder.join(format!("{name}.{kind}")).display().to_string();
            let (certificate, key) = (file("pem"), file("key"));
            format!(
                "server {{ listen {address} ssl; ssl_certificate {certificate}; \
                 ssl_certificate_key {key}; {answers} }}\n"
            )
        };
        let issued = [
            ("good", "IP:127.0.0.1,DNS:localhost", VALID, good),
            ("other", "DNS:a.example,DNS:b.example", VALID, other),
            ("expired", "IP:127.0.0.1", OVER, expired),
        ];
        let mut all = site(itself, "ca") + &format!("server {{ listen {plain}; {answers} }}\n");
        for (name, whom, dates, address) in issued {
            let _ = authority.issue(name, whom, dates);
            all.push_str(&site(address, name));
        }
        let nginx = nginx::start(folder, &all);
        Self { good, other, expired, itself, plain, _nginx: nginx }
    }
}

#[test]
fn a_certificate_is_good_or_the_check_says_what_is_wrong_with_it() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    let [authority, strangers, namesakes] =
        [("ours", "Ours"), ("strangers", "Strangers"), ("namesakes", "Ours")].map(
            |(folder, name)| {
                let folder = world.path(folder);
                std::fs::create_dir(&folder).unwrap();
                Authority::make(&folder, name)
            },
        );
    let folder = world.path("ours");
    let Sites { good, other, expired, itself, plain, _nginx } = &Sites::start(&folder, &authority);
    let nobody_accepts = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = nobody_accepts.local_addr().unwrap();
    std::fs::copy(authority.file(), scene.node.root.join("shared/ca.pem")).unwrap();
    let [ca, stranger, namesake] =
        [&authority, &strangers, &namesakes].map(|it| it.file().display().to_string());
    let named = format!("ca-file = '{ca}'");
    let settings = scene.node.settings();
    // The system knows one authority.
    let check = |known: &Authority, what: &str| {
        scene.node.set(&format!("{settings}\n{PLACE}{what}\n"));
        Run::of(scene.node.command().arg("1.1.0").env("SSL_CERT_FILE", known.file()))
    };
    for (bad, words) in [
        (
            format!("http = {{ url = 'https://{good}/' }}"),
            ["comes from an authority that this machine does not know", "`ca-file"].as_slice(),
        ),
        (
            format!("http = {{ url = 'https://{good}/', ca-file = '{stranger}' }}"),
            &["comes from nobody that", "strangers/ca.pem names", "put the certificate of its"],
        ),
        (
            format!("http = {{ url = 'https://{good}/', ca-file = '{namesake}' }}"),
            &["comes from nobody that", "namesakes/ca.pem names"],
        ),
        (
            format!("http = {{ url = 'https://{other}/', {named} }}"),
            &["its certificate is for a.example, b.example, and not for 127.0.0.1", "ask it by a"],
        ),
        (
            format!("http = {{ url = 'https://{expired}/', {named} }}"),
            &["its certificate expired at 2020-02-01T00:00:00Z", "renew the server's"],
        ),
        (
            format!("http = {{ url = 'https://{itself}/', {named} }}"),
            &["its certificate does not do: ", "is no authority's itself"],
        ),
        (
            format!("http = {{ url = 'https://{plain}/', {named} }}"),
            &["TLS with it failed", "is it a TLS server at this port?"],
        ),
        (format!("http = {{ url = 'https://{silent}/', {named} }}"), &["no answer within 5s"]),
        (
            format!("http = {{ url = 'https://{good}/', ca-file = '/gone.pem' }}"),
            &["cannot read /gone.pem", "names authorities in PEM"],
        ),
        (
            format!("http = {{ url = 'https://{good}/', ca-file = '{{root}}/node.toml' }}"),
            &["node.toml holds no certificate", "names authorities in PEM"],
        ),
        (
            format!("metric = {{ url = 'https://{expired}/', name = 'errors', max = 3, {named} }}"),
            &["its certificate expired at"],
        ),
        // What is looked at in the answer is the same as without TLS.
        (
            format!("http = {{ url = 'https://{good}/away', expect = 200, {named} }}"),
            &["it gave 302, not 200"],
        ),
        (
            format!("metric = {{ url = 'https://{good}/', name = 'errors', max = 2, {named} }}"),
            &["errors is 3, not at most 2"],
        ),
    ] {
        let all = [&["requires: the check", "nothing was switched"], words].concat();
        check(&strangers, &bad).refused(5, &all);
    }
    scene.is_as_before();
    let name = format!("https://localhost:{}", good.port());
    let looks = [
        format!(
            "http = {{ url = '{name}/', ca-file = '{{root}}/shared/ca.pem', expect = 200, \
             contains = 'errors', headers = {{ server = 'nginx' }} }}"
        ),
        format!("http = {{ url = 'https://{good}/away', {named} }}"),
        format!("metric = {{ url = 'https://{good}/', name = 'errors', min = 3, {named} }}"),
    ];
    let _ = check(&strangers, &looks.join(&format!("\n{PLACE}"))).ok();
    scene.is_on_the_new();
    let _ = scene.node.install(["rollback"]).ok();
    let _ = check(&authority, &format!("http = {{ url = 'https://{good}/' }}")).ok();
}
