//! Errors as one line.

use std::error::Error;

/// An error and its causes in one line, from the outermost to the innermost: for journals, and for messages about one source
/// among many.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::DecodeError;

    #[test]
    fn causes_follow_what_they_caused() {
        let error = DecodeError::from(io::Error::other("the disk is gone"));
        let text = error_chain(&error);
        assert!(text.starts_with(&error.to_string()) && text.ends_with("the disk is gone"), "{text}");
        assert_eq!(error_chain(&io::Error::other("alone")), "alone");
    }
}
