#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Cursor, Write};

use blt_core::{Origin, ViewData};
use proptest::prelude::*;

use super::*;

fn decode(bytes: &[u8], format: &str, views: Views) -> Result<Document, DecodeError> {
    let hint = Hint { format, ..Hint::default() };
    DocumentDecoder { views, ..DocumentDecoder::default() }.decode(&mut Cursor::new(bytes), &hint, &Limits::default())
}

fn zipped(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn text_of(view: &View) -> &str {
    let ViewData::Owned(bytes) = &view.data else { panic!("text is made") };
    assert_eq!(view.check_units(bytes.len() as u64), Ok(()));
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_word_document_gives_its_paragraphs_with_their_places() {
    let body = "<w:document><w:body><w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>One &amp; </w:t><w:tab/>\
        <w:t>two&#33;</w:t></w:r></w:p><w:p/><w:tbl><w:p><w:t>cell</w:t></w:p></w:tbl></w:body></w:document>";
    let file = zipped(&[
        ("word/document.xml", body),
        ("word/footnotes.xml", "<f><w:p><w:t>note</w:t></w:p></f>"),
        ("word/media/image1.png", "picture"),
    ]);
    let document = decode(&file, "docx", Views::Decoded).unwrap();
    let view = &document.views[0];
    assert_eq!(text_of(view), "One & \ttwo!\n\ncell\nnote\n");
    let Some(Origin::Member { name, range }) = &view.units[3].origin else { panic!("a paragraph has a place") };
    assert_eq!(&**name, "word/document.xml");
    assert_eq!(&body[range.start as usize..range.end as usize], "<w:p><w:t>cell</w:t></w:p>");
    assert_eq!(&*document.embedded[0].name, "word/media/image1.png");
}

#[test]
fn slides_come_in_the_order_of_the_show() {
    let slide = |text: &str| format!("<p:sld><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>");
    let file = zipped(&[
        ("ppt/presentation.xml", "<p><p:sldId id='256' r:id='rId2'/><p:sldId id='257' r:id='rId1'/></p>"),
        (
            "ppt/_rels/presentation.xml.rels",
            "<R><Relationship Id='rId1' Type='x/slide' Target='slides/slide1.xml'/>\
            <Relationship Id='rId2' Type='x/slide' Target='/ppt/slides/slide2.xml'/></R>",
        ),
        ("ppt/slides/slide1.xml", &slide("shown second")),
        ("ppt/slides/slide2.xml", &slide("shown first")),
    ]);
    let document = decode(&file, "pptx", Views::Decoded).unwrap();
    assert_eq!(text_of(&document.views[0]), "shown first\nshown second\n");
    assert_eq!(document.views[0].units[0].name.as_deref(), Some("ppt/slides/slide2.xml"));
}

#[test]
fn an_open_document_and_a_book_are_read() {
    let xml = "<o><text:h>Title</text:h><text:p>a<text:s text:c='3'/>b<text:tab/><text:span>c</text:span></text:p></o>";
    let document = decode(&zipped(&[("content.xml", xml)]), "odt", Views::Decoded).unwrap();
    assert_eq!(text_of(&document.views[0]), "Title\na   b\tc\n");
    let book = zipped(&[
        ("META-INF/container.xml", "<c><rootfile full-path='OEBPS/book.opf'/></c>"),
        (
            "OEBPS/book.opf",
            "<p><item id='b' href='two%20words.xhtml'/><item id='a' href='one.xhtml'/>\
            <itemref idref='b'/><itemref idref='a'/><itemref idref='gone'/></p>",
        ),
        ("OEBPS/one.xhtml", "<p>second</p>"),
        ("OEBPS/two words.xhtml", "<h1>first</h1>"),
    ]);
    let document = decode(&book, "epub", Views::Decoded).unwrap();
    assert_eq!(text_of(&document.views[0]), "first\nsecond\n");
    assert_eq!(document.problems, ["the chapter `gone` is not there"]);
}

#[test]
fn a_page_loses_its_scripts_and_keeps_its_spaces() {
    let page =
        b"<p>a  <i>b</i>\n c &lt;d&gt;<script>if (a < b) { '</p>' }</script></p><pre>x\n  y</pre><div>z<br>w</div>";
    let document = decode(page, "html", Views::Both).unwrap();
    assert_eq!(document.views[0].label, "raw");
    assert_eq!(text_of(&document.views[1]), "a b c <d>\nx\n  y\nz\nw\n");
}

#[test]
fn rows_are_units_of_the_table_itself() {
    let table = b"name;text\n\n1;\"a\nb\"\n2;c";
    let document = decode(table, "csv", Views::Decoded).unwrap();
    let ranges: Vec<_> = document.views[0].units.iter().map(|unit| (unit.range.start, unit.range.end)).collect();
    assert_eq!(ranges, [(0, 10), (10, 19), (19, 22)]);
    assert_eq!(document.views[0].check_units(table.len() as u64), Ok(()));
    let lines = decode(b"{}\n[]\n\n1", "jsonl", Views::Decoded).unwrap();
    assert_eq!(lines.views[0].units.len(), 4);
}

#[test]
fn a_message_gives_text_and_attachments() {
    let message = b"From: a@b.c\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nCaf=C3=A9 =\r\nau lait\r\n--X\r\n\
        Content-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=a.bin\r\n\r\nAAEC\r\n--X--\r\n";
    let document = decode(message, "eml", Views::Both).unwrap();
    assert_eq!(document.views[0].check_units(message.len() as u64), Ok(()));
    assert_eq!(text_of(&document.views[1]), "From: a@b.c\nSubject: Grüße\nCafé au lait\n");
    assert_eq!((&*document.embedded[0].name, &document.embedded[0].bytes[..]), ("a.bin", &[0, 1, 2][..]));
}

#[test]
fn a_message_inside_a_message_comes_out_of_its_encoding() {
    // `Subject: inner` and an empty line, in base64.
    let message = b"From: a@b.c\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\n\
        Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogaW5uZXINCg0KYm9keQ==\r\n--X--\r\n";
    let document = decode(message, "eml", Views::Decoded).unwrap();
    assert_eq!(document.embedded[0].bytes, b"Subject: inner\r\n\r\nbody");
}

#[test]
fn text_that_does_not_keep_to_its_charset_is_told() {
    let message = b"From: a@b.c\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nCaf\xE9\r\n";
    let document = decode(message, "eml", Views::Decoded).unwrap();
    assert_eq!(document.problems.len(), 1, "{:?}", document.problems);
}

#[test]
fn a_page_in_utf_16_is_refused_rather_than_garbled() {
    let page: Vec<u8> = [0xFF, 0xFE].into_iter().chain("<p>x".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert!(decode(&page, "html", Views::Decoded).unwrap_err().to_string().contains("UTF-16"));
}

#[test]
fn the_end_of_a_host_is_no_extension() {
    for (address, name) in
        [("http://x.rs", "x.rs/index"), ("http://x.rs/", "x.rs/index"), ("http://x.rs/a?b", "x.rs/a")]
    {
        let head =
            format!("WARC/1.0\r\nWARC-Type: resource\r\nWARC-Target-URI: {address}\r\nContent-Length: 2\r\n\r\n");
        let document = decode(format!("{head}ok\r\n\r\n").as_bytes(), "warc", Views::Decoded).unwrap();
        assert_eq!(&*document.embedded[0].name, name);
    }
}

#[test]
fn records_of_a_web_archive_are_units_and_their_contents_files_inside() {
    let http = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let record = format!(
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://x.org/a.txt?b=c.rs#d\r\n\
         Content-Type: application/http; msgtype=response\r\nContent-Length: {}\r\n\r\n{http}\r\n\r\n",
        http.len()
    );
    let archive = format!("{record}WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 2\r\n\r\nok\r\n\r\nrubbish");
    let document = decode(archive.as_bytes(), "warc", Views::Both).unwrap();
    assert_eq!((&*document.embedded[0].name, &document.embedded[0].bytes[..]), ("x.org/a.txt", &b"abcde"[..]));
    let view = &document.views[0];
    assert_eq!(view.check_units(archive.len() as u64), Ok(()));
    let labels: Vec<&str> = view.units.iter().map(|unit| &*unit.label).collect();
    assert_eq!(labels, ["record", "header", "block", "gap", "record", "header", "block", "overlay"]);
    assert_eq!(document.problems.len(), 1);
    // Without the files inside there is still the archive.
    let decoder = DocumentDecoder { embedded: false, ..DocumentDecoder::default() };
    let hint = Hint { format: "warc", ..Hint::default() };
    let document = decoder.decode(&mut Cursor::new(archive.as_bytes()), &hint, &Limits::default()).unwrap();
    assert_eq!((document.views.len(), document.embedded.len()), (1, 0));
}

#[test]
fn damage_is_an_error() {
    for format in ["docx", "pptx", "odt", "epub", "xlsx", "ods", "parquet", "eml", ""] {
        assert!(decode(b"", format, Views::Decoded).is_err(), "{format}");
        assert!(decode(b"PK\x03\x04 nothing else", format, Views::Decoded).is_err() || format == "eml", "{format}");
    }
}

proptest! {
    #[test]
    fn any_text_tiles(
        text in "(\\PC{0,12}[<>&;,\"\\n\\r: ]{0,3}){0,20}",
        format in prop::sample::select(vec!["html", "csv", "tsv", "jsonl", "eml", "warc", "rtf"]),
    ) {
        let text = match format {
            "warc" => format!("WARC/1.0\r\nContent-Length: 7\r\n\r\n{text}"),
            "rtf" => format!("{{\\rtf1 {}", text.replace('<', "{").replace('>', "}").replace('&', "\\")),
            _ => text,
        };
        if let Ok(document) = decode(text.as_bytes(), format, Views::Both) {
            for view in &document.views {
                let n_bytes = match &view.data { ViewData::Source => text.len(), ViewData::Owned(bytes) => bytes.len() };
                prop_assert_eq!(view.check_units(n_bytes as u64), Ok(()));
            }
        }
    }
}
