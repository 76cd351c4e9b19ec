//! What the database says before anything is fetched, after the migration, and on the way back.

use cutover_formats::descriptor::Descriptor;
use cutover_formats::schema::Schema;
use cutover_formats::version::Version;
use cutover_repository::mirrors::Mirrors;

use super::UnderWay;
use super::failure::StageError;
use crate::plan::Step;
use crate::schema::{self, SchemaError};
use crate::stage::Scene;
use crate::standing::Standings;
use crate::withdrawn;

/// Refuses a release that does not work with the database as it is; the nearest that does is named,
/// of those on the node and in its repository.
pub(crate) fn fits(
    release: &Descriptor,
    mirrors: Option<&Mirrors<'_>>,
    scene: &mut Scene<'_>,
) -> Result<(), StageError> {
    let Some(wanted) = &release.schema else { return Ok(()) };
    let Some(found) = ask(scene)? else { return Ok(()) };
    if wanted.takes(found) {
        return Ok(());
    }
    let (to, from) = (scene.to, scene.from);
    let mut others = schema::here(scene.node)?;
    if let Some(mirrors) = mirrors {
        others.extend(schema::published(scene.node, mirrors, to));
    }
    // Nobody is sent to what runs, failed here or was withdrawn.
    // That they are not known any more was said when the release was looked for.
    let standings = Standings::load_or_forget(&scene.node.root, |_| {})?;
    let (seen, _) = withdrawn::known(scene.node);
    others.retain(|version, _| {
        let refused = standings.reason_against(version).is_some() || seen.contains_key(version);
        from != Some(version) && !refused
    });
    let nearest = schema::nearest(to, from, found, &others).cloned();
    let (version, accepted) = (to.clone(), wanted.accepted());
    Err(SchemaError::Refused { version, accepted, found, nearest }.into())
}

/// The version that the database is at; `None` where the node does not say how to ask.
fn ask(scene: &mut Scene<'_>) -> Result<Option<u64>, StageError> {
    let Some(settings) = &scene.node.settings.schema else { return Ok(None) };
    Ok(Some(schema::ask(settings, scene)?))
}

impl UnderWay<'_> {
    /// After the stage that brings the schema forward: it must be what the release is for.
    pub(super) fn database_brought(&mut self, step: &Step) -> Result<(), StageError> {
        let Some(wanted) = self.schema_of(&self.opening.to)? else { return Ok(()) };
        if wanted.migrate != step.stage {
            return Ok(());
        }
        match ask(&mut self.scene())? {
            Some(found) if found < wanted.version || !wanted.takes(found) => {
                let (version, expected) = (self.opening.to.clone(), wanted.version);
                Err(SchemaError::NotBrought { version, expected, found }.into())
            }
            _ => Ok(()),
        }
    }

    /// Says so where the release that runs again does not work with what a migration left.
    pub(super) fn warn_of_database(&mut self) {
        let Some(from) = self.opening.from.clone() else { return };
        // Only a warning: that the database cannot be asked must not keep anything from going back.
        let (Ok(Some(wanted)), Ok(Some(found))) = (self.schema_of(&from), ask(&mut self.scene()))
        else {
            return;
        };
        if !wanted.takes(found) {
            let accepted = wanted.accepted();
            self.output.warn(format!(
                "{from} works with schema {accepted}, but the database was left at {found}"
            ));
        }
    }

    fn schema_of(&self, version: &Version) -> Result<Option<Schema>, StageError> {
        match self.release {
            Some(release) if release.descriptor.version == *version => {
                Ok(release.descriptor.schema.clone())
            }
            _ => Ok(self.node.descriptor(version)?.schema),
        }
    }
}
