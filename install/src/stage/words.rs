//! What a command line means on this node.

use cutover_formats::stage::CommandLine;

use crate::placeholders::fill;

/// A value that a shell would not take as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NeedsQuoting {
    /// The placeholder.
    pub(crate) name: String,
    /// What stands for it here.
    pub(crate) value: String,
}

/// The program and arguments that a command line means here.
///
/// A shell reads what is filled into its text, so only values that mean themselves to every shell
/// go there; words are passed on as they are.
pub(crate) fn words(
    line: &CommandLine,
    values: &[(&str, String)],
) -> Result<Vec<String>, NeedsQuoting> {
    let text = match line {
        CommandLine::Words(words) => {
            return Ok(words.iter().map(|word| fill(word, values)).collect());
        }
        CommandLine::Shell(text) => text,
    };
    let used = |name: &str| text.contains(&format!("{{{name}}}"));
    match values.iter().find(|(name, value)| used(name) && !means_itself(value)) {
        Some((name, value)) => Err(NeedsQuoting { name: (*name).to_owned(), value: value.clone() }),
        None => Ok(vec!["sh".to_owned(), "-c".to_owned(), fill(text, values)]),
    }
}

/// Whether it is one word to a shell, whatever stands around it.
fn means_itself(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    !value.is_empty() && value.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_only_what_means_itself() {
        let shell = |text: &str| CommandLine::Shell(text.to_owned());
        for hostile in ["/srv/my site", "/srv/$(id)", "/srv/a;b", "/srv/'a", "/srv/a\nb", ""] {
            let values = [("root", hostile.to_owned())];
            assert_eq!(words(&shell("ls {root}"), &values).unwrap_err().name, "root", "{hostile}");
            assert!(words(&shell("ls {prefix}"), &values).is_ok());
            let plain = CommandLine::Words(vec!["ls".to_owned(), "{root}".to_owned()]);
            assert_eq!(words(&plain, &values).unwrap()[1], hostile);
        }
        let values = [("prefix", "/srv/weave/releases/1.0.0-rc.1+b7".to_owned())];
        let filled = words(&shell("ls {prefix}/x"), &values).unwrap();
        assert_eq!(filled, ["sh", "-c", "ls /srv/weave/releases/1.0.0-rc.1+b7/x"]);
    }
}
