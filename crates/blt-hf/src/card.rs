//! What a repository's card says of its licence.

use std::fmt;

/// The licence of a repository, as its owner wrote it into the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence {
    /// Its identifier, `other` for those without one.
    pub id: String,
    /// Its name, where the identifier says nothing.
    pub name: Option<String>,
    /// Where its text is.
    pub link: Option<String>,
}

impl Licence {
    /// The licence in the text of a `README.md`: `license`, `license_name` and `license_link` of its front matter.
    pub fn from_card(card: &str) -> Option<Self> {
        let mut lines = card.trim_start_matches('\u{feff}').lines();
        if lines.next()?.trim_end() != "---" {
            return None;
        }
        let (mut id, mut name, mut link) = (None, None, None);
        let mut is_list = false; // `license:` with its values on lines of their own
        for line in lines.take_while(|line| line.trim_end() != "---") {
            if is_list && let Some(item) = line.trim_start().strip_prefix("- ") {
                id.get_or_insert_with(|| plain(item));
                continue;
            }
            is_list = false;
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = Some(plain(value)).filter(|value| !value.is_empty());
            match key {
                "license" if value.is_none() => is_list = true,
                "license" => id = value,
                "license_name" => name = value,
                "license_link" => link = value,
                _ => {}
            }
        }
        Some(Self { id: id?, name, link })
    }
}

/// A scalar without quotes, brackets and comments.
fn plain(value: &str) -> String {
    let value = value.split(" #").next().unwrap_or_default();
    value
        .trim()
        .trim_matches(['"', '\'', '[', ']'])
        .trim()
        .chars()
        .filter(|char| !char.is_control())
        .take(200)
        .collect()
}

/// `ID`, or `NAME (ID)`, and the link.
impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.id)?,
            None => f.write_str(&self.id)?,
        }
        self.link.as_ref().map_or(Ok(()), |link| write!(f, ", {link}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_read_from_the_front_matter_only() {
        let check = |card: &str, expected: Option<&str>| {
            assert_eq!(Licence::from_card(card).map(|licence| licence.to_string()).as_deref(), expected, "{card}");
        };
        check("---\nlicense: cc-by-nc-4.0\ntags:\n- x\n---\n# License: mit\n", Some("cc-by-nc-4.0"));
        check(
            "---\nlicense: other # ours\nlicense_name: \"fair\"\nlicense_link: LICENSE\n---\n",
            Some("fair (other), LICENSE"),
        );
        check("---\r\nlicense:\r\n- mit\r\n- apache-2.0\r\n---\r\n", Some("mit"));
        check("---\nprompt: |\n  license: x\nlicense: mit\n---\n", Some("mit"));
        check("license: mit\n", None);
        check("---\ntags: x\n---\nlicense: mit\n", None);
        check("", None);
    }
}
