//! The built-in stages that a change-over goes through, with what each will do.

use cutover_formats::descriptor::Descriptor;
use cutover_formats::path::RelPath;
use cutover_formats::stage::{BuiltIn, DEFAULT_PAUSE};

use super::{Act, Changeover, GateSituation, Origin, Renewal, Situation, Step};

/// The steps, in no order that counts.
pub(super) fn steps(
    changeover: Changeover,
    situation: &Situation,
    release: &Descriptor,
    renewal: Option<&Renewal>,
) -> Vec<Step> {
    let mut steps = vec![requires(release)];
    if let Some(renewal) = renewal {
        steps.push(step(BuiltIn::Configure, renew(renewal)));
    } else if !situation.sealed.contains(&release.version) {
        steps.extend(bring(release));
    } else if release.renders() {
        steps.push(step(BuiltIn::Configure, "render anew where values have changed"));
    }
    steps.extend(pool(changeover, situation));
    steps.extend(change(changeover, situation, release, renewal));
    steps.push(step(BuiltIn::Settle, "write the receipt, mark it good, prune"));
    steps
}

/// A built-in stage as Cutover has it.
pub(super) fn step(stage: BuiltIn, what: impl Into<String>) -> Step {
    Step {
        stage: stage.name(),
        origins: vec![Origin::BuiltIn],
        what: what.into(),
        act: Act::BuiltIn(stage),
        undo: None,
        once: false,
        timeout: None,
        retries: 0,
        pause: DEFAULT_PAUSE,
        before: Vec::new(),
        after: Vec::new(),
    }
}

fn requires(release: &Descriptor) -> Step {
    let mut needs = release.requires.commands.clone();
    needs.extend(release.python.iter().map(|python| python.interpreter.clone()));
    let files = release.config.values().filter_map(|file| file.required());
    needs.extend(files.map(str::to_owned));
    let inputs = release.inputs.iter();
    let inputs = inputs.filter(|(_, input)| input.required && input.default.is_none());
    needs.extend(inputs.map(|(name, _)| format!("input {name}")));
    needs.sort();
    needs.dedup();
    let space = cutover_terminal::bytes(space(release));
    needs.push(format!("{space} of free space"));
    if let Some(schema) = &release.schema {
        needs.push(format!("a database at schema {}", schema.accepted()));
    }
    let count = needs.len();
    let (names, rest) = needs.split_at(count - 1 - usize::from(release.schema.is_some()));
    let names = if names.is_empty() { String::new() } else { format!("{}; ", names.join(", ")) };
    step(BuiltIn::Requires, format!("{names}{}", rest.join("; ")))
}

/// Bytes that an install of `release` may take at most: the files in whole blocks, and for a Python
/// environment a generous multiple of its wheels.
#[must_use]
pub fn space(release: &Descriptor) -> u64 {
    const BLOCK: u64 = 4096;
    const UNPACKED_WHEEL: u64 = 6;
    let wheels: u64 = match release.python {
        Some(_) => {
            let python = release.vendored.iter().filter(|vendored| vendored.kind == "python");
            python.map(|wheel| wheel.size).fold(0, u64::saturating_add)
        }
        None => 0,
    };
    let files = release.files.bytes.saturating_add(release.files.entries.saturating_mul(BLOCK));
    files.saturating_add(wheels.saturating_mul(UNPACKED_WHEEL))
}

fn bring(release: &Descriptor) -> Vec<Step> {
    let bundle = release.bundle();
    let size = cutover_terminal::bytes(bundle.size);
    let tables = format!("{}, {}, and what of it is here", release.files.file, bundle.frames.file);
    let contents = format!(
        "{}, {size} at most: {} entries, {}, into releases/{}",
        bundle.file,
        release.files.entries,
        cutover_terminal::bytes(release.files.bytes),
        release.version
    );
    let mut steps = vec![
        step(BuiltIn::Fetch, tables),
        step(BuiltIn::Verify, format!("{} sha256 {}", bundle.frames.file, bundle.frames.sha256)),
        step(BuiltIn::Unpack, contents),
    ];
    if let Some(python) = &release.python {
        let what =
            format!("{} in {}, offline from {}", python.requirements, python.env, python.wheels);
        steps.push(step(BuiltIn::Build, what));
    }
    if !release.config.is_empty() {
        steps.push(step(BuiltIn::Configure, configure(release)));
    }
    steps.push(step(BuiltIn::Seal, "all of it is on disk before anything leads there"));
    steps
}

fn configure(release: &Descriptor) -> String {
    let paths = |rendered: bool| -> Vec<&str> {
        let files = release.config.iter();
        let files = files.filter(|(_, file)| file.template().is_some() == rendered);
        files.map(|(path, _)| path.as_str()).collect()
    };
    let parts = [("link", paths(false)), ("render", paths(true))];
    let parts = parts.iter().filter(|(_, paths)| !paths.is_empty());
    let parts: Vec<String> =
        parts.map(|(verb, paths)| format!("{verb} {}", paths.join(", "))).collect();
    parts.join("; ")
}

fn renew(renewal: &Renewal) -> String {
    match renewal {
        Renewal::Files(paths) => {
            let paths: Vec<&str> = paths.iter().map(RelPath::as_str).collect();
            format!("render {} beside what holds", paths.join(", "))
        }
        Renewal::Needless | Renewal::Wanted => "nothing would be rendered otherwise".to_owned(),
    }
}

fn pool(changeover: Changeover, situation: &Situation) -> Vec<Step> {
    let Some(pool) = &situation.pool else { return Vec::new() };
    // Beside what runs, a newcomer starts unnoticed: there is nothing to leave the pool for.
    if !changeover.pauses() {
        return Vec::new();
    }
    vec![
        step(BuiltIn::Depool, format!("out of {}", pool)),
        step(BuiltIn::Repool, format!("into {}", pool)),
    ]
}

fn change(
    changeover: Changeover,
    situation: &Situation,
    release: &Descriptor,
    renewal: Option<&Renewal>,
) -> Vec<Step> {
    let version = &release.version;
    let serving = match &situation.gate {
        GateSituation::Up { serving: Some(serving) } => Some(serving),
        _ => None,
    };
    let switch = match renewal {
        Some(_) => format!("config/{version}/current -> what was rendered"),
        None => format!("current -> releases/{version}"),
    };
    let mut steps = vec![step(BuiltIn::Switch, switch)];
    let end = |stage| {
        serving.map(|old| match renewal {
            Some(_) => step(stage, format!("drain and stop {old} as it ran before")),
            None => step(stage, format!("drain and stop {old}")),
        })
    };
    match changeover {
        Changeover::None => return Vec::new(),
        Changeover::Files => steps.extend(end(BuiltIn::Stop)),
        Changeover::BlueGreen => {
            steps.extend(begin(release));
            steps.extend(end(BuiltIn::Drain));
        }
        Changeover::InPlace => {
            steps.extend(begin(release));
            steps.push(step(BuiltIn::Open, "requests go to what was started"));
            steps.extend(end(BuiltIn::Drain));
        }
        Changeover::Beside => {
            if situation.gate == (GateSituation::Beside { runs: true }) {
                steps.push(step(BuiltIn::Backoff, "the gate counts from here on"));
                steps.push(step(BuiltIn::Open, "the gate has learned how long it took"));
            }
        }
        Changeover::Hold | Changeover::Backoff => {
            steps.push(match changeover {
                Changeover::Hold => step(BuiltIn::Hold, "requests wait"),
                _ => step(BuiltIn::Backoff, "requests get 503 with Retry-After"),
            });
            steps.extend(end(BuiltIn::Stop));
            steps.extend(begin(release));
            steps.push(step(BuiltIn::Open, format!("requests go to {version}")));
        }
    }
    steps
}

fn begin(release: &Descriptor) -> [Step; 2] {
    let health = release.service.as_ref().map_or_else(String::new, |service| {
        format!("GET {} within {}", service.health.path, service.health.within)
    });
    let start = format!("start {}", release.version);
    [step(BuiltIn::Start, start), step(BuiltIn::Health, health)]
}
