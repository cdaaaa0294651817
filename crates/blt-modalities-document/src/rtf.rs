//! Rich Text Format (Microsoft, RTF Specification 1.9.1).
//!
//! A file is groups in braces, control words behind backslashes, and text in charsets that control words and fonts name.

use std::collections::HashMap;

use blt_core::{ByteRange, DecodeError, Document, Embedded, Limits, Origin};
use encoding_rs::Encoding;

use crate::content;
use crate::text::TextBuilder;

/// Destinations whose text nobody reads. Those behind `\*` are left out too.
const UNREAD: [&[u8]; 16] = [
    b"colortbl",
    b"filetbl",
    b"fldinst",
    b"info",
    b"nonshppict",
    b"objdata",
    b"pntxta",
    b"pntxtb",
    b"private",
    b"rxe",
    b"shprslt",
    b"sp",
    b"stylesheet",
    b"tc",
    b"txe",
    b"xe",
];

/// Destinations behind `\*` that hold what people read.
const STARRED: [&[u8]; 3] = [b"\\pict", b"\\shpinst", b"\\shppict"];

/// Destinations with paragraphs of their own amid those around them.
const ASIDE: [&[u8]; 11] = [
    b"annotation",
    b"footer",
    b"footerf",
    b"footerl",
    b"footerr",
    b"footnote",
    b"header",
    b"headerf",
    b"headerl",
    b"headerr",
    b"shptxt",
];

/// Control words that are characters.
const CHARACTERS: [(&[u8], &str); 14] = [
    (b"bullet", "\u{2022}"),
    (b"cell", "\t"),
    (b"emdash", "\u{2014}"),
    (b"emspace", "\u{2003}"),
    (b"endash", "\u{2013}"),
    (b"enspace", "\u{2002}"),
    (b"ldblquote", "\u{201C}"),
    (b"line", "\n"),
    (b"lquote", "\u{2018}"),
    (b"nestcell", "\t"),
    (b"qmspace", "\u{2005}"),
    (b"rdblquote", "\u{201D}"),
    (b"rquote", "\u{2019}"),
    (b"tab", "\t"),
];

/// Control words that end a paragraph.
const ENDS: [&[u8]; 6] = [b"nestrow", b"page", b"par", b"row", b"sect", b"column"];

/// The paragraphs as a text view, pictures as files inside.
pub(crate) fn read(file: &[u8], document: &mut Document, limits: &Limits) -> Result<(), DecodeError> {
    if !file.starts_with(b"{\\rtf") {
        return Err(content("it does not begin as RTF"));
    }
    let mut reader = Reader::new(file, limits);
    reader.read_all()?;
    document.problems.append(&mut reader.problems());
    document.embedded.append(&mut reader.pictures);
    document.views.push(reader.text.view("text", "text/plain; charset=utf-8"));
    Ok(())
}

/// What holds until the end of a group.
#[derive(Debug, Clone, Copy)]
struct Group {
    destination: Destination,
    is_hidden: bool,
    charset: Option<&'static Encoding>,
    /// Characters behind a `\u` that stand for it where Unicode is not known.
    n_fallback: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Destination {
    Text,
    Fonts,
    Picture,
    Unread,
}

struct Reader<'a> {
    file: &'a [u8],
    position: usize,
    group: Group,
    outer: Vec<Group>,
    /// What the file as a whole is written in, and each font.
    charset: &'static Encoding,
    fonts: HashMap<i32, &'static Encoding>,
    default_font: Option<i32>,
    /// The font whose charset the font table is at.
    font: i32,
    paragraph: Paragraph,
    /// Paragraphs that go on behind a note, and the groups around it.
    interrupted: Vec<(usize, Paragraph)>,
    /// Characters left to pass over behind a `\u`.
    n_to_skip: usize,
    picture: Option<Picture>,
    pictures: Vec<Embedded>,
    text: TextBuilder<'a>,
    n_unclosed: usize,
    n_malformed: u64,
    n_unknown_charsets: u64,
}

/// A paragraph in the making.
#[derive(Default)]
struct Paragraph {
    text: String,
    /// Bytes that are not decoded yet, as a character may have several.
    bytes: Vec<u8>,
    /// The first half of a character of two UTF-16 units.
    surrogate: Option<u16>,
    range: Option<(usize, usize)>,
}

/// A picture in the making: hexadecimal digits, or bytes.
struct Picture {
    /// Groups around its own.
    depth: usize,
    extension: &'static str,
    bytes: Vec<u8>,
    digit: Option<u8>,
}

/// A control word or symbol.
struct Control<'a> {
    word: &'a [u8],
    parameter: Option<i32>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a [u8], limits: &'a Limits) -> Self {
        let group = Group { destination: Destination::Text, is_hidden: false, charset: None, n_fallback: 1 };
        Self {
            file,
            position: 0,
            group,
            outer: Vec::new(),
            charset: encoding_rs::WINDOWS_1252,
            fonts: HashMap::new(),
            default_font: None,
            font: 0,
            paragraph: Paragraph::default(),
            interrupted: Vec::new(),
            n_to_skip: 0,
            picture: None,
            pictures: Vec::new(),
            text: TextBuilder::new(limits),
            n_unclosed: 0,
            n_malformed: 0,
            n_unknown_charsets: 0,
        }
    }

    fn read_all(&mut self) -> Result<(), DecodeError> {
        while let Some(&byte) = self.file.get(self.position) {
            let start = self.position;
            self.position += 1;
            match byte {
                b'{' => {
                    self.n_to_skip = 0;
                    self.outer.push(self.group);
                }
                b'}' => {
                    self.decode_bytes();
                    self.n_to_skip = 0;
                    let Some(group) = self.outer.pop() else { break };
                    self.end_picture();
                    self.end_aside()?;
                    self.group = group;
                    if self.outer.is_empty() {
                        break; // what follows the file's own group is not read
                    }
                }
                b'\\' => self.control(start)?,
                b'\r' | b'\n' | 0 => {}
                byte => self.byte(byte, start),
            }
        }
        self.decode_bytes();
        self.n_unclosed = std::mem::take(&mut self.outer).len();
        self.end_aside()?;
        if self.paragraph.range.is_some() { self.end_paragraph(self.position) } else { Ok(()) }
    }

    /// What was not as it should be.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.n_unclosed > 0 {
            problems.push(format!("it ends inside {} groups", self.n_unclosed));
        }
        if self.n_malformed > 0 {
            problems.push(format!("{} pieces of text are malformed in their charset", self.n_malformed));
        }
        if self.n_unknown_charsets > 0 {
            problems.push(format!("{} charsets are not known; windows-1252 is assumed", self.n_unknown_charsets));
        }
        problems
    }

    fn control(&mut self, start: usize) -> Result<(), DecodeError> {
        let Some(Control { word, parameter }) = self.next_control() else { return Ok(()) };
        match word {
            b"'" => {
                let digits = self.file.get(self.position..self.position + 2).unwrap_or_default();
                let value = digits.iter().try_fold(0, |value, digit| Some(value << 4 | hex(*digit)?));
                if let (Some(value), 2) = (value, digits.len()) {
                    self.position += 2;
                    self.byte(value, start);
                }
                return Ok(());
            }
            b"bin" => {
                let n = usize::try_from(parameter.unwrap_or(0)).unwrap_or(0);
                let end = self.position.saturating_add(n).min(self.file.len());
                if let Some(picture) = self.picture.as_mut().filter(|_| self.group.destination == Destination::Picture)
                {
                    picture.bytes.extend_from_slice(&self.file[self.position..end]);
                }
                self.position = end;
                return Ok(());
            }
            b"*" => {
                // The destination behind it may be passed over by who does not know it.
                let rest = &self.file[self.position..];
                if !STARRED.iter().any(|word| rest.starts_with(word)) {
                    self.group.destination = Destination::Unread;
                }
                return Ok(());
            }
            _ => {}
        }
        if self.n_to_skip > 0 {
            self.n_to_skip -= 1;
            return Ok(());
        }
        match self.group.destination {
            Destination::Unread => {}
            Destination::Picture => self.picture_control(word),
            Destination::Fonts => self.font_control(word, parameter),
            Destination::Text => self.text_control(word, parameter, start)?,
        }
        Ok(())
    }

    /// The control behind the backslash at which the reader is, which it passes.
    fn next_control(&mut self) -> Option<Control<'a>> {
        let rest = &self.file[self.position..];
        let n_letters = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if n_letters == 0 {
            let word = rest.get(..1)?;
            self.position += 1;
            return Some(Control { word, parameter: None });
        }
        let (word, mut rest) = rest.split_at(n_letters);
        let is_negative = rest.first() == Some(&b'-') && rest.get(1).is_some_and(u8::is_ascii_digit);
        rest = &rest[usize::from(is_negative)..];
        let n_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = rest[..n_digits]
            .iter()
            .fold(0i32, |number, digit| number.saturating_mul(10).saturating_add(i32::from(digit - b'0')));
        let has_space = rest.get(n_digits) == Some(&b' ');
        self.position += n_letters + usize::from(is_negative) + n_digits + usize::from(has_space);
        let parameter = (n_digits > 0).then_some(if is_negative { -number } else { number });
        Some(Control { word, parameter })
    }

    fn text_control(&mut self, word: &[u8], parameter: Option<i32>, start: usize) -> Result<(), DecodeError> {
        match word {
            b"{" | b"}" | b"\\" => self.byte(word[0], start),
            b"~" => self.push("\u{A0}", start),
            b"_" => self.push("\u{2011}", start),
            b"\r" | b"\n" => self.end_paragraph(start)?,
            b"ansi" => self.charset = encoding_rs::WINDOWS_1252,
            b"mac" => self.charset = encoding_rs::MACINTOSH,
            b"pc" | b"pca" => self.charset = self.known(None),
            b"ansicpg" => self.charset = self.known(code_page(parameter.unwrap_or(0))),
            b"deff" => self.default_font = parameter,
            b"f" => {
                self.decode_bytes();
                let of_font = self.fonts.get(&parameter.unwrap_or(0));
                self.group.charset = Some(of_font.copied().unwrap_or(self.charset));
            }
            b"plain" => {
                self.decode_bytes();
                (self.group.charset, self.group.is_hidden) = (None, false);
            }
            b"v" => self.group.is_hidden = parameter != Some(0),
            b"uc" => self.group.n_fallback = usize::try_from(parameter.unwrap_or(1)).unwrap_or(0),
            b"u" => {
                self.unicode(parameter.unwrap_or(0), start);
                self.n_to_skip = self.group.n_fallback;
            }
            b"fonttbl" => self.group.destination = Destination::Fonts,
            b"pict" => {
                self.group.destination = Destination::Picture;
                let depth = self.outer.len();
                self.picture = Some(Picture { depth, extension: "", bytes: Vec::new(), digit: None });
            }
            word if ASIDE.contains(&word) => {
                self.decode_bytes();
                self.interrupted.push((self.outer.len(), std::mem::take(&mut self.paragraph)));
            }
            word if ENDS.contains(&word) => self.end_paragraph(self.position)?,
            word if UNREAD.contains(&word) => self.group.destination = Destination::Unread,
            word => {
                if let Some((_, text)) = CHARACTERS.iter().find(|(name, _)| *name == word) {
                    self.push(text, start);
                }
            }
        }
        Ok(())
    }

    fn font_control(&mut self, word: &[u8], parameter: Option<i32>) {
        match (word, parameter) {
            (b"f", Some(font)) => self.font = font,
            // 1 is the charset of the file.
            (b"fcharset", Some(charset)) if charset != 1 => {
                let charset = self.known(font_charset(charset));
                self.fonts.insert(self.font, charset);
            }
            (b"cpg", Some(page)) => {
                let charset = self.known(code_page(page));
                self.fonts.insert(self.font, charset);
            }
            _ => {}
        }
    }

    fn picture_control(&mut self, word: &[u8]) {
        let Some(picture) = &mut self.picture else { return };
        picture.extension = match word {
            b"pngblip" => "png",
            b"jpegblip" => "jpg",
            b"emfblip" => "emf",
            b"wmetafile" => "wmf",
            _ => picture.extension,
        };
    }

    /// A byte of text, of a picture, or of what is passed over.
    fn byte(&mut self, byte: u8, start: usize) {
        match self.group.destination {
            Destination::Picture => {
                if let (Some(picture), Some(digit)) = (&mut self.picture, hex(byte)) {
                    match picture.digit.take() {
                        Some(high) => picture.bytes.push(high << 4 | digit),
                        None => picture.digit = Some(digit),
                    }
                }
            }
            Destination::Text if self.n_to_skip > 0 => self.n_to_skip -= 1,
            Destination::Text if !self.group.is_hidden => {
                self.paragraph.bytes.push(byte);
                self.reach(start);
            }
            _ => {}
        }
    }

    /// A character that is not of the charset.
    fn push(&mut self, text: &str, start: usize) {
        self.decode_bytes();
        if !self.group.is_hidden {
            self.paragraph.text.push_str(text);
            self.reach(start);
        }
    }

    /// A UTF-16 unit, as a signed number, or a character that takes two of them.
    fn unicode(&mut self, unit: i32, start: usize) {
        self.decode_bytes();
        if self.group.is_hidden {
            return;
        }
        let unit = if unit < 0 { unit & 0xFFFF } else { unit }; // -10179 is U+D83D
        if let Some(high) = self.paragraph.surrogate.take() {
            let pair = u16::try_from(unit).ok().and_then(|low| char::decode_utf16([high, low]).next());
            if let Some(Ok(character)) = pair {
                self.paragraph.text.push(character);
                return self.reach(start);
            }
            self.n_malformed += 1;
        }
        match (u32::try_from(unit).ok().and_then(char::from_u32), unit) {
            (Some(character), _) => self.paragraph.text.push(character),
            (None, 0xD800..=0xDBFF) => self.paragraph.surrogate = u16::try_from(unit).ok(),
            _ => self.n_malformed += 1,
        }
        self.reach(start);
    }

    /// The paragraph goes from its first character to where the reader is.
    fn reach(&mut self, start: usize) {
        let first = self.paragraph.range.map_or(start, |(first, _)| first);
        self.paragraph.range = Some((first, self.position));
    }

    fn decode_bytes(&mut self) {
        if self.paragraph.bytes.is_empty() {
            return;
        }
        self.n_malformed += u64::from(self.paragraph.surrogate.take().is_some());
        let of_default_font = self.default_font.and_then(|font| self.fonts.get(&font)).copied();
        let charset = self.group.charset.or(of_default_font).unwrap_or(self.charset);
        let (text, is_malformed) = charset.decode_without_bom_handling(&self.paragraph.bytes);
        self.n_malformed += u64::from(is_malformed);
        self.paragraph.text.push_str(&text);
        self.paragraph.bytes.clear();
    }

    fn end_paragraph(&mut self, end: usize) -> Result<(), DecodeError> {
        self.decode_bytes();
        let Paragraph { text, surrogate, range, .. } = std::mem::take(&mut self.paragraph);
        self.n_malformed += u64::from(surrogate.is_some());
        let (start, end) = range.unwrap_or((end, end));
        let origin = Origin::SourceBytes(ByteRange::new(start as u64, end as u64));
        self.text.add("paragraph", text.as_bytes(), Some(origin))
    }

    /// Ends the note whose group ends, and goes on with the paragraph around it.
    fn end_aside(&mut self) -> Result<(), DecodeError> {
        while let Some((_, around)) = self.interrupted.pop_if(|(depth, _)| self.outer.len() < *depth) {
            if self.paragraph.range.is_some() {
                self.end_paragraph(self.position)?;
            }
            self.paragraph = around;
        }
        Ok(())
    }

    /// Keeps the picture whose group ends.
    fn end_picture(&mut self) {
        let Some(picture) = self.picture.take_if(|picture| self.outer.len() < picture.depth) else { return };
        if !picture.bytes.is_empty() {
            let number = self.pictures.len() + 1;
            let dot = if picture.extension.is_empty() { "" } else { "." };
            let name = format!("picture {number}{dot}{}", picture.extension).into();
            self.pictures.push(Embedded { name, origin: None, bytes: picture.bytes });
        }
    }

    fn known(&mut self, charset: Option<&'static Encoding>) -> &'static Encoding {
        self.n_unknown_charsets += u64::from(charset.is_none());
        charset.unwrap_or(encoding_rs::WINDOWS_1252)
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

/// The charset that a font asks for by the number of Windows.
fn font_charset(number: i32) -> Option<&'static Encoding> {
    code_page(match number {
        0 | 2 => 1252, // symbols have no charset of their own
        77 => 10_000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178..=180 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    })
}

/// The charset with this number as a code page of Windows.
fn code_page(number: i32) -> Option<&'static Encoding> {
    let label = match number {
        0 | 1252 => "windows-1252",
        866 => "ibm866",
        874 => "windows-874",
        932 => "shift_jis",
        936 => "gbk",
        949 => "euc-kr",
        950 => "big5",
        1250 => "windows-1250",
        1251 => "windows-1251",
        1253 => "windows-1253",
        1254 => "windows-1254",
        1255 => "windows-1255",
        1256 => "windows-1256",
        1257 => "windows-1257",
        1258 => "windows-1258",
        10_000 => "macintosh",
        10_007 => "x-mac-cyrillic",
        54_936 => "gb18030",
        65_001 => "utf-8",
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use blt_core::{Modality, ViewData};

    use super::*;

    fn decode(file: &str) -> Document {
        let mut document = Document::new(Modality::Document, "application/rtf", Vec::new());
        read(file.as_bytes(), &mut document, &Limits::default()).unwrap();
        document
    }

    #[track_caller]
    fn check(file: &str, expected: &str) {
        let document = decode(file);
        let ViewData::Owned(bytes) = &document.views[0].data else { panic!("text is made") };
        assert_eq!(String::from_utf8_lossy(bytes), expected, "{file}");
        assert_eq!(document.views[0].check_units(bytes.len() as u64), Ok(()));
        assert_eq!(document.problems, Vec::<String>::new());
    }

    #[test]
    fn what_people_read_is_told_from_what_they_do_not() {
        check(
            r"{\rtf1\ansi{\info{\title No}}{\stylesheet{\s0 No;}}{\*\generator No;}One\b  two\b0\par Three}",
            "One two\nThree\n",
        );
        check(r"{\rtf1 a\tab b\line c \{\}\\\~d\cell e\row{\v hidden}f\v no\v0 g}", "a\tb\nc {}\\\u{A0}d\te\nfg\n");
        check(r#"{\rtf1{\field{\*\fldinst HYPERLINK "x"}{\fldrslt shown}}\par\par}"#, "shown\n\n");
        check(
            r"{\rtf1 text{\footnote a note} goes on\par{\shp{\*\shpinst{\sp{\sn x}{\sv 1}}{\shptxt box}}{\shprslt box}}}",
            "a note\ntext goes on\nbox\n",
        );
    }

    #[test]
    fn characters_are_of_the_charset_of_file_or_font_or_of_unicode() {
        check(r"{\rtf1\ansi\ansicpg1250 \'b3\'f3d\'9f}", "łódź\n");
        let fonts = r"{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset204 B;}{\f2\fcharset128 C;}}";
        check(&format!(r"{{\rtf1\ansi\deff0{fonts}\'e9{{\f1 \'e9}}{{\f2 \'93\'fa}}}}"), "éй日\n");
        check(r"{\rtf1\u233?\u-10179?\u-8704?{\uc0\u8364}{\uc2\u8364\'80x}\u128512?.}", "é😀€€😀.\n");
        let malformed = decode(r"{\rtf1\u-10179?x\'}");
        assert_eq!(malformed.problems, ["1 pieces of text are malformed in their charset"]);
    }

    #[test]
    fn paragraphs_lead_back_to_the_file_and_pictures_are_files_inside() {
        let file = r"{\rtf1 first\par{\*\shppict{\pict{\*\blipuid 00}\pngblip 8950 4e47}}{\nonshppict{\pict\wmetafile8 00}}\b second\par}";
        let document = decode(file);
        let places = document.views[0].units.iter().map(|unit| match &unit.origin {
            Some(Origin::SourceBytes(place)) => &file[place.start as usize..place.end as usize],
            _ => panic!("a paragraph has a place"),
        });
        assert_eq!(places.collect::<Vec<_>>(), ["first", "second"]);
        let [picture] = &document.embedded[..] else { panic!("one picture") };
        assert_eq!((&*picture.name, &picture.bytes[..]), ("picture 1.png", &b"\x89PNG"[..]));
    }

    #[test]
    fn no_group_is_too_deep() {
        let deep = format!("{{\\rtf1 {}x", "{".repeat(1_000_000));
        assert_eq!(decode(&deep).problems, ["it ends inside 1000001 groups"]);
    }
}
