//! What an install would refuse, found by `install plan` and `--dry-run` without doing any of it.
//!
//! The stages that only look are gone through as an install goes through them: `requires` in full, of
//! `fetch` whether the names can stand here, of `verify` the file list and what the node would put beside its
//! files, of `configure` the templates with the values of now. So a plan that is printed is one that an install begins with, and one that would be
//! refused ends with the same exit status.

use cutover_formats::bundle::Layout;
use cutover_formats::filelist::FileList;
use cutover_formats::stage::BuiltIn;
use cutover_repository::mirrors::Mirrors;
use cutover_terminal::{Failure, Output};

use crate::configure::inputs::Inputs;
use crate::configure::render::{Source, render, sources, sources_in};
use crate::configure::{ConfigError, Links};
use crate::contents::{self, Figures};
use crate::disk::Folder;
use crate::fetch;
use crate::folding::{self, FoldingError};
use crate::node::Node;
use crate::plan::{Act, Plan, Step};
use crate::requires;
use crate::resolve::Release;
use crate::situation;
use crate::stage::Scene;
use crate::transaction::bring::stock;
use crate::transaction::fits;

/// A plan that is looked at.
pub(crate) struct Examined<'a> {
    pub(crate) node: &'a Node,
    pub(crate) plan: &'a Plan,
    pub(crate) release: &'a Release,
    /// Where its contents come from; what is on the node already needs none.
    pub(crate) mirrors: Option<&'a Mirrors<'a>>,
    pub(crate) output: &'a Output,
}

/// What the stages before have found.
#[derive(Default)]
struct Seen {
    inputs: Option<Inputs>,
    list: Option<FileList>,
    figures: Option<Figures>,
}

impl Examined<'_> {
    /// The first thing that would be refused, as the stage that would do so tells it; else where the
    /// contents come from, if they are brought. Nothing is changed.
    pub(crate) fn refuse(&self) -> Result<Option<Figures>, Failure> {
        let mut seen = Seen::default();
        for step in &self.plan.steps {
            self.step(step, &mut seen).map_err(|failure| Failure {
                message: format!("{}: {}", step.stage, failure.message),
                ..failure
            })?;
        }
        Ok(seen.figures)
    }

    fn step(&self, step: &Step, seen: &mut Seen) -> Result<(), Failure> {
        let (root, descriptor) = (&self.node.root, &self.release.descriptor);
        let Act::BuiltIn(stage) = step.act else { return Ok(()) };
        match (stage, self.mirrors) {
            (BuiltIn::Requires, _) => seen.inputs = Some(self.requires()?),
            (BuiltIn::Fetch, Some(mirrors)) => {
                self.names(self.list(mirrors, &mut seen.list)?)?;
            }
            (BuiltIn::Verify, Some(mirrors)) => {
                let list = self.list(mirrors, &mut seen.list)?;
                Links::plan(root, descriptor, list)?;
                seen.figures = Some(self.figures(mirrors, list)?);
            }
            (BuiltIn::Configure, _) if descriptor.renders() => {
                let sources = self.sources(&mut seen.list)?;
                if let Some(inputs) = &seen.inputs {
                    render(&sources, inputs)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The file list, asked for once.
    fn list<'a>(
        &self,
        mirrors: &Mirrors<'_>,
        seen: &'a mut Option<FileList>,
    ) -> Result<&'a FileList, Failure> {
        let list = match seen.take() {
            Some(list) => list,
            None => mirrors.ask(|store| fetch::file_list(store, &self.release.descriptor))?.0,
        };
        Ok(seen.insert(list))
    }

    /// Names are tried out where the release would stand. Whoever may only look at the node is told that
    /// they were not.
    fn names(&self, list: &FileList) -> Result<(), Failure> {
        match folding::check(&self.node.root, list) {
            Err(FoldingError::Disk(error)) => {
                let what = "whether names of the release that differ by little can stand here";
                self.output.warn(format!("{what} was not tried out: {error}"));
                Ok(())
            }
            checked => Ok(checked?),
        }
    }

    fn figures(&self, mirrors: &Mirrors<'_>, list: &FileList) -> Result<Figures, Failure> {
        let Self { node, release: Release { descriptor, .. }, .. } = self;
        let layout = Layout::new(list);
        let (table, _) = mirrors.ask(|store| fetch::frame_table(store, descriptor, &layout))?;
        let stock = stock(node, &node.root, descriptor, list)?;
        Ok(contents::plan(list, &stock.have(), &table).figures)
    }

    fn requires(&self) -> Result<Inputs, Failure> {
        let Self { node, plan, release, mirrors, output } = *self;
        let inputs = requires::check_things(node, &release.descriptor)?;
        inputs.warnings().iter().for_each(|warning| output.warn(warning));
        if plan.brings() {
            requires::check_space(&node.root, &release.descriptor)?;
        }
        let mut gate = situation::gate(node)?;
        let (from, to, id) = (plan.from.as_ref(), &plan.to, "plan");
        let mut scene = Scene { node, from, to, id, output, gate: gate.as_mut(), alone: None };
        fits(&release.descriptor, mirrors, &mut scene)?;
        Ok(inputs)
    }

    fn sources(&self, list: &mut Option<FileList>) -> Result<Vec<Source>, Failure> {
        let (root, release) = (&self.node.root, &self.release.descriptor);
        match self.mirrors.filter(|_| self.plan.brings()) {
            Some(mirrors) => sources_at(mirrors, self.list(mirrors, list)?, self.release),
            None => {
                let list = fetch::recorded_file_list(root, release)?;
                Ok(sources_in(&Folder::open(&root.prefix(&release.version))?, release, &list)?)
            }
        }
    }
}

/// The templates of a release that is not here: only they are fetched.
fn sources_at(
    mirrors: &Mirrors<'_>,
    list: &FileList,
    Release { descriptor, .. }: &Release,
) -> Result<Vec<Source>, Failure> {
    sources(descriptor, list, |path, most| {
        let bytes = fetch::member(mirrors, descriptor, list, path, most)?;
        bytes.ok_or_else(|| ConfigError::Changed(path.clone()).into())
    })
}
