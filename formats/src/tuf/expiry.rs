//! How early people are warned that metadata expires.

/// How many days before a role expires people are told.
///
/// 30; but a timestamp holds for 14 days altogether and is signed anew by a timer, so that fewer
/// than 5 mean that the timer has failed for more than a week.
#[must_use]
pub fn warn_days(role: &str) -> i64 {
    if role == "timestamp" { 5 } else { 30 }
}
