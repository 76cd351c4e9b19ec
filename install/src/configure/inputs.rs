//! What the node gives for what a release asks: settled, or all that is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use cutover_formats::descriptor::Descriptor;
use cutover_formats::input::{Input, InputName, Kind, Value};
use cutover_formats::node_toml::{Given, SecretSource};
use cutover_formats::template::Values;
use cutover_repository::trusted_users::TrustedUsers;
use cutover_terminal::quoted;
use serde::Serialize;

use super::secret::{self, ReadSecret, SecretError};
use crate::root::Root;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// From the release.
    Default,
    /// From `node.toml`.
    Node,
}

/// What one input comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled<'a> {
    /// A value, for everybody to see.
    Plain(&'a Value, Origin),
    /// A secret, to be read when it is needed.
    Secret(&'a SecretSource),
    /// Nothing, and nothing is needed.
    Absent,
    /// What is wrong with it stands among the problems.
    Wrong,
}

/// What all inputs of a release come to.
#[derive(Debug)]
pub struct Settlement<'a> {
    /// Each input that the release declares.
    pub inputs: BTreeMap<&'a InputName, (&'a Input, Settled<'a>)>,
    /// All that is wrong, by name.
    pub problems: Vec<InputProblem>,
}

/// An input that cannot be settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputProblem {
    /// The node must give it and does not.
    #[error("node.toml gives no `{name}` in [inputs]: {wants}{}", for_people(description))]
    Missing {
        /// The input.
        name: InputName,
        /// What is expected.
        wants: &'static str,
        /// What the release says of it.
        description: String,
    },
    /// No release here asks for it.
    #[error(
        "node.toml gives `{name}` in [inputs], which the release does not ask for{}",
        perhaps(near)
    )]
    Unknown {
        /// What is given.
        name: InputName,
        /// What may be meant.
        near: Option<String>,
    },
    /// It is something else than is asked for.
    #[error("node.toml gives `{name}` in [inputs] as {found}, where {wants} is wanted")]
    Mistyped {
        /// The input.
        name: InputName,
        /// What is expected.
        wants: &'static str,
        /// What is given.
        found: String,
    },
    /// A secret that everybody could read in `node.toml`; it is not repeated here.
    #[error(
        "node.toml gives the secret `{0}` in [inputs] itself; say where it is: {{ file = \"…\" }} or \
         {{ command = [\"…\"] }}"
    )]
    Open(InputName),
    /// What is no secret is given as one.
    #[error("node.toml gives `{name}` in [inputs] like a secret, where {wants} itself is wanted")]
    Hidden {
        /// The input.
        name: InputName,
        /// What is expected.
        wants: &'static str,
    },
    /// A secret cannot be read.
    #[error("the secret `{name}`: {error}")]
    Unreadable {
        /// The input.
        name: InputName,
        /// Why not.
        error: SecretError,
    },
    /// A secret is something else than is asked for.
    #[error("the secret `{name}` is not {wants}")]
    WrongSecret {
        /// The input.
        name: InputName,
        /// What is expected.
        wants: &'static str,
    },
}

fn for_people(description: &str) -> String {
    if description.is_empty() { String::new() } else { format!(", {description}") }
}

fn perhaps(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!("; perhaps `{near}` is meant"))
}

/// Settles what `declared` asks for with what the node gives.
///
/// What is given for no declared input is refused, but for what releases that are `elsewhere` on the
/// node declare: else a node could not go back to a release that asks for less.
#[must_use]
pub fn settle<'a>(
    declared: &'a BTreeMap<InputName, Input>,
    given: &'a BTreeMap<InputName, Given>,
    elsewhere: &BTreeSet<InputName>,
) -> Settlement<'a> {
    let mut problems = Vec::new();
    let mut inputs = BTreeMap::new();
    for (name, input) in declared {
        let settled = settle_one(name, input, given.get(name)).unwrap_or_else(|problem| {
            problems.push(problem);
            Settled::Wrong
        });
        inputs.insert(name, (input, settled));
    }
    for name in given.keys() {
        if !declared.contains_key(name) && !elsewhere.contains(name) {
            let names = declared.keys().map(InputName::as_str);
            let near = cutover_terminal::nearest(name.as_str(), names);
            let near = near.first().map(|near| (*near).to_owned());
            problems.push(InputProblem::Unknown { name: name.clone(), near });
        }
    }
    Settlement { inputs, problems }
}

/// What the node says of a secret.
const SECRET: &str = "a secret, as { file = \"…\" } or { command = [\"…\"] }";

fn settle_one<'a>(
    name: &InputName,
    input: &'a Input,
    given: Option<&'a Given>,
) -> Result<Settled<'a>, InputProblem> {
    let (name, wants) = (name.clone(), input.kind.wants());
    match (given, &input.default) {
        (Some(Given::Plain(_)), _) if input.secret => Err(InputProblem::Open(name)),
        (Some(Given::Plain(value)), _) if input.kind.accepts(value) => {
            Ok(Settled::Plain(value, Origin::Node))
        }
        (Some(Given::Plain(value)), _) => {
            Err(InputProblem::Mistyped { name, wants, found: value.described() })
        }
        (Some(Given::Secret(source)), _) if input.secret => Ok(Settled::Secret(source)),
        (Some(Given::Secret(_)), _) => Err(InputProblem::Hidden { name, wants }),
        (None, Some(default)) => Ok(Settled::Plain(default, Origin::Default)),
        (None, None) if input.required => {
            let description = input.description.clone();
            let wants = if input.secret { SECRET } else { wants };
            Err(InputProblem::Missing { name, wants, description })
        }
        (None, None) => Ok(Settled::Absent),
    }
}

/// Everything that templates are given, twice: as it is, and with a stand-in for each secret.
#[derive(Debug)]
pub struct Inputs {
    real: Values,
    masked: Values,
    secrets: BTreeSet<InputName>,
    readers: Option<u32>,
    warnings: Vec<String>,
}

impl Inputs {
    /// The same for a service whose group, by its number, has to read what is rendered.
    #[must_use]
    pub fn read_by(self, readers: Option<u32>) -> Self {
        Self { readers, ..self }
    }

    /// The group that has to read what is rendered, where it is another than the installer's.
    #[must_use]
    pub fn readers(&self) -> Option<u32> {
        self.readers
    }

    /// What the operator should know of the secrets' files.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Reads the secrets, whose files must belong to one of `users`; all that is wrong, if anything is.
    pub fn read(
        root: &Root,
        release: &Descriptor,
        mut settlement: Settlement<'_>,
        users: &TrustedUsers,
    ) -> Result<Self, Vec<InputProblem>> {
        let mut warnings = Vec::new();
        let mut problems = std::mem::take(&mut settlement.problems);
        let mut real = built_in(root, release);
        for (name, (input, settled)) in &settlement.inputs {
            match *settled {
                Settled::Plain(value, _) => real.set(name.as_str(), value),
                Settled::Absent | Settled::Wrong => real.set_none(name.as_str()),
                Settled::Secret(source) => match read(root, name, input.kind, source, users) {
                    Ok(ReadSecret { text, open_to_all }) => {
                        real.set_text(name.as_str(), text.reveal());
                        warnings.extend(open_to_all.map(|path| {
                            let (shown, path) = (path.display(), quoted(&path));
                            format!(
                                "the secret `{name}`: everybody can read {shown}; `chmod o-r {path}`"
                            )
                        }));
                    }
                    Err(problem) => problems.push(problem),
                },
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { real, warnings, ..Self::masked(root, release, &settlement) })
    }

    /// Reads no secret: stand-ins for them, and for what is missing, take the place of both.
    #[must_use]
    pub fn masked(root: &Root, release: &Descriptor, settlement: &Settlement<'_>) -> Self {
        let mut masked = built_in(root, release);
        let mut secrets = BTreeSet::new();
        for (name, (_, settled)) in &settlement.inputs {
            match *settled {
                Settled::Plain(value, _) => masked.set(name.as_str(), value),
                Settled::Absent => masked.set_none(name.as_str()),
                Settled::Wrong => masked.set_text(name.as_str(), &format!("<missing {name}>")),
                Settled::Secret(_) => {
                    masked.set_text(name.as_str(), &format!("<secret {name}>"));
                    secrets.insert((*name).clone());
                }
            }
        }
        Self { real: masked.clone(), masked, secrets, readers: None, warnings: Vec::new() }
    }

    /// The values as they are.
    #[must_use]
    pub fn real(&self) -> &Values {
        &self.real
    }

    /// The values with a stand-in for each secret.
    #[must_use]
    pub fn stand_ins(&self) -> &Values {
        &self.masked
    }

    /// Whether `name` stands for a secret.
    #[must_use]
    pub fn is_secret(&self, name: &str) -> bool {
        self.secrets.contains(name)
    }
}

fn read(
    root: &Root,
    name: &InputName,
    kind: Kind,
    source: &SecretSource,
    users: &TrustedUsers,
) -> Result<ReadSecret, InputProblem> {
    let secret = secret::read(root, source, users)
        .map_err(|error| InputProblem::Unreadable { name: name.clone(), error })?;
    if kind.accepts_text(secret.text.reveal()) {
        return Ok(secret);
    }
    Err(InputProblem::WrongSecret { name: name.clone(), wants: kind.wants() })
}

/// What every template has.
fn built_in(root: &Root, release: &Descriptor) -> Values {
    let mut values = Values::default();
    values.set_text("product", release.product.as_str());
    values.set_text("version", &release.version.to_string());
    values.set_text("root", &root.path().to_string_lossy());
    values.set_text("prefix", &root.prefix(&release.version).to_string_lossy());
    values
}

#[cfg(test)]
mod tests;
