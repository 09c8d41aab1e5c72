//! Errors with their causes in words, for logs, problems and people. Nothing that is hashed has words.

use std::error::Error;

/// An error with its causes, in one line.
pub fn in_one_line(error: &dyn Error) -> String {
    chain(error, |_, _| true)
}

/// An error with its causes, in one sentence; a cause that the sentence has already is left out.
pub fn in_a_sentence(error: &dyn Error) -> String {
    chain(error, |text, cause| !text.contains(cause))
}

fn chain(error: &dyn Error, is_news: impl Fn(&str, &str) -> bool) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if is_news(&text, &part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Told>>);

    #[test]
    fn causes_follow_and_a_sentence_says_nothing_twice() {
        let error = Told("file a: no room", Some(Box::new(Told("no room", Some(Box::new(Told("ENOSPC", None)))))));
        assert_eq!(in_one_line(&error), "file a: no room: no room: ENOSPC");
        assert_eq!(in_a_sentence(&error), "file a: no room: ENOSPC");
    }
}
