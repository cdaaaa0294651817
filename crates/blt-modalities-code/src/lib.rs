//! Source code for byte models. The bytes stay as they are: the only view is the file itself, in whatever charset, and
//! its units come from the syntax tree: imports, comments, classes, functions with their signature and block, and the
//! stretches between them.
//!
//! ```
//! use blt_core::{Decoder, Hint, Limits};
//! use blt_modalities_code::CodeDecoder;
//!
//! let mut source = std::io::Cursor::new("import os\n\ndef f():\n    pass\n");
//! let hint = Hint { format: "python", ..Hint::default() };
//! let document = CodeDecoder::default().decode(&mut source, &hint, &Limits::default())?;
//! let labels: Vec<_> = document.views[0].units.iter().map(|unit| unit.label.as_ref()).collect();
//! # #[cfg(feature = "python")]
//! assert_eq!(labels, ["import", "space", "function"]);
//! # Ok::<(), blt_core::DecodeError>(())
//! ```
//!
//! Errors of syntax are harmless: what the grammar does not understand is `code`. Where there is no grammar, or it takes
//! too long, the units are runs of `lines`.
//!
//! Features: one for each grammar. [`LANGUAGES`] has all languages that [`language_of`] tells apart, [`is_parsed`] says
//! which of them have their grammar in this build. It does not decide whether a file is text.

mod detect;
#[cfg_attr(not(feature = "all"), allow(dead_code, unused_imports, reason = "a build without any grammar is possible"))]
mod grammar;
mod languages;
#[cfg_attr(not(feature = "all"), allow(dead_code, reason = "rules of grammars that are not in this build"))]
mod rules;
mod syntax;
mod tile;
mod yaml;

use std::time::{Duration, Instant};

use blt_core::{DecodeError, Decoder, Document, Hint, Limits, Modality, SourceReader, View, read_whole};
use serde::{Deserialize, Serialize};

pub use detect::{guess_language, language_of};
pub use languages::{LANGUAGES, Language, language, language_by_name};

use grammar::{Ready, grammar};
use syntax::{Failure, Finder, parse};

/// Makes documents of source code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CodeDecoder {
    /// Larger sources are not parsed; their units are runs of lines. In bytes.
    pub max_parse_bytes: u64,
    /// Parsing that takes longer is given up, in seconds. [`Limits::timeout`] holds beside it.
    pub max_parse_seconds: u64,
}

impl Default for CodeDecoder {
    fn default() -> Self {
        Self { max_parse_bytes: 8 << 20, max_parse_seconds: 5 }
    }
}

impl Decoder for CodeDecoder {
    fn modality(&self) -> Modality {
        Modality::Code
    }

    fn decode(&self, source: &mut dyn SourceReader, hint: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let found = source.n_bytes()?;
        if found > limits.max_bytes {
            return Err(DecodeError::TooLarge { found, limit: limits.max_bytes });
        }
        let bytes = read_whole(source, limits)?;
        let head = &bytes[..bytes.len().min(HEAD_BYTES)];
        let id = if hint.format.is_empty() { language_of(hint.name, head).unwrap_or_default() } else { hint.format };
        let media_type = language(id).map_or("text/plain", |language| language.media_type);
        let mut view = View::raw(Modality::Code, media_type);
        let mut problems = Vec::new();
        let seconds = self.max_parse_seconds.min(limits.timeout);
        view.units = match self.syntax_units(id, &bytes, seconds, limits.max_units) {
            Ok(units) => units,
            Err(failure) => {
                if failure == Failure::Timeout {
                    problems.push(format!("parsing it as {id} took longer than {seconds} seconds"));
                }
                tile::runs_of_lines(&bytes, limits.max_units)
            }
        };
        Ok(Document { problems, ..Document::new(Modality::Code, media_type, vec![view]) })
    }
}

/// So much of a source is looked at to tell its language.
const HEAD_BYTES: usize = 16 << 10;
/// The grammars count bytes in 32 bits.
const MAX_PARSE_BYTES: u64 = 1 << 30;

impl CodeDecoder {
    fn syntax_units(
        &self,
        id: &str,
        bytes: &[u8],
        seconds: u64,
        max_units: usize,
    ) -> Result<Vec<blt_core::Unit>, Failure> {
        if bytes.len() as u64 > self.max_parse_bytes.min(MAX_PARSE_BYTES) {
            return Err(Failure::TooMany);
        }
        let deadline = deadline(Duration::from_secs(seconds));
        let root = Finder::new(deadline, max_units).find(id, bytes)?;
        tile::units(bytes, root, max_units).ok_or(Failure::TooMany)
    }
}

/// Whether this build finds the units of the language `id`: it has its grammar, or needs none.
pub fn is_parsed(id: &str) -> bool {
    id == "yaml" || grammar(id).is_some()
}

/// How many of the bytes lie in stretches that are no syntax of the language `id`; none without its grammar, or after
/// five seconds.
pub fn n_error_bytes(id: &str, bytes: &[u8]) -> Option<usize> {
    let tree = parse(&Ready::new(grammar(id)?), bytes, deadline(Duration::from_secs(5)))?;
    let mut cursor = tree.walk();
    let mut n_bytes = 0;
    loop {
        let node = cursor.node();
        if node.is_error() {
            n_bytes += node.byte_range().len();
        } else if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Some(n_bytes);
            }
        }
    }
}

fn deadline(from_now: Duration) -> Instant {
    let now = Instant::now();
    // An unreachably late deadline is as good as a day.
    now.checked_add(from_now).unwrap_or_else(|| now + Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn decode(id: &str, bytes: &[u8]) -> Document {
        let hint = Hint { format: id, ..Hint::default() };
        let document = CodeDecoder::default().decode(&mut Cursor::new(bytes), &hint, &Limits::default()).unwrap();
        document.views[0].check_units(bytes.len() as u64).unwrap_or_else(|fault| panic!("{id}: {fault}"));
        document
    }

    /// One line for each unit: its label and name, indented by level, and its text.
    fn outline(id: &str, text: &str) -> String {
        let document = decode(id, text.as_bytes());
        let units = &document.views[0].units;
        let mut lines = String::new();
        for unit in units {
            let level = std::iter::successors(unit.parent, |parent| units[*parent].parent).count();
            let name = unit.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
            let (start, end) = (unit.range.start as usize, unit.range.end as usize);
            lines += &format!("{}{}{name} {:?}\n", "  ".repeat(level), unit.label, &text[start..end]);
        }
        lines
    }

    #[cfg(feature = "rust")]
    #[test]
    fn rust_items_have_their_attributes_and_methods() {
        let text = "use a;\nuse b;\n\n/// Doc.\n#[derive(Debug)]\nstruct A;\nimpl A {\n    /// Doc.\n    fn f(&self, one: usize) -> usize {\n        let name = one + one + one + one;\n        name\n    }\n}\n";
        let expected = r##"import "use a;\nuse b;\n"
space "\n"
comment "/// Doc.\n"
struct A "#[derive(Debug)]\nstruct A;\n"
impl A "impl A {\n    /// Doc.\n    fn f(&self, one: usize) -> usize {\n        let name = one + one + one + one;\n        name\n    }\n}\n"
  signature "impl A {\n"
  comment "    /// Doc.\n"
  method f "    fn f(&self, one: usize) -> usize {\n        let name = one + one + one + one;\n        name\n    }\n"
    signature "    fn f(&self, one: usize) -> usize "
    block "{\n        let name = one + one + one + one;\n        name\n    }\n"
  code "}\n"
"##;
        assert_eq!(outline("rust", text), expected);
    }

    #[cfg(feature = "python")]
    #[test]
    fn python_definitions_keep_their_decorators() {
        let text = "import os\n# One.\n# Two.\n@cache\ndef f():\n    x = 1  # not a unit\n    def inner(): pass\n    return inner, x, x, x, x, x\nprint(f())\n";
        let expected = r##"import "import os\n"
comment "# One.\n# Two.\n"
function f "@cache\ndef f():\n    x = 1  # not a unit\n    def inner(): pass\n    return inner, x, x, x, x, x\n"
  signature "@cache\ndef f():\n"
  block "    x = 1  # not a unit\n    def inner(): pass\n    return inner, x, x, x, x, x\n"
    code "    x = 1  # not a unit\n"
    function inner "    def inner(): pass\n"
    code "    return inner, x, x, x, x, x\n"
code "print(f())\n"
"##;
        assert_eq!(outline("python", text), expected);
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_has_two_levels() {
        let long = "long ".repeat(12);
        let text = format!(
            "{{\"a\": {{\"b\": [1, 2], \"c\": {{\"{long}\": {{}}}}}},\n \"e\": [{{\"f\": \"{long}\"}}, 2], \"g\": {{\"h\": 1}}}}"
        );
        let found = outline("json", &text);
        let short: Vec<_> =
            found.lines().map(|line| line.split(" \"").next().unwrap().split(" {").next().unwrap()).collect();
        let expected = [
            "code",
            "member a",
            "  signature",
            "  member b",
            "  member c",
            "  code",
            "member e",
            "  signature",
            "  element",
            "  code",
            "member g",
            "code",
        ];
        assert_eq!(short, expected);
    }

    #[cfg(all(feature = "html", feature = "javascript", feature = "markdown", feature = "python"))]
    #[test]
    fn sources_inside_sources() {
        let html =
            "<html><body>\n<script>\nfunction f(a) {\n  return a;\n}\nf(1);\nf(2);\nf(3);\n</script>\n</body></html>\n";
        let found = outline("html", html);
        assert!(found.contains("\n    function f \"function f(a) {\\n  return a;\\n}\\n\"\n"), "{found}");
        let markdown = "# One\ntext\n## Two\n```py\ndef f():\n    pass\n\nx = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n```\nmore\n# Three\n";
        let found = outline("markdown", markdown);
        let short: Vec<_> = found.lines().map(|line| line.split(" \"").next().unwrap()).collect();
        let expected = [
            "section One",
            "  heading",
            "  text",
            "  section Two",
            "    heading",
            "    code_block py",
            "      signature",
            "      function f",
            "      code",
            "    text",
            "section Three",
        ];
        assert_eq!(short, expected);
    }

    #[test]
    fn without_a_grammar_there_are_runs_of_lines() {
        let text = "a line of text\n".repeat(1000);
        for id in ["", "cobol", "haskell"] {
            let document = decode(id, text.as_bytes());
            let units = &document.views[0].units;
            assert!(document.problems.is_empty());
            assert_eq!(units.len(), 4);
            assert!(units.iter().all(|unit| unit.label == "lines" && unit.range.end % 15 == 0));
        }
    }

    #[cfg(feature = "json")]
    #[test]
    fn limits_are_kept() {
        let bytes = "[".repeat(1_000_000);
        let hint = Hint { format: "json", ..Hint::default() };
        let hasty = CodeDecoder { max_parse_seconds: 0, ..CodeDecoder::default() };
        let document = hasty.decode(&mut Cursor::new(&bytes), &hint, &Limits::default()).unwrap();
        assert_eq!(document.problems, ["parsing it as json took longer than 0 seconds"]);
        assert_eq!(document.views[0].units[0].label, "lines");
        let bytes = format!("{{{}}}", "\"a\": 1,\n".repeat(10_000));
        let limits = Limits { max_units: 50, ..Limits::default() };
        let document = CodeDecoder::default().decode(&mut Cursor::new(&bytes), &hint, &limits).unwrap();
        document.views[0].check_units(bytes.len() as u64).unwrap();
        assert!(document.views[0].units.len() <= 50 && document.problems.is_empty());
        let small = CodeDecoder { max_parse_bytes: 10, ..CodeDecoder::default() };
        let document = small.decode(&mut Cursor::new(&bytes), &hint, &Limits::default()).unwrap();
        assert_eq!(document.views[0].units[0].label, "lines");
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        decode("json", "[".repeat(1_000_000).as_bytes());
        decode("yaml", "- ".repeat(1_000_000).as_bytes());
        for grammar in grammar::GRAMMARS {
            for text in ["[", "(", "{", "<a>", "f(", "if x {", "- ", "> ", "# ", "a: ", "if x:\n "] {
                decode(grammar.id, text.repeat(2_000).as_bytes());
            }
        }
    }

    #[test]
    fn odd_bytes_are_harmless() {
        for grammar in grammar::GRAMMARS {
            for text in [
                &b""[..],
                b"\0",
                b"\xef\xbb\xbf",
                b"\xff\xfea\0b\0",
                b"\r\n\r\n",
                b"\x80\xff\n",
                b"def f():\r\n\tpass\0\r\nclass A { \xff }\0",
                "caf\u{e9} = \u{1f600}\n".as_bytes(),
            ] {
                decode(grammar.id, text);
            }
        }
    }

    /// Pieces of the languages, so that more than errors is built of them.
    const WORDS: &[&str] = &[
        "fn f() {",
        "}",
        "struct A {",
        "#[a]\n",
        "def f(x):\n",
        "    ",
        "class A:\n",
        "class A {",
        "\n",
        "\r\n",
        " ",
        "@a\n",
        "// c\n",
        "# c\n",
        "/* c */",
        "<?php ",
        "?>",
        "<script>",
        "</script>",
        "<body>",
        "```py\n",
        "```\n",
        "# H\n",
        "{",
        "[",
        "\"a\": ",
        "a: b\n",
        "- ",
        "[t]\n",
        "a = 1\n",
        "<<EOF\n",
        "EOF\n",
        "end\n",
        "function f() {",
        "import a\n",
        ";",
        "()",
        "\"",
        "'",
        "`",
        "\0",
        "\t",
        "#if 1\n",
        "#endif\n",
        "export ",
        "template <class T> ",
        "R\"x(",
        "=begin\n",
        "=end\n",
        "|\n",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_tiled(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for grammar in grammar::GRAMMARS {
                decode(grammar.id, &bytes);
            }
            decode("", &bytes);
        }

        #[test]
        fn any_mix_of_words_is_tiled(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
            let text = words.concat();
            for grammar in grammar::GRAMMARS {
                decode(grammar.id, text.as_bytes());
            }
        }
    }
}
