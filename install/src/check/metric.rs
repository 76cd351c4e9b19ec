//! Prometheus' text format, as far as a threshold needs it: `name{label="value",…} number [time]`.

use cutover_formats::stage::MetricCheck;

/// Holds every sample that is meant against the bounds; there must be one.
pub(super) fn measure(check: &MetricCheck, text: &str) -> Result<(), String> {
    let mut found = false;
    for (labels, value) in text.lines().filter_map(|line| sample(line, &check.name)) {
        if !check.labels.iter().all(|(name, value)| has(&labels, name, value)) {
            continue;
        }
        found = true;
        let number: f64 = value
            .parse()
            .map_err(|_| format!("{} is `{value}`, which is no number", check.name))?;
        let (min, max) = (check.min.map(f64::from), check.max.map(f64::from));
        // Written so that NaN lies outside.
        let inside = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
        if !inside {
            let bound = match (min, max) {
                (Some(min), Some(max)) => format!("between {min} and {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => "anything".to_owned(),
            };
            return Err(format!("{} is {value}, not {bound}", check.name));
        }
    }
    if found { Ok(()) } else { Err(format!("{} has no sample of {}", check.target, check.name)) }
}

/// The labels and the value of a line, if it is a sample of `name`.
fn sample<'t>(line: &'t str, name: &str) -> Option<(Vec<(&'t str, String)>, &'t str)> {
    let rest = line.trim().strip_prefix(name)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None if rest.starts_with([' ', '\t']) => (Vec::new(), rest),
        None => return None,
    };
    Some((labels, rest.split_whitespace().next()?))
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([' ', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = quoted(rest.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim(), value));
        text = rest;
    }
}

/// What stands before the closing quote, without its escapes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

fn has(labels: &[(&str, String)], name: &str, value: &str) -> bool {
    labels.iter().any(|(known, found)| *known == name && found == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP errors_total Errors.
# TYPE errors_total counter
errors_total{code="500",path="/a,}\"b"} 3 1700000000
errors_total{ code="404" } 9
errors_total_extra 100
up 1
load NaN
broken x
"#;

    fn check(rest: &str) -> Result<(), String> {
        let text = format!("path = '/metrics'\n{rest}");
        measure(&toml::from_str(&text).unwrap(), TEXT)
    }

    #[test]
    fn samples_are_held_against_bounds() {
        for good in [
            "name = 'up'\nmin = 1",
            "name = 'errors_total'\nmax = 9\nmin = 3",
            "name = 'errors_total'\nlabels = { code = '500' }\nmax = 3",
            "name = 'errors_total'\nlabels = { path = '/a,}\"b' }\nmax = 3",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("name = 'up'\nmin = 2", "up is 1, not at least 2"),
            ("name = 'errors_total'\nmax = 8.5", "errors_total is 9, not at most 8.5"),
            ("name = 'errors_total'\nlabels = { code = '200' }\nmax = 9", "has no sample"),
            ("name = 'errors'\nmax = 9", "/metrics has no sample of errors"),
            ("name = 'load'\nmax = 9", "load is NaN"),
            ("name = 'broken'\nmax = 9", "which is no number"),
        ] {
            assert!(check(bad).unwrap_err().contains(why), "{bad}: {:?}", check(bad));
        }
    }
}
