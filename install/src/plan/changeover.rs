//! How a node changes over, and in which order that goes through the built-in stages.

use cutover_formats::descriptor::{Descriptor, Swap};
use cutover_formats::stage::BuiltIn;

use super::{Changeover, GateSituation, Renewal, Situation};

/// The places of all built-in stages, in order. A stage that this change-over leaves out keeps
/// its place, empty, so that whatever stands before or after it has one too.
pub(super) fn places(changeover: Changeover) -> Vec<BuiltIn> {
    use BuiltIn::{Health, Start, Stop, Switch};
    let mut places: Vec<BuiltIn> = BuiltIn::ALL.to_vec();
    let moved: &[BuiltIn] = match changeover {
        // The newcomer is started and seen to be healthy first.
        Changeover::BlueGreen | Changeover::None => return places,
        Changeover::Hold | Changeover::Backoff | Changeover::Beside | Changeover::InPlace => {
            &[Switch, Start, Health]
        }
        // There is no newcomer to be stopped for.
        Changeover::Files => &[Switch, Stop, Start, Health],
    };
    let at = places.iter().position(|stage| moved.contains(stage)).unwrap_or(0);
    places.retain(|stage| !moved.contains(stage));
    places.splice(at..at, moved.iter().copied());
    places
}

/// Decides by what runs and what is wished for.
pub(super) fn choose(
    situation: &Situation,
    release: &Descriptor,
    swap: Option<Swap>,
    renewal: Option<&Renewal>,
) -> Changeover {
    if renewal == Some(&Renewal::Needless) {
        return Changeover::None;
    }
    let version = &release.version;
    let is_current = situation.current.as_ref() == Some(version)
        && situation.sealed.contains(version)
        && renewal.is_none();
    let beside = if renewal.is_some() { Changeover::InPlace } else { Changeover::BlueGreen };
    match (&situation.gate, &release.service) {
        (GateSituation::Beside { .. }, _) if !is_current => Changeover::Beside,
        (GateSituation::None | GateSituation::Down | GateSituation::Beside { .. }, _)
        | (_, None)
            if is_current =>
        {
            Changeover::None
        }
        (GateSituation::Up { serving }, Some(_))
            if is_current && serving.as_ref() == Some(version) =>
        {
            Changeover::None
        }
        (GateSituation::None | GateSituation::Down | GateSituation::Beside { .. }, _)
        | (_, None) => Changeover::Files,
        (GateSituation::Up { serving: None }, Some(_)) => beside,
        (GateSituation::Up { serving: Some(_) }, Some(service)) => {
            match swap.unwrap_or(service.swap) {
                Swap::BlueGreen => beside,
                Swap::Hold => Changeover::Hold,
                Swap::Backoff => Changeover::Backoff,
            }
        }
    }
}

/// What the operator should know of it.
pub(super) fn notes(situation: &Situation, release: &Descriptor) -> Vec<String> {
    match (&situation.gate, &release.service) {
        (GateSituation::Down, Some(_)) => vec![
            "the gate is not running: no request is held and no service is started or stopped; \
             the next `install gate` serves what `current` names"
                .to_owned(),
        ],
        (GateSituation::Up { .. }, None) => vec![
            "the release has no [service]: the gate has nothing to run, and answers 503".to_owned(),
        ],
        (GateSituation::Beside { runs: false }, _) => {
            vec!["the gate is not running: the front end has nobody to turn to".to_owned()]
        }
        _ => Vec::new(),
    }
}
