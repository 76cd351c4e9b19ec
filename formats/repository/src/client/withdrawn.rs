//! Releases that were withdrawn: marks that stand on channels.

use cutover_formats::layout;
use cutover_formats::name::{Channel, Product};
use cutover_formats::tuf::json::Json;
use cutover_formats::version::Version;

use super::{Client, TrustError};

/// That, and why, a release is not to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The channel that the mark stands on.
    pub channel: Channel,
    /// Why, in the words of who withdrew it.
    pub reason: String,
}

impl Withdrawal {
    pub(super) fn new(channel: Channel, custom: Option<&Json>) -> Self {
        let reason = match custom {
            Some(Json::Object(fields)) => fields.get("reason"),
            _ => None,
        };
        let reason = match reason {
            // It is going to be printed.
            Some(Json::String(text)) => text.chars().filter(|c| !c.is_control()).collect(),
            _ => "no reason is given".to_owned(),
        };
        Self { channel, reason }
    }
}

impl Client<'_> {
    /// Whether a release is withdrawn from one channel: decided by the channel's own role, which
    /// whoever follows the channel has loaded anyway.
    pub fn withdrawn_from(
        &mut self,
        channel: &Channel,
        product: &Product,
        version: &Version,
    ) -> Result<Option<Withdrawal>, TrustError> {
        let found = self.find(&layout::withdrawn(channel, product, version))?;
        Ok(found.map(|file| Withdrawal::new(channel.clone(), file.custom())))
    }

    /// Whether a release is withdrawn from any of the channels that the repository always has.
    pub fn withdrawn(
        &mut self,
        product: &Product,
        version: &Version,
    ) -> Result<Option<Withdrawal>, TrustError> {
        for channel in self.fixed_channels()? {
            if let Some(withdrawal) = self.withdrawn_from(&channel, product, version)? {
                return Ok(Some(withdrawal));
            }
        }
        Ok(None)
    }
}
