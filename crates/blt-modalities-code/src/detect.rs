//! Which language a source is in, by its name and its first bytes.

use crate::languages::{LANGUAGES, Language, language_by_name};
use crate::{is_parsed, n_error_bytes};

/// The id of the language of a file with this name (or path) and these first bytes; none when nothing speaks for one.
///
/// What editors are told in the first lines goes before the file's name, that before its extension, and the program after
/// `#!` comes last. An extension of several languages is decided by the first bytes.
pub fn language_of(name: &str, head: &[u8]) -> Option<&'static str> {
    let file_name = name.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    by_editor_line(head)
        .or_else(|| by_file_name(&file_name))
        .or_else(|| by_extension(&file_name, head))
        .or_else(|| by_first_name(&file_name))
        .or_else(|| by_shebang(head))
}

/// The id of the language of the program text in `head`, judged by the grammars of this build; none when no grammar, or
/// more than one, fits it well. About 0.1 s for 16 KiB.
pub fn guess_language(head: &[u8]) -> Option<&'static str> {
    let head = head.get(..GUESSED_BYTES).unwrap_or(head);
    let n_bytes = head.trim_ascii().len();
    if n_bytes < LEAST_GUESSED || head.contains(&0) {
        return None;
    }
    let mut scores: Vec<(f64, &'static str)> =
        LANGUAGES.iter().filter_map(|language| Some((fit(language.id, head)?, language.id))).collect();
    scores.sort_by(|one, other| other.0.total_cmp(&one.0));
    let best = *scores.first()?;
    (best.0 > LEAST_FIT).then_some(best.1)
}

/// So much of a text is parsed to guess its language.
const GUESSED_BYTES: usize = 16 << 10;
/// A shorter text is not guessed at.
const LEAST_GUESSED: usize = 40;
/// A worse fit is none.
const LEAST_FIT: f64 = 0.2;
/// A byte of wrong syntax counts against so many bytes of units.
const ERROR_WEIGHT: f64 = 8.0;

/// The language of a file with these first bytes.
type Decide = fn(&[u8]) -> Option<&'static str>;

/// Extensions that several languages have, and how the first bytes decide between them.
const AMBIGUOUS: &[(&str, Decide)] = &[
    ("h", |head| Some(c_header(head))),
    ("ts", |head| (!is_qt_translation(head) && head.first() != Some(&0x47)).then_some("typescript")),
    ("m", |head| {
        Some(if any(head, &["@interface", "@implementation", "#import", "@import", "@end"]) {
            "objective-c"
        } else {
            "matlab"
        })
    }),
    ("pl", |head| {
        Some(if any(head, &[":-"]) && !any(head, &["use strict", "my $", "#!/usr/bin/perl", "sub "]) {
            "prolog"
        } else {
            "perl"
        })
    }),
    ("fs", |head| Some(if any(head, &["#version", "gl_Frag", "void main"]) { "glsl" } else { "f-sharp" })),
    ("pp", |head| any(head, &["begin", "unit ", "program "]).then_some("pascal")),
    ("v", |head| (!any(head, &["Require Import", "Qed.", "Proof."])).then_some("verilog")),
    ("d", |head| any(head, &["import ", "module ", "void ", "struct "]).then_some("d")),
    ("t", |head| any(head, &["use ", "#!", "my $"]).then_some("perl")),
    ("cls", |head| any(head, &["\\"]).then_some("latex")),
];

fn by_file_name(file_name: &str) -> Option<&'static str> {
    let is_it = |language: &&Language| language.file_names.contains(&file_name);
    LANGUAGES.iter().find(is_it).map(|language| language.id)
}

/// Dockerfile.test and Makefile.common are what they begin with.
fn by_first_name(file_name: &str) -> Option<&'static str> {
    match file_name.split_once('.')?.0 {
        "dockerfile" | "containerfile" => Some("dockerfile"),
        "makefile" => Some("makefile"),
        _ => None,
    }
}

fn by_extension(file_name: &str, head: &[u8]) -> Option<&'static str> {
    let (_, extension) = file_name.rsplit_once('.')?;
    if let Some((_, decide)) = AMBIGUOUS.iter().find(|(ambiguous, _)| *ambiguous == extension) {
        return decide(head);
    }
    LANGUAGES.iter().find(|language| language.extensions.contains(&extension)).map(|language| language.id)
}

fn by_shebang(head: &[u8]) -> Option<&'static str> {
    let line = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).strip_prefix(b"#!")?;
    let line = str::from_utf8(first_lines(line, 1)).ok()?;
    // `env` runs the first word that is neither its option nor a variable.
    let mut words = line.split_ascii_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
    let program = words.find(|word| *word != "env" && !word.starts_with('-') && !word.contains('='))?;
    let program = program.to_ascii_lowercase();
    let plain = program.trim_end_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-'));
    let runs = |name: &str| LANGUAGES.iter().find(|language| language.shebangs.contains(&name));
    runs(&program).or_else(|| runs(plain)).map(|language| language.id)
}

/// By `-*- mode -*-` in the first two lines, or `vim: ft=mode` in the first five.
fn by_editor_line(head: &[u8]) -> Option<&'static str> {
    emacs_mode(first_lines(head, 2)).or_else(|| vim_mode(first_lines(head, 5)))
}

fn emacs_mode(lines: &[u8]) -> Option<&'static str> {
    let begin = position(lines, b"-*-")? + 3;
    let end = begin + position(&lines[begin..], b"-*-")?;
    let text = str::from_utf8(&lines[begin..end]).ok()?.to_ascii_lowercase();
    let mode = if text.contains(':') {
        text.split(';').find_map(|part| part.trim().strip_prefix("mode:"))?.trim().to_owned()
    } else {
        text.trim().to_owned()
    };
    by_mode(&mode)
}

fn vim_mode(lines: &[u8]) -> Option<&'static str> {
    let begin = [&b"vim:"[..], b"vi:"].iter().find_map(|mark| Some(position(lines, mark)? + mark.len()))?;
    let text = str::from_utf8(first_lines(&lines[begin..], 1)).ok()?;
    let mut settings = text.split(|letter: char| letter.is_ascii_whitespace() || letter == ':');
    let mode = settings.find_map(|one| one.strip_prefix("ft=").or_else(|| one.strip_prefix("filetype=")))?;
    by_mode(mode)
}

/// By an editor's name for a language.
fn by_mode(mode: &str) -> Option<&'static str> {
    match mode {
        "shell-script" | "sh" | "zsh" => Some("bash"),
        "cperl" => Some("perl"),
        "makefile-gmake" | "make" => Some("makefile"),
        "cs" => Some("c-sharp"),
        "nxml" | "text" | "fundamental" => None,
        "typescriptreact" => Some("tsx"),
        "javascriptreact" | "js2" => Some("javascript"),
        "elisp" => Some("emacs-lisp"),
        // One letter and odd extensions are more often something else in an editor's line.
        _ if mode.len() > 1 || matches!(mode, "c" | "d" | "r") => language_by_name(mode),
        _ => None,
    }
}

/// C, C++ or Objective-C, by what only the latter two have at the begin of a line.
fn c_header(head: &[u8]) -> &'static str {
    let is_cpp_line = |line: &[u8]| {
        let line = line.trim_ascii();
        ["class ", "template <", "template<", "namespace ", "using ", "public:", "private:", "protected:", "constexpr "]
            .iter()
            .any(|word| line.starts_with(word.as_bytes()))
            || line.starts_with(b"#include <") && line.ends_with(b">") && is_cpp_include(line)
            || position(line, b"std::").is_some() && !line.starts_with(b"*") && !line.starts_with(b"/")
    };
    let starts = |words: &[&str]| {
        head.split(|byte| *byte == b'\n').any(|line| words.iter().any(|word| line.starts_with(word.as_bytes())))
    };
    if starts(&["@interface", "@protocol", "@class", "#import"]) {
        "objective-c"
    } else if head.split(|byte| *byte == b'\n').any(is_cpp_line) {
        "cpp"
    } else {
        "c"
    }
}

/// A header of the C++ library has no extension.
fn is_cpp_include(line: &[u8]) -> bool {
    let name = &line[b"#include <".len()..line.len() - 1];
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_')
}

fn is_qt_translation(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    head.starts_with(b"<?xml") || head.starts_with(b"<!DOCTYPE TS") || head.starts_with(b"<TS")
}

/// How well a grammar fits: the share of bytes in units that have a header, less that of wrong syntax.
fn fit(id: &'static str, head: &[u8]) -> Option<f64> {
    if !is_parsed(id) || id == "markdown" || id == "yaml" {
        return None; // these two take any text
    }
    let wrong = n_error_bytes(id, head)? as f64 / head.len() as f64;
    let units = crate::CodeDecoder::default().syntax_units(id, head, 1, usize::MAX).ok()?;
    let tops = units.iter().filter(|unit| {
        unit.parent.is_none() && !matches!(unit.label.as_ref(), "code" | "text" | "space" | "comment" | "html")
    });
    let known = tops.map(|unit| unit.range.len()).sum::<u64>() as f64 / head.len() as f64;
    Some(known - ERROR_WEIGHT * wrong)
}

fn any(bytes: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| position(bytes, word.as_bytes()).is_some())
}

fn position(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}

fn first_lines(bytes: &[u8], n_lines: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(4096)];
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end);
    &bytes[..ends
        .take(n_lines)
        .last()
        .filter(|_| bytes.iter().filter(|byte| **byte == b'\n').count() >= n_lines)
        .unwrap_or(bytes.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_first_bytes() {
        for (name, head, id) in [
            ("src/main.rs", "", "rust"),
            ("C:\\src\\A.PY", "", "python"),
            ("Makefile", "", "makefile"),
            ("Dockerfile.test", "", "dockerfile"),
            ("makefile.toml", "", "toml"),
            ("Cargo.lock", "", "toml"),
            ("run", "#!/usr/bin/env -S python3.11 -u\n", "python"),
            ("run", "#!/bin/sh\n", "bash"),
            ("run", "#! /usr/bin/lua5.4\n", "lua"),
            ("a.h", "#ifndef A\nstruct a { int b; };\n", "c"),
            ("a.h", "#include <vector>\n", "cpp"),
            ("a.h", "// -*- C++ -*-\n", "cpp"),
            ("a.h", "/* -*- mode: c; tab-width: 4 -*- */\n", "c"),
            ("a.h", "@interface A : NSObject\n", "objective-c"),
            ("a.m", "#import <A.h>\n", "objective-c"),
            ("a.ts", "export const a = 1;\n", "typescript"),
            ("de.ts", "<?xml version=\"1.0\"?><!DOCTYPE TS>", ""),
            ("noname", "# vim: set ft=ruby :\n", "ruby"),
            ("notes.txt", "just text", ""),
        ] {
            assert_eq!(language_of(name, head.as_bytes()).unwrap_or_default(), id, "{name} {head}");
        }
    }

    #[cfg(all(feature = "python", feature = "c"))]
    #[test]
    fn guesses_by_syntax() {
        let python = b"import os\n\n\ndef main(path):\n    for name in os.listdir(path):\n        print(name)\n";
        assert_eq!(guess_language(python), Some("python"));
        assert_eq!(guess_language(b"Dear all, this is a letter and no program; nothing here is code.\n"), None);
    }
}
