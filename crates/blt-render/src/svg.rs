//! Drawings as SVG.

use std::fmt::Write as _;

use crate::colours::hex;
use crate::drawing::{Anchor, Drawing, Ink, Mark};

/// Colours of the inks on white.
const INKS: &str = ".text{fill:#1b1b1b}.muted{fill:#5c5c5c}.faint{fill:#e3e3e3}.accent{fill:#0072b2}.second{fill:#d55e00}\
line,polyline{fill:none!important}.l-text{stroke:#1b1b1b}.l-muted{stroke:#8a8a8a}.l-faint{stroke:#e3e3e3}\
.l-accent{stroke:#0072b2}.l-second{stroke:#d55e00}";

/// A file of its own, on white.
pub(crate) fn file(drawing: &Drawing, title: &str) -> String {
    let (width, height) = (Number(drawing.width), Number(drawing.height));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" font-family=\"system-ui,Helvetica,Arial,sans-serif\">\n<title>{}</title>\n<style>{INKS}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escaped(title)
    );
    write_marks(&mut out, drawing);
    out.push_str("</svg>\n");
    out
}

/// A part of a page, whose style sheet gives the inks their colours.
pub(crate) fn inline(drawing: &Drawing, label: &str) -> String {
    let (width, height) = (Number(drawing.width), Number(drawing.height));
    let label = escaped(label);
    let mut out = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n");
    write_marks(&mut out, drawing);
    out.push_str("</svg>\n");
    out
}

fn write_marks(out: &mut String, drawing: &Drawing) {
    for mark in &drawing.marks {
        // Writing to a string cannot fail.
        let _ = match mark {
            Mark::Bar { x, y, width, height, ink, title } => {
                let (x, y, width, height) = (Number(*x), Number(*y), Number(*width), Number(*height));
                let _ = write!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"{}", filled(*ink));
                close(out, "rect", title)
            }
            Mark::Dot { x, y, radius, ink, title } => {
                let (x, y, radius) = (Number(*x), Number(*y), Number(*radius));
                let _ = write!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"{}", filled(*ink));
                close(out, "circle", title)
            }
            Mark::Line { points, width, ink, dashed } => {
                let dashes = if *dashed { " stroke-dasharray=\"5 4\"" } else { "" };
                let stroke = match ink {
                    Ink::Colour(colour) => format!(" stroke=\"{}\"", hex(*colour)),
                    ink => format!(" class=\"l-{}\"", name(*ink)),
                };
                let _ = write!(
                    out,
                    "<polyline fill=\"none\" stroke-width=\"{}\"{dashes}{stroke} points=\"",
                    Number(*width)
                );
                for (i, (x, y)) in points.iter().enumerate() {
                    let space = if i == 0 { "" } else { " " };
                    let _ = write!(out, "{space}{},{}", Number(*x), Number(*y));
                }
                writeln!(out, "\"/>")
            }
            Mark::Text { x, y, size, ink, anchor, upward, text } => {
                let (x, y) = (Number(*x), Number(*y));
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let turn = if *upward { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
                let (size, ink, text) = (Number(*size), filled(*ink), escaped(text));
                writeln!(out, "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{anchor}{turn}{ink}>{text}</text>")
            }
        };
    }
}

fn close(out: &mut String, element: &str, title: &str) -> std::fmt::Result {
    if title.is_empty() { writeln!(out, "/>") } else { writeln!(out, "><title>{}</title></{element}>", escaped(title)) }
}

fn filled(ink: Ink) -> String {
    match ink {
        Ink::Colour(colour) => format!(" fill=\"{}\"", hex(colour)),
        ink => format!(" class=\"{}\"", name(ink)),
    }
}

fn name(ink: Ink) -> &'static str {
    match ink {
        Ink::Text | Ink::Colour(_) => "text",
        Ink::Muted => "muted",
        Ink::Faint => "faint",
        Ink::Accent => "accent",
        Ink::Second => "second",
    }
}

/// A length to a hundredth of a pixel, in as few characters as that takes.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The sum with 0 makes -0 a 0.
        write!(f, "{}", (self.0 * 100.0).round() / 100.0 + 0.0)
    }
}

/// Text that is text in HTML and in XML, which knows no control characters: those are shown as `\u{1b}`.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            character if is_invisible(character) => out.extend(character.escape_unicode()),
            character => out.push(character),
        }
    }
    out
}

/// Control characters, those that turn the direction of writing, and those that XML has no place for.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
        || matches!(character, '\u{FFFE}' | '\u{FFFF}' | '\u{061C}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_stays_text_and_nothing_turns_the_writing() {
        let hostile = "</title><script>alert('1')</script>&\"\u{1b}\u{202e}";
        let expected = "&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;\\u{1b}\\u{202e}";
        assert_eq!(escaped(hostile), expected);
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.text((0.0, 0.0), 9.0, Ink::Text, Anchor::Start, hostile);
        drawing.bar([0.0, 0.0, 1.0, 1.0], Ink::Accent, hostile.to_owned());
        for text in [file(&drawing, hostile), inline(&drawing, hostile)] {
            assert!(!text.contains("<script") && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn lengths_are_short() {
        let shown = [0.0, -0.0, -0.001, 12.0, 1.0 / 3.0, -7.125].map(|x| Number(x).to_string());
        assert_eq!(shown, ["0", "0", "0", "12", "0.33", "-7.13"]);
    }
}
