//! What the database says before anything is fetched, after the migration, and on the way back.

use cutover_formats::descriptor::Descriptor;
use cutover_formats::schema::Schema;
use cutover_formats::version::Version;

use super::UnderWay;
use super::failure::StageError;
use crate::plan::Step;
use crate::schema::{self, SchemaError};

impl UnderWay<'_> {
    /// Refuses a release that does not work with the database as it is.
    pub(super) fn database_fits(&mut self, release: &Descriptor) -> Result<(), StageError> {
        let Some(wanted) = &release.schema else { return Ok(()) };
        let Some(found) = self.database()? else { return Ok(()) };
        if wanted.takes(found) {
            return Ok(());
        }
        let (to, from) = (&self.opening.to, self.opening.from.as_ref());
        let mut others = schema::here(self.node)?;
        if let Some(mirrors) = self.mirrors {
            others.extend(schema::published(self.node, mirrors, to, from));
        }
        let nearest = schema::nearest(to, from, found, &others).cloned();
        let (version, accepted) = (to.clone(), wanted.accepted());
        Err(SchemaError::Refused { version, accepted, found, nearest }.into())
    }

    /// After the stage that brings the schema forward: it must be what the release is for.
    pub(super) fn database_brought(&mut self, step: &Step) -> Result<(), StageError> {
        let Some(wanted) = self.schema_of(&self.opening.to)? else { return Ok(()) };
        if wanted.migrate != step.stage {
            return Ok(());
        }
        match self.database()? {
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
        let (Ok(Some(wanted)), Ok(Some(found))) = (self.schema_of(&from), self.database()) else {
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

    /// The version that the database is at; `None` where the node does not say how to ask.
    fn database(&mut self) -> Result<Option<u64>, StageError> {
        let Some(settings) = &self.node.settings.schema else { return Ok(None) };
        Ok(Some(schema::ask(settings, &mut self.scene())?))
    }
}
