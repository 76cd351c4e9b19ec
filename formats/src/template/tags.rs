//! How long tags may be, counted before the engine parses them.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::TemplateError;
use crate::path::RelPath;

/// Most words and signs of one tag: what nests in it nests no deeper.
const MOST: usize = 400;

/// Most words and signs of all tags: no value nests much deeper.
const MOST_IN_ALL: usize = 10_000;

/// Most `elif` of a template: each nests in the one before.
const MOST_ELIF: usize = 100;

/// Refuses what the engine could only parse with much stack or time.
pub(super) fn check(
    path: &RelPath,
    text: &str,
    syntax: &SyntaxConfig,
) -> Result<(), TemplateError> {
    let (mut words, mut in_all, mut elifs) = (0, 0, 0);
    for token in tokenize(text, false, syntax.clone()) {
        let (token, span) = token.map_err(|error| TemplateError::of(path, &error))?;
        match token {
            Token::VariableStart | Token::BlockStart => words = 0,
            Token::Ident("elif") => elifs += 1,
            _ => {}
        }
        words += 1;
        in_all += 1;
        let line = Some(usize::from(span.start_line));
        if words > MOST {
            let what = format!("a tag has more than {MOST} words and signs");
            return Err(TemplateError::at(path, line, what));
        }
        if in_all > MOST_IN_ALL {
            let what = format!("its tags have more than {MOST_IN_ALL} words and signs");
            return Err(TemplateError::at(path, line, what));
        }
        if elifs > MOST_ELIF {
            let what = format!("there are more than {MOST_ELIF} `elif`");
            return Err(TemplateError::at(path, line, what));
        }
    }
    Ok(())
}
