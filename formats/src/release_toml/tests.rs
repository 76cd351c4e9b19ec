//! Every section, and the message of every objection.

use proptest::prelude::*;

use super::*;
use crate::descriptor::StopSignal;
use crate::exit::Explain as _;

fn refused(text: &str) -> String {
    ReleaseToml::parse(text).expect_err(text).to_string()
}

#[test]
fn an_empty_file_says_nothing() {
    assert_eq!(ReleaseToml::parse("").unwrap(), ReleaseToml::default());
}

/// The example of the specification, so that it stays true.
#[test]
fn the_documented_example_is_read() {
    let docs = include_str!("../../docs/release-toml.md");
    let example = docs.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let parsed = ReleaseToml::parse(example).unwrap();
    assert_eq!(parsed.release.product.unwrap().as_str(), "weave");
    assert_eq!(parsed.vendor.python.unwrap().requirements.as_str(), "requirements.lock");
    assert_eq!(parsed.vendor.file[0].path.as_str(), "vendor/files/geo.mmdb");
    let service = parsed.service.unwrap();
    assert_eq!(service.health.path, "/__heartbeat__");
    assert_eq!(service.stop_signal, StopSignal::Term);
    assert_eq!(parsed.assets.unwrap().folder.as_str(), "static");
    assert_eq!(parsed.config["etc/sync.ini"].required(), Some("/etc/sync.ini"));
    let template = parsed.config["etc/app.ini"].template().unwrap();
    assert_eq!(template.as_str(), "etc/app.ini.j2");
    assert!(parsed.inputs["db_password"].secret);
}

#[test]
fn defaults() {
    let text = "[vendor.python]\nrequirements = 'requirements.lock'";
    let python = ReleaseToml::parse(text).unwrap().vendor.python.unwrap();
    assert_eq!(python.interpreter, "python3");
    assert_eq!((python.wheels.as_str(), python.env.as_str()), ("vendor/python", "env"));
}

#[test]
fn misspelt_keys_are_named_with_their_line() {
    for (text, message) in [
        ("[relase]\n", "line 1: unknown key `relase`"),
        ("[release]\nproduct = 'a'\nexlude = []", "line 3: unknown key `release.exlude`"),
        (
            "[service]\ncommand = ['a', '{port}']\n\nhealth = { paht = '/' }",
            "line 4: unknown key `service.health.paht`",
        ),
        (
            "[config]\n'a.ini' = { from = 'a', requird = true }",
            "unknown key `config.a.ini.requird`",
        ),
        (
            "[assets]\nfolder = 's'\npath = '/{version}/'\nfiles = []",
            "line 4: unknown key `assets.files`",
        ),
        ("[requires]\n\ncommand = []", "line 3: unknown key `requires.command`"),
        (
            "[[vendor.file]]\nurl = 'file:///a'\nsha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'\nname = 'x'",
            "line 4: unknown key `vendor.file.0.name`",
        ),
    ] {
        assert!(refused(text).contains(message), "{}", refused(text));
    }
}

#[test]
fn what_a_misspelt_key_may_mean_is_said() {
    let service = "[service]\ncommand = ['a', '{port}']\nhealth = { path = '/', withn = '1s' }";
    for (text, meant) in [
        ("[relase]\n", "release"),
        ("[vendor.pyton]\n", "python"),
        (service, "within"),
        ("[stage.a]\naftr = 'unpack'", "after"),
        ("[inputs.a]\nsecrt = true", "secret"),
    ] {
        let hints = ReleaseToml::parse(text).unwrap_err().hints();
        assert_eq!(hints[0], format!("perhaps `{meant}` is meant"));
        assert!(hints[1].starts_with("nothing was released"), "{hints:?}");
    }
}

#[test]
fn a_release_works_with_its_own_schema() {
    let said = refused("[schema]\nversion = 42\naccepts = '<40'");
    assert!(said.contains("line 3: schema.accepts is `<40`, and version 42 is none"), "{said}");
    ReleaseToml::parse("[schema]\nversion = 42\naccepts = '>=41, <43'").unwrap();
}

#[test]
fn later_sections_are_not_passed_over() {
    let message = "release.toml line 1: this version of Cutover does not know `[vendor.command]`";
    assert_eq!(refused("[vendor.command]\nrun = 'x'"), message);
}

#[test]
fn wrong_values_are_named_with_their_line() {
    for (text, message) in [
        ("[release]\nproduct = 'Weave'", "line 2: `Weave` is not a product name"),
        ("[release]\n\ntag = 'v1'", "line 3: tag pattern `v1` does not contain `{version}`"),
        ("[release\n", "line 1: "),
        (
            "[checks]\nbefore-release = 'x'",
            "line 2: invalid type: string \"x\", expected a sequence",
        ),
        ("[vendor.python]\nenv = 'e'", "line 1: missing field `requirements`"),
        ("[vendor.python]\nrequirements = '../r'", "line 2: unsafe path \"../r\""),
        (
            "[vendor.python]\nrequirements = 'r'\nwheels = 'env/w'",
            "line 1: vendor.python.env is `env`, where `env/w` goes already",
        ),
        (
            "[vendor.python]\nrequirements = 'r'\ninterpreter = 'python3 -E'",
            "line 3: vendor.python.interpreter has `python3 -E`: name one program",
        ),
        ("[service]\ncommand = []", "line 2: service.command is empty"),
        ("[service]\ncommand = ['a']", "line 2: service.command uses none of {listen}, {port}"),
        (
            "[service]\ncommand = ['a', '{port}']\nhealth = { path = 'x' }",
            "line 3: service.health.path must begin with `/`",
        ),
        ("[service]\ncommand = ['{port}']\nswap = 'quick'", "line 3: unknown variant `quick`"),
        ("[service]\ncommand = ['{port}']\ndrain = 5", "line 3: invalid type: integer `5`"),
        (
            "[service]\ncommand = ['{port}']\nstop-signal = 'CONT'",
            "line 3: `CONT` is not a signal that ends a service: TERM, INT, QUIT,",
        ),
        ("[service]\ncommand = ['{port}']\nstop-signal = 9", "line 3: invalid type: integer `9`"),
        ("[config]\n'/etc/x' = { from = 'x' }", "line 2: unsafe path \"/etc/x\": it is absolute"),
        ("[config]\nx = { from = '' }", "line 2: config.x.from must name a file of the node"),
        ("[assets]\nfolder = 's'", "line 1: missing field `path`"),
        ("[assets]\nfolder = '../s'\npath = '/{version}/'", "line 2: unsafe path \"../s\""),
        (
            "[assets]\nfolder = 's'\npath = '/assets/'",
            "line 3: `/assets/` is no path for assets such as `/assets/{version}/`: `{version}` must",
        ),
        ("[requires]\ncommands = ['']", "line 2: requires.commands has ``"),
    ] {
        assert!(refused(text).contains(message), "{text}\n{}", refused(text));
    }
}

#[test]
fn addresses_of_files() {
    let file =
        |url: &str| format!("[[vendor.file]]\nurl = '{url}'\nsha256 = '{}'", Digest::of(b""));
    for (url, place) in [
        ("https://example.org/a/x.tar.gz", "vendor/files/x.tar.gz"),
        ("http://example.org/x", "vendor/files/x"),
        ("file:///srv/x.bin", "vendor/files/x.bin"),
    ] {
        assert_eq!(ReleaseToml::parse(&file(url)).unwrap().vendor.file[0].path.as_str(), place);
    }
    for (url, message) in [
        ("ftp://example.org/x", "is none of http://, https:// and file:///"),
        ("file://x/y", "needs three slashes"),
        ("https://example.org/", "names no file"),
        ("https://example.org", "names no file"),
        ("https://example.org/..", "names no file"),
        ("https:///x", "is none of"),
        ("https://example.org/x?a=1", "has a `?` or `#` part"),
    ] {
        assert!(refused(&file(url)).contains(message), "{}", refused(&file(url)));
    }
    let twice = format!("{}\n{}", file("https://a.org/x"), file("https://b.org/x"));
    assert!(refused(&twice).contains("where `vendor/files/x` goes already"));
    let secret = refused(&file("https://user:hunter2@example.org/?key=hunter2"));
    assert!(!secret.contains("hunter2"), "{secret}");
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "(\\[{1,2}[a-z.]{0,9}\\]{1,2}|[a-z.]{1,9} = [\\[{'a-z0-9]{0,9}|\n){0,12}") {
        let _ = ReleaseToml::parse(&text);
    }
}
