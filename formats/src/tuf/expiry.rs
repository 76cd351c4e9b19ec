//! How early people are warned that metadata expires, and what they are told.

use jiff::Timestamp;

/// How many days before a role expires people are told.
///
/// 30; but a timestamp holds for 14 days altogether and is signed anew by a timer, so that fewer
/// than 5 mean that the timer has failed for more than a week.
#[must_use]
pub fn warn_days(role: &str) -> i64 {
    if role == "timestamp" { 5 } else { 30 }
}

/// Whole days until then; negative afterwards.
#[must_use]
pub fn days_left(expires: Timestamp, now: Timestamp) -> i64 {
    (expires.as_second() - now.as_second()).div_euclid(86_400)
}

/// Whole days until something expires, for people.
#[must_use]
pub fn in_words(days: i64) -> String {
    match days {
        1 => "1 day left".to_owned(),
        0.. => format!("{days} days left"),
        _ => "expired".to_owned(),
    }
}

/// What is to be said, to who can sign anew, of a role that expires soon or has expired.
#[must_use]
pub fn warning(role: &str, expires: Timestamp, now: Timestamp) -> Option<String> {
    let days = days_left(expires, now);
    if days >= warn_days(role) {
        return None;
    }
    let what = match role {
        "timestamp" | "snapshot" => "`pack refresh` signs it anew".to_owned(),
        bin if bin.starts_with("releases") => "`pack keys renew releases` signs it anew".to_owned(),
        role => format!("`pack keys renew {role}` signs it anew"),
    };
    Some(match days {
        0.. => format!("{role} expires at {expires} ({}): {what}", in_words(days)),
        _ => format!("{role} has expired at {expires}: {what}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_left() {
        let shown = [-7, 0, 1, 14].map(in_words);
        assert_eq!(shown, ["expired", "0 days left", "1 day left", "14 days left"]);
    }
}
