//! Patches as text, JSON, HTML and SVG.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use blt_ingest::Encoding;
use serde::Serialize;
use serde_json::json;

use crate::args::PatchFormat;
use crate::output::stdout_has_colour;
use crate::patching::threshold_of;

/// Entropies from this on have the hottest colour; higher ones are rare in text.
const HOT_NATS: f32 = 4.0;
/// Entropies shown in one drawing; a longer input is cut, and the drawing says so.
const MAX_DRAWN_BYTES: usize = 20_000;

/// One input with its patches.
#[derive(Debug)]
pub(crate) struct Segmented {
    /// As the user named it.
    pub(crate) source: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// One a byte, nats.
    pub(crate) entropies: Vec<f32>,
    /// One a patch, like the next two.
    pub(crate) lengths: Vec<usize>,
    pub(crate) prominence: Vec<f32>,
    pub(crate) patch_entropies: Vec<f32>,
}

impl Segmented {
    /// `(index, start, end)` of each patch.
    fn patches(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        ranges(&self.lengths).enumerate().map(|(index, range)| (index, range.start, range.end))
    }
}

/// The bytes of each patch, given their lengths.
pub(crate) fn ranges(lengths: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let mut end = 0;
    lengths.iter().map(move |length| {
        let start = end;
        end += length;
        start..end
    })
}

/// Shows inputs one after another.
#[derive(Debug)]
pub(crate) struct Renderer<'a> {
    format: PatchFormat,
    model: &'a str,
    rule: &'static str,
    threshold: Option<f32>,
    several: bool,
    colour: bool,
}

impl<'a> Renderer<'a> {
    /// `several` says that there is more than one input.
    pub(crate) fn new(format: PatchFormat, model: &'a str, encoding: &Encoding, several: bool) -> Self {
        let rule = &encoding.patcher.rule;
        Self { format, model, rule: rule.name(), threshold: threshold_of(rule), several, colour: stdout_has_colour() }
    }

    /// What comes before the first input.
    pub(crate) fn begin(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            PatchFormat::Html => out.write_all(HTML_HEAD.as_bytes()),
            _ => Ok(()),
        }
    }

    /// One input.
    pub(crate) fn show(&mut self, out: &mut dyn Write, input: &Segmented) -> io::Result<()> {
        match self.format {
            PatchFormat::Pretty => self.pretty(out, input),
            PatchFormat::Json => self.json(out, input),
            PatchFormat::Jsonl => jsonl(out, input),
            PatchFormat::Html => out.write_all(html_section(input, &self.caption(input)).as_bytes()),
            PatchFormat::Svg => out.write_all(svg(input, self.threshold, &self.caption(input)).as_bytes()),
        }
    }

    /// What comes after the last input.
    pub(crate) fn end(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            PatchFormat::Html => out.write_all(b"</body>\n</html>\n"),
            _ => Ok(()),
        }
    }

    fn caption(&self, input: &Segmented) -> String {
        let threshold = self.threshold.map_or_else(String::new, |threshold| format!(" {threshold} nats"));
        let Segmented { source, bytes, lengths, .. } = input;
        format!("{source}: {} bytes, {} patches; {}, {}{threshold}", bytes.len(), lengths.len(), self.model, self.rule)
    }

    fn pretty(&self, out: &mut dyn Write, input: &Segmented) -> io::Result<()> {
        if self.several {
            writeln!(out, "==> {} ({} bytes, {} patches) <==", input.source, input.bytes.len(), input.lengths.len())?;
        }
        for (index, start, end) in input.patches() {
            if index > 0 {
                out.write_all(if self.colour { b"\x1b[2m|\x1b[0m" } else { b"|" })?;
            }
            let text = printable(&input.bytes[start..end]);
            if self.colour {
                let [r, g, b] = heat(input.patch_entropies[index]);
                write!(out, "\x1b[38;2;{r};{g};{b}m{text}\x1b[0m")?;
            } else {
                out.write_all(text.as_bytes())?;
            }
        }
        if !input.bytes.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn json(&self, out: &mut dyn Write, input: &Segmented) -> io::Result<()> {
        #[derive(Serialize)]
        struct Object<'a> {
            source: &'a str,
            n_bytes: usize,
            model: &'a str,
            rule: &'a str,
            threshold: Option<f32>,
            entropies: &'a [f32],
            patch_lengths: &'a [usize],
            prominence: &'a [f32],
            patch_entropies: &'a [f32],
        }
        let object = Object {
            source: &input.source,
            n_bytes: input.bytes.len(),
            model: self.model,
            rule: self.rule,
            threshold: self.threshold,
            entropies: &input.entropies,
            patch_lengths: &input.lengths,
            prominence: &input.prominence,
            patch_entropies: &input.patch_entropies,
        };
        serde_json::to_writer(&mut *out, &object)?;
        out.write_all(b"\n")
    }
}

fn jsonl(out: &mut dyn Write, input: &Segmented) -> io::Result<()> {
    for (index, start, end) in input.patches() {
        let bytes = &input.bytes[start..end];
        let object = json!({
            "source": input.source, "index": index, "start": start, "end": end, "bytes_b64": BASE64.encode(bytes),
            "text": std::str::from_utf8(bytes).ok(), "entropy": shortest(input.patch_entropies[index]),
            "prominence": shortest(input.prominence[index]),
        });
        writeln!(out, "{object}")?;
    }
    Ok(())
}

/// A float32 as the shortest JSON number that reads back as it; `null` when it is not finite.
pub(crate) fn shortest(value: f32) -> serde_json::Value {
    value.to_string().parse::<f64>().map_or(serde_json::Value::Null, |value| json!(value))
}

/// Bytes for a terminal: text as it is, line ends and tabs too; control characters and bad bytes as `\x1B`.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' | '\t' => text.push(character),
                character if character.is_control() => {
                    let mut buffer = [0; 4];
                    character.encode_utf8(&mut buffer).bytes().for_each(|byte| push_escape(&mut text, byte));
                }
                character => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_escape(&mut text, byte));
    }
    text
}

fn push_escape(text: &mut String, byte: u8) {
    let _ = write!(text, "\\x{byte:02X}");
}

/// A colour from blue (certain) through yellow to red (uncertain).
fn heat(entropy: f32) -> [u8; 3] {
    let x = (entropy / HOT_NATS).clamp(0.0, 1.0);
    let mix = |from: f32, to: f32, t: f32| (from + (to - from) * t) as u8;
    if x < 0.5 {
        let t = x * 2.0;
        [mix(70.0, 230.0, t), mix(130.0, 190.0, t), mix(220.0, 60.0, t)]
    } else {
        let t = x * 2.0 - 1.0;
        [mix(230.0, 225.0, t), mix(190.0, 60.0, t), mix(60.0, 50.0, t)]
    }
}

const HTML_HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>Entropy patches</title>
<style>
body { font: 15px/1.7 ui-monospace, monospace; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222; background: #fff; }
h2 { font: bold 14px/1.4 system-ui, sans-serif; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
span { border-radius: 3px; box-shadow: inset 1px 0 #0004; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } }
</style>
</head>
<body>
";

/// A section of a page: the text with every patch coloured by its entropy, its numbers on hover.
pub(crate) fn html_section(input: &Segmented, caption: &str) -> String {
    let mut page = format!("<h2>{}</h2>\n<pre>", escaped(caption));
    for (index, start, end) in input.patches() {
        let [r, g, b] = heat(input.patch_entropies[index]);
        let text = escaped(&printable(&input.bytes[start..end]));
        let _ = write!(
            page,
            "<span style=\"background:rgba({r},{g},{b},.45)\" title=\"bytes {start}..{end}&#10;entropy {:.3} nats&#10;prominence {:.3}\">{text}</span>",
            input.patch_entropies[index], input.prominence[index]
        );
    }
    page.push_str("</pre>\n");
    page
}

/// A whole page of one section.
pub(crate) fn html_page(input: &Segmented, caption: &str) -> String {
    format!("{HTML_HEAD}{}</body>\n</html>\n", html_section(input, caption))
}

/// The entropies as bars, a line at the threshold, and a tick where a patch starts.
fn svg(input: &Segmented, threshold: Option<f32>, caption: &str) -> String {
    const BAR: usize = 8;
    const HEIGHT: f32 = 160.0;
    const TOP: f32 = 30.0;
    let n_drawn = input.bytes.len().min(MAX_DRAWN_BYTES);
    let width = (n_drawn * BAR).max(400) + 20;
    let scale = HEIGHT / 260f32.ln();
    let cut = if n_drawn < input.bytes.len() { format!(" (first {n_drawn} drawn)") } else { String::new() };
    let mut drawing = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{}\" font-family=\"monospace\" font-size=\"11\">\n\
         <text x=\"10\" y=\"16\">{}{cut}</text>\n",
        TOP + HEIGHT + 34.0,
        escaped(caption)
    );
    let base = TOP + HEIGHT;
    for (index, start, end) in input.patches().take_while(|&(_, start, _)| start < n_drawn) {
        let [r, g, b] = heat(input.patch_entropies[index]);
        let x = 10 + start * BAR;
        let _ = writeln!(drawing, "<line x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{}\" stroke=\"#bbb\"/>", base + 20.0);
        for (i, &entropy) in input.entropies.iter().enumerate().take(end.min(n_drawn)).skip(start) {
            let height = entropy.max(0.0) * scale;
            let character = match input.bytes[i] {
                byte if byte.is_ascii_graphic() => escaped(&char::from(byte).to_string()),
                b' ' => " ".to_owned(),
                _ => "·".to_owned(),
            };
            let x = 10 + i * BAR;
            let _ = writeln!(
                drawing,
                "<rect x=\"{}\" y=\"{:.1}\" width=\"{}\" height=\"{height:.1}\" fill=\"rgb({r},{g},{b})\"/>\
                 <text x=\"{}\" y=\"{}\">{character}</text>",
                x + 1,
                base - height,
                BAR - 2,
                x + 1,
                base + 14.0
            );
        }
    }
    if let Some(threshold) = threshold {
        let y = base - threshold * scale;
        let _ = writeln!(
            drawing,
            "<line x1=\"10\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#d33\" stroke-dasharray=\"4 3\"/>",
            width - 10
        );
    }
    drawing.push_str("</svg>\n");
    drawing
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_reaches_a_terminal() {
        assert_eq!(printable(b"a\x1b[2Jb\n\xFF\xC2\x85"), "a\\x1B[2Jb\n\\xFF\\xC2\\x85");
    }

    #[test]
    fn markup_in_the_input_stays_text() {
        let input = Segmented {
            source: "<b>".to_owned(),
            bytes: b"<script>&".to_vec(),
            entropies: vec![1.0; 9],
            lengths: vec![9],
            prominence: vec![1.0],
            patch_entropies: vec![1.0],
        };
        for page in [html_page(&input, &input.source), svg(&input, Some(1.0), &input.source)] {
            assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
        }
    }
}
