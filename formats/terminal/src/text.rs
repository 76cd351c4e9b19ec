//! Numbers as people like to read them, and words as shells do.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::time::Duration;

/// A byte count with three significant digits and a decimal unit: `9.79 MB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        small if small < 9.995 => 2,
        medium if medium < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A word of a command line that is suggested: quoted where a shell would read it otherwise. What is no
/// text is shown with replacement characters.
pub fn quoted<T: AsRef<OsStr> + ?Sized>(word: &T) -> String {
    let word = word.as_ref().to_string_lossy();
    // Only a NUL cannot be quoted, and no argument can hold one.
    shlex::try_quote(&word).map_or_else(|_| word.clone(), Cow::from).into_owned()
}

/// A length of time with sensible precision: `12 ms`, `1.35 s`, `4 min 10 s`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    match time.as_secs() {
        0 => format!("{millis} ms"),
        1..10 => format!("{:.2} s", time.as_secs_f64()),
        10..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60),
        hours => format!("{} h {} min", hours / 3600, hours / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts() {
        let shown = [0, 999, 1000, 9_794_330, 10_000_000, 999_600, 123_456_789_012].map(bytes);
        let expected = ["0 B", "999 B", "1.00 kB", "9.79 MB", "10.0 MB", "1.00 MB", "123 GB"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn durations() {
        let shown = [5, 1350, 12_340, 250_000, 7_260_000]
            .map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(shown, ["5 ms", "1.35 s", "12.3 s", "4 min 10 s", "2 h 1 min"]);
    }

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted("/srv/a-b_c.d"), "/srv/a-b_c.d");
        assert_eq!(quoted("/srv/my repo"), "'/srv/my repo'");
        assert_eq!(quoted("a'$b"), "\"a'\"'$b'");
    }
}
