//! What is planned, in which order, and what is refused.

use BuiltIn::{
    Backoff, Configure, Depool, Drain, Fetch, Health, Hold, Open, Repool, Requires, Seal, Settle,
    Start, Stop, Switch, Unpack, Verify,
};

use cutover_formats::descriptor::ConfigFile;
use cutover_formats::period::Period;

use super::*;

fn release(version: &str, swap: &str) -> Descriptor {
    let digest = "0".repeat(64);
    let json = format!(
        r#"{{"format":"cutover.release/1.3","product":"weave","version":"{version}",
        "source":{{"kind":"tree","time":0}},
        "files":{{"file":"files.json.zst","sha256":"{digest}","size":1,"text_sha256":"{digest}","entries":1,"bytes":1}},
        "carriers":[{{"kind":"bundle","file":"b","sha256":"{digest}","size":10,
            "frames":{{"file":"f","sha256":"{digest}","size":1}}}}],
        "service":{{"command":["x"],"swap":"{swap}"}},
        "config":{{"a.ini":{{"from":"a.ini"}}}}}}"#
    );
    Descriptor::parse(json.as_bytes()).unwrap()
}

fn situation(current: Option<&str>, gate: GateSituation) -> Situation {
    let current: Option<Version> = current.map(|version| version.parse().unwrap());
    Situation { sealed: current.iter().cloned().collect(), current, gate, pool: None }
}

fn up(serving: Option<&str>) -> GateSituation {
    GateSituation::Up { serving: serving.map(|version| version.parse().unwrap()) }
}

fn stages(situation: &Situation, release: &Descriptor, swap: Option<Swap>) -> Vec<BuiltIn> {
    let wishes = Wishes { swap, ..Wishes::default() };
    let plan = plan(Operation::Install, situation, release, &wishes).unwrap();
    plan.steps.iter().map(|step| BuiltIn::named(step.stage.as_str()).unwrap()).collect()
}

const BRING: [BuiltIn; 6] = [Requires, Fetch, Verify, Unpack, Configure, Seal];

#[test]
fn an_upgrade_beside_the_old() {
    let stages =
        stages(&situation(Some("1.0.0"), up(Some("1.0.0"))), &release("1.1.0", "blue-green"), None);
    assert_eq!(stages, [&BRING[..], &[Start, Health, Switch, Drain, Settle]].concat());
}

#[test]
fn an_upgrade_with_a_pause() {
    let node = situation(Some("1.0.0"), up(Some("1.0.0")));
    for (swap, first) in [(Swap::Hold, Hold), (Swap::Backoff, Backoff)] {
        let stages = stages(&node, &release("1.1.0", "blue-green"), Some(swap));
        let change = [first, Stop, Switch, Start, Health, Open, Settle];
        assert_eq!(stages, [&BRING[..], &change].concat());
    }
}

#[test]
fn the_first_release_finds_nothing_to_stop() {
    let stages = stages(&situation(None, up(None)), &release("1.0.0", "backoff"), None);
    assert_eq!(stages, [&BRING[..], &[Start, Health, Switch, Settle]].concat());
}

#[test]
fn without_a_gate_only_files_change() {
    for gate in [GateSituation::None, GateSituation::Down] {
        let node = situation(Some("1.0.0"), gate);
        let stages = stages(&node, &release("1.1.0", "hold"), None);
        assert_eq!(stages, [&BRING[..], &[Switch, Settle]].concat());
    }
    let node = situation(Some("1.0.0"), GateSituation::Down);
    let plan =
        plan(Operation::Install, &node, &release("1.1.0", "hold"), &Wishes::default()).unwrap();
    assert!(plan.notes[0].contains("not running"));
}

#[test]
fn what_runs_already_is_left_alone() {
    let node = situation(Some("1.0.0"), up(Some("1.0.0")));
    let plan =
        plan(Operation::Install, &node, &release("1.0.0", "hold"), &Wishes::default()).unwrap();
    assert_eq!((plan.changeover, plan.steps), (Changeover::None, vec![]));
}

#[test]
fn what_is_rendered_is_rendered_again() {
    let mut node = situation(None, GateSituation::None);
    let mut release = release("1.0.0", "hold");
    let template = ConfigFile::Rendered { template: "b.j2".parse().unwrap() };
    release.config.insert("b".parse().unwrap(), template);
    let configure = |node: &Situation| {
        let plan = plan(Operation::Install, node, &release, &Wishes::default()).unwrap();
        let step = plan.steps.into_iter().find(|step| step.act == Act::BuiltIn(Configure));
        step.map(|step| step.what)
    };
    assert_eq!(configure(&node).as_deref(), Some("link a.ini; render b"));
    node.sealed.insert(Version::new(1, 0, 0));
    assert_eq!(configure(&node).as_deref(), Some("render anew where values have changed"));
}

fn apply(gate: GateSituation, swap: Swap, renewal: Renewal) -> Plan {
    let node = situation(Some("1.0.0"), gate);
    let wishes = Wishes { swap: Some(swap), renewal, ..Wishes::default() };
    plan(Operation::Apply, &node, &release("1.0.0", "hold"), &wishes).unwrap()
}

#[test]
fn another_configuration_comes_before_the_process_that_reads_it() {
    let changed = || Renewal::Files(vec!["a.ini".parse().unwrap()]);
    let begin = [Switch, Start, Health, Open];
    for (gate, swap, change) in [
        (up(Some("1.0.0")), Swap::BlueGreen, [&begin[..], &[Drain]].concat()),
        (up(None), Swap::Hold, begin.to_vec()),
        (up(Some("1.0.0")), Swap::Hold, [&[Hold, Stop], &begin[..]].concat()),
        (up(Some("1.0.0")), Swap::Backoff, [&[Backoff, Stop], &begin[..]].concat()),
        (GateSituation::Down, Swap::BlueGreen, vec![Switch]),
        (GateSituation::Beside { runs: true }, Swap::Hold, vec![Backoff, Switch, Open]),
    ] {
        let plan = apply(gate, swap, changed());
        let stages: Vec<BuiltIn> =
            plan.steps.iter().map(|step| BuiltIn::named(step.stage.as_str()).unwrap()).collect();
        assert_eq!(stages, [&[Requires, Configure], &change[..], &[Settle]].concat(), "{plan:?}");
        assert!(plan.steps[1].what.contains("a.ini"));
    }
}

#[test]
fn nothing_is_applied_where_nothing_has_changed() {
    let serving = || up(Some("1.0.0"));
    assert_eq!(apply(serving(), Swap::Hold, Renewal::Needless).changeover, Changeover::None);
    assert_eq!(apply(serving(), Swap::BlueGreen, Renewal::Wanted).changeover, Changeover::InPlace);
}

#[test]
fn a_present_release_is_not_fetched_again() {
    let mut node = situation(Some("1.1.0"), up(Some("1.1.0")));
    node.sealed.insert(Version::new(1, 0, 0));
    let stages = stages(&node, &release("1.0.0", "blue-green"), None);
    assert_eq!(stages, [Requires, Start, Health, Switch, Drain, Settle]);
}

#[test]
fn a_node_leaves_its_pool_for_a_pause() {
    let node = Situation {
        pool: Some("HAProxy".to_owned()),
        ..situation(Some("1.0.0"), up(Some("1.0.0")))
    };
    let change = [Depool, Hold, Stop, Switch, Start, Health, Open, Repool, Settle];
    let paused = stages(&node, &release("1.1.0", "hold"), None);
    assert_eq!(paused, [&BRING[..], &change].concat());
    let beside = stages(&node, &release("1.1.0", "blue-green"), None);
    assert!(!beside.contains(&Depool) && !beside.contains(&Repool));
}

#[test]
fn beside_a_front_end_the_gate_only_answers() {
    for (runs, told) in [(true, &[Backoff, Switch, Open][..]), (false, &[Switch])] {
        let mut node = situation(Some("1.0.0"), GateSituation::Beside { runs });
        node.pool = Some("the front end".to_owned());
        let stages = stages(&node, &release("1.1.0", "blue-green"), None);
        assert_eq!(stages, [&BRING[..], &[Depool], told, &[Repool, Settle]].concat());
        let again = plan(Operation::Install, &node, &release("1.0.0", "hold"), &Wishes::default());
        assert_eq!(again.unwrap().changeover, Changeover::None);
    }
}

/// `release.toml` and `node.toml`, put together for a node that serves 1.0.0.
struct Case<'a> {
    release: &'a str,
    node: &'a str,
    swap: Swap,
}

impl Case<'_> {
    fn plan(&self) -> Result<Plan, PlanError> {
        let toml = cutover_formats::release_toml::ReleaseToml::parse(self.release).unwrap();
        let mut release = release("1.1.0", "blue-green");
        (release.stages, release.checks) = (toml.stage, toml.check);
        let text = format!("product = 'weave'\nrepository = '/r'\n{}", self.node);
        let node = cutover_formats::node_toml::NodeToml::parse(&text).unwrap();
        let wishes = Wishes {
            swap: Some(self.swap),
            stages: Some(&node.stage),
            checks: &node.check,
            ..Wishes::default()
        };
        let situation = situation(Some("1.0.0"), up(Some("1.0.0")));
        plan(Operation::Install, &situation, &release, &wishes)
    }

    fn names(&self) -> String {
        let steps = self.plan().unwrap().steps;
        let names: Vec<&str> = steps.iter().map(|step| step.stage.as_str()).collect();
        names.join(" ")
    }
}

#[test]
fn every_place_is_one_in_every_changeover() {
    let at = |place: &str, swap| {
        let release = format!("[stage.mine]\n{place}\nrun = 'x'");
        Case { release: &release, node: "", swap }.names()
    };
    let before = "requires fetch verify unpack configure seal";
    for (place, beside, paused) in [
        ("after = 'resolve'", "mine requires fetch", "mine requires fetch"),
        ("after = 'unpack'", "unpack mine configure", "unpack mine configure"),
        ("after = 'build'", "unpack mine configure", "unpack mine configure"),
        ("before = 'build'", "unpack mine configure", "unpack mine configure"),
        ("before = 'depool'", "seal mine start", "seal mine hold"),
        ("after = 'hold'", "seal mine start", "hold mine stop"),
        ("after = 'stop'", "seal mine start", "stop mine switch"),
        ("before = 'start'", "seal mine start", "switch mine start"),
        ("after = 'health'", "health mine switch", "health mine open"),
        ("after = 'switch'", "switch mine drain", "switch mine start"),
        ("before = 'open'", "switch mine drain", "health mine open"),
        ("after = 'open'", "switch mine drain", "open mine settle"),
        ("after = 'drain'", "drain mine settle", "open mine settle"),
        ("before = 'settle'", "drain mine settle", "open mine settle"),
    ] {
        for (swap, part) in [(Swap::BlueGreen, beside), (Swap::Hold, paused)] {
            let names = at(place, swap);
            assert!(names.contains(part), "{place}, {swap}: {names}");
            assert!(names.replace("mine ", "").starts_with(before), "{names}");
        }
    }
}

#[test]
fn stages_beside_stages_go_by_name_and_the_releases_with_the_nodes() {
    let release = "
        [stage.b]\nafter = 'unpack'\nrun = 'x'
        [stage.a]\nafter = 'unpack'\nrun = 'x'
        [stage.z]\nbefore = 'a'\nrun = 'x'";
    let node = "
        [stage.aa]\nafter = 'unpack'\nrun = 'x'
        [stage.n]\nafter = 'b'\nrun = 'x'";
    let names = Case { release, node, swap: Swap::BlueGreen }.names();
    assert!(names.contains("unpack z a aa b n configure"), "{names}");
}

#[test]
fn a_node_has_the_last_word() {
    let release = "
        [stage.migrate]\nafter = 'unpack'\nrun = 'theirs'\ntimeout = '1m'\nundo = 'back'
        [stage.warm]\nafter = 'switch'\nrun = 'warm'
        [[check]]\nstage = 'warm'\ncommand = 'x'
        [[check]]\nstage = 'open'\ncommand = 'y'";
    let node = "
        [stage.migrate]\nbefore = 'switch'\nrun = ['ours']\nretries = 2
        [stage.warm]\nskip = true
        [stage.gone]\ntimeout = '1s'
        [stage.configure]\nrun = 'link'
        [stage.build]\nrun = 'make'";
    let plan = Case { release, node, swap: Swap::BlueGreen }.plan().unwrap();
    let step = |name: &str| plan.steps.iter().find(|step| step.stage.as_str() == name).unwrap();
    let migrate = step("migrate");
    assert_eq!(migrate.act, Act::Run(CommandLine::Words(vec!["ours".to_owned()])));
    assert_eq!(migrate.undo, Some(CommandLine::Shell("back".to_owned())));
    assert_eq!((migrate.timeout.unwrap(), migrate.retries), (Period::seconds(60), 2));
    assert_eq!(migrate.origins, [Origin::Release, Origin::Node]);
    assert_eq!((&step("warm").act, step("warm").after.len()), (&Act::Skip, 0));
    assert_eq!(step("build").act, Act::Run(CommandLine::Shell("make".to_owned())));
    assert_eq!(step("configure").origins, [Origin::BuiltIn, Origin::Node]);
    // There is no `open` here; what must hold after it must hold after what stands before it.
    assert_eq!(step("switch").after.len(), 1);
    assert!(plan.notes[0].contains("[stage.gone] is of no use here"), "{:?}", plan.notes);
}

#[test]
fn a_slip_in_a_stage_of_the_node_is_noted() {
    let release = "[stage.migrate]\nafter = 'fetch'\nrun = 'x'";
    let node = "[stage.biuld]\ntimeout = '5m'\n[stage.migrat]\nskip = true";
    let notes = Case { release, node, swap: Swap::BlueGreen }.plan().unwrap().notes;
    assert!(notes[0].ends_with("has no such stage; perhaps `build` is meant"), "{notes:?}");
    assert!(notes[1].ends_with("has no such stage; perhaps `migrate` is meant"), "{notes:?}");
}

#[test]
fn a_slip_in_a_placeholder_is_noted() {
    let release = "[stage.a]\nafter = 'fetch'\nrun = '{prefx}/x'\nundo = ['{prefix}/x', '{rot}']";
    let plan = Case { release, node: "", swap: Swap::BlueGreen }.plan().unwrap();
    for said in ["`{prefx}` in [stage.a] stands", "perhaps `{root}` is meant"] {
        assert!(plan.notes.iter().any(|note| note.contains(said)), "{:?}", plan.notes);
    }
}

#[test]
fn what_cannot_be_put_together_is_named() {
    for (release, node, message) in [
        (
            "[stage.a]\nafter = 'b'\nrun = 'x'\n[stage.b]\nafter = 'a'\nrun = 'x'",
            "",
            "the stages `a`, `b` stand in a circle, each beside another",
        ),
        (
            "",
            "[stage.a]\nafter = 'b'\nrun = 'x'",
            "the stage `a` (node) stands beside `b`, and there is no such stage",
        ),
        (
            "[stage.migrate]\nafter = 'unpack'\nrun = 'x'",
            "[stage.a]\nafter = 'migrat'\nrun = 'x'",
            "the stage `a` (node) stands beside `migrat`, and there is no such stage; perhaps `migrate`",
        ),
        (
            "",
            "[[check]]\nstage = 'swich'\ncommand = 'x'",
            "the check `command x` (node) stands beside `swich`, and there is no such stage; perhaps `switch`",
        ),
        (
            "",
            "[[check]]\nstage = 'b'\ncommand = 'x'",
            "the check `command x` (node) stands beside `b`, and there is no such stage",
        ),
        (
            "[stage.health]\ntimeout = '1s'",
            "",
            "stage.health.timeout (release): `health` keeps limits",
        ),
        (
            "",
            "[stage.switch]\nretries = 1",
            "stage.switch.retries (node): `switch` is not tried twice",
        ),
        ("", "[stage.build]\nundo = 'x'", "stage.build.undo (node): a built-in stage goes back"),
    ] {
        let refused = Case { release, node, swap: Swap::Hold }.plan().expect_err(message);
        assert!(refused.to_string().starts_with(message), "{refused}");
    }
}

#[test]
fn a_descriptor_is_not_trusted_to_keep_the_rules() {
    let mut release = release("1.1.0", "hold");
    let entry = cutover_formats::stage::StageEntry {
        run: Some(CommandLine::Shell("evil".to_owned())),
        ..Default::default()
    };
    release.stages.insert(Verify.name(), entry);
    let node = situation(None, GateSituation::None);
    let refused = plan(Operation::Install, &node, &release, &Wishes::default()).unwrap_err();
    assert!(refused.to_string().contains("stage.verify.run `verify` cannot be replaced"));
}

#[test]
fn an_installers_own_stage_has_a_name_of_its_own() {
    let added = |name: &str| Added {
        name: name.parse().unwrap(),
        place: Place::Before(Switch.name()),
        what: "mine".to_owned(),
    };
    let node = situation(None, GateSituation::None);
    let with = |name: &str| {
        let wishes = Wishes { program: vec![added(name)], ..Wishes::default() };
        plan(Operation::Install, &node, &release("1.1.0", "hold"), &wishes)
    };
    let steps = with("mine").unwrap().steps;
    let mine = steps.iter().position(|step| step.act == Act::Program).unwrap();
    assert_eq!(steps[mine + 1].stage, Switch.name());
    assert_eq!(with("verify").unwrap_err(), PlanError::Taken(Verify.name()));
}
