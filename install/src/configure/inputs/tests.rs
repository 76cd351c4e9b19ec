//! What the node gives against what is asked for.

use proptest::prelude::*;

use super::*;

fn declared(toml: &str) -> BTreeMap<InputName, Input> {
    toml::from_str(toml).unwrap()
}

fn given(toml: &str) -> BTreeMap<InputName, Given> {
    toml::from_str(toml).unwrap()
}

const DECLARED: &str = "
workers = { type = 'integer', default = 4 }
listen = { type = 'port', description = 'where the metrics are' }
proxy = { type = 'url', required = false }
password = { secret = true }
";

fn problems(text: &str) -> Vec<String> {
    let (declared, given) = (declared(DECLARED), given(text));
    let settlement = settle(&declared, &given, &BTreeSet::new());
    settlement.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn values_come_from_the_node_or_the_release() {
    let (declared, given) = (declared(DECLARED), given("listen = 9000\npassword = { file = 'p' }"));
    let settlement = settle(&declared, &given, &BTreeSet::new());
    assert_eq!(settlement.problems, []);
    let settled = |name: &str| settlement.inputs[&name.parse::<InputName>().unwrap()].1;
    assert_eq!(settled("workers"), Settled::Plain(&Value::Integer(4), Origin::Default));
    assert_eq!(settled("listen"), Settled::Plain(&Value::Integer(9000), Origin::Node));
    assert_eq!(settled("proxy"), Settled::Absent);
    assert_eq!(settled("password"), Settled::Secret(&SecretSource::File("p".into())));
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let found =
        problems("wrokers = 8\nproxy = 'example'\npassword = 'hunter2'\nworkers = { file = 'w' }");
    let expected = [
        "node.toml gives no `listen` in [inputs]: a port from 1 to 65535, where the metrics are",
        "node.toml gives the secret `password` in [inputs] itself; say where it is: \
         { file = \"…\" } or { command = [\"…\"] }",
        "node.toml gives `proxy` in [inputs] as the text \"example\", where a URL such as \
         https://example.org/ is wanted",
        "node.toml gives `workers` in [inputs] like a secret, where a whole number itself is wanted",
        "node.toml gives `wrokers` in [inputs], which the release does not ask for; perhaps \
         `workers` is meant",
    ];
    assert_eq!(found, expected);
}

/// Else a node could not go back to a release that asks for less.
#[test]
fn what_another_release_here_asks_for_is_passed_over() {
    let (declared, given) = (declared(""), given("workers = 1\nlegacy = 2"));
    let elsewhere = ["workers".parse().unwrap()].into();
    let problems = settle(&declared, &given, &elsewhere).problems;
    let legacy = "legacy".parse().unwrap();
    assert_eq!(problems, [InputProblem::Unknown { name: legacy, near: None }]);
}

#[test]
fn stand_ins_take_the_place_of_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::new(folder.path().to_owned());
    std::fs::create_dir(root.shared()).unwrap();
    let given = given("listen = 9000\npassword = { file = 'p' }");
    let declared = declared(DECLARED);
    let release = release();
    let users = TrustedUsers::of_this_process();
    let settlement = || settle(&declared, &given, &BTreeSet::new());
    let problems = Inputs::read(&root, &release, settlement(), &users).unwrap_err();
    assert!(problems[0].to_string().contains("the secret `password`: cannot read"), "{problems:?}");
    let file = root.shared().join("p");
    std::fs::write(&file, "hunter2\n").unwrap();
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let inputs = Inputs::read(&root, &release, settlement(), &users).unwrap();
    let path = "t".parse().unwrap();
    let template = b"{{ product }} {{ version }} {{ password }} {{ workers }} {{ proxy is none }}";
    let template = cutover_formats::template::Template::parse(&path, template).unwrap();
    let real = template.render(inputs.real()).unwrap();
    assert_eq!(real, "weave 1.0.0 hunter2 4 true");
    let masked = template.render(inputs.stand_ins()).unwrap();
    assert_eq!(masked, "weave 1.0.0 <secret password> 4 true");
    let warnings = inputs.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("everybody can read"), "{warnings:?}");
    assert!(inputs.is_secret("password") && !inputs.is_secret("workers"));
    assert!(!format!("{inputs:?}").contains("hunter2"));
}

fn release() -> Descriptor {
    let digest = "0".repeat(64);
    let json = format!(
        r#"{{"format":"cutover.release/1.3","product":"weave","version":"1.0.0",
        "source":{{"kind":"tree","time":0}},
        "files":{{"file":"f","sha256":"{digest}","size":1,"text_sha256":"{digest}","entries":1,"bytes":1}},
        "carriers":[{{"kind":"bundle","file":"b","sha256":"{digest}","size":10,
            "frames":{{"file":"f","sha256":"{digest}","size":1}}}}]}}"#
    );
    Descriptor::parse(json.as_bytes()).unwrap()
}

const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const DECLARATIONS: [&str; 5] = [
    "{ type = 'integer' }",
    "{ default = 'x' }",
    "{ required = false }",
    "{ secret = true }",
    "{ type = 'list', default = [] }",
];
const GIFTS: [&str; 4] = ["1", "'text'", "['a']", "{ file = 'f' }"];

fn table(choices: &[Option<usize>], of: &[&str]) -> String {
    let lines = NAMES.iter().zip(choices);
    lines.filter_map(|(name, choice)| Some(format!("{name} = {}\n", of[(*choice)?]))).collect()
}

proptest! {
    /// Every input comes to something that suits it, or to exactly one problem.
    #[test]
    fn nothing_is_passed_over(
        asked in proptest::collection::vec(proptest::option::of(0..DECLARATIONS.len()), 4),
        gives in proptest::collection::vec(proptest::option::of(0..GIFTS.len()), 4),
    ) {
        let (declared, given) = (declared(&table(&asked, &DECLARATIONS)), given(&table(&gives, &GIFTS)));
        let settlement = settle(&declared, &given, &BTreeSet::new());
        let wrong = settlement.inputs.values().filter(|(_, settled)| *settled == Settled::Wrong);
        let unknown = given.keys().filter(|name| !declared.contains_key(*name));
        prop_assert_eq!(settlement.problems.len(), wrong.count() + unknown.count());
        prop_assert_eq!(settlement.inputs.len(), declared.len());
        for (name, (input, settled)) in &settlement.inputs {
            match settled {
                Settled::Plain(value, origin) => {
                    prop_assert!(input.kind.accepts(value) && !input.secret);
                    prop_assert_eq!(*origin == Origin::Node, given.contains_key(*name));
                }
                Settled::Secret(_) => prop_assert!(input.secret),
                Settled::Absent => prop_assert!(!input.required && input.default.is_none()),
                Settled::Wrong => {}
            }
        }
    }
}
