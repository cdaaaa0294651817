//! Whole files, written by hand, through the decoder.

use std::io::Cursor;

use blt_core::{DecodeError, Decoder, Document, Hint, Limits, Origin, Unit, View, ViewData};
use proptest::prelude::*;

use crate::{PdfDecoder, PdfMode};

/// A file with one page for each content stream, 200 points wide and 100 high, with Courier as `F`.
fn pdf(contents: &[&str], page_entries: &str) -> Vec<u8> {
    let kids: String = (0..contents.len()).map(|i| format!("{} 0 R ", 10 + 2 * i)).collect();
    let n_pages = contents.len();
    let mut file = format!(
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n\
         2 0 obj<</Type/Pages/Kids[{kids}]/Count {n_pages}/MediaBox[0 0 200 100]\
         /Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Courier/Encoding/WinAnsiEncoding>>>>>>>>endobj\n"
    );
    for (i, content) in contents.iter().enumerate() {
        let (page, stream, length) = (10 + 2 * i, 11 + 2 * i, content.len());
        file += &format!("{page} 0 obj<</Type/Page/Parent 2 0 R/Contents {stream} 0 R{page_entries}>>endobj\n");
        file += &format!("{stream} 0 obj<</Length {length}>>stream\n{content}\nendstream endobj\n");
    }
    file += "trailer<</Root 1 0 R>>\n";
    file.into_bytes()
}

/// Drawing operators for `text` in 10 points at a place; a letter is 6 points wide.
fn show(x: u32, y: u32, text: &str) -> String {
    format!("BT /F 10 Tf {x} {y} Td ({text}) Tj ET\n")
}

fn decode_with(mode: PdfMode, bytes: Vec<u8>, limits: &Limits) -> Result<Document, DecodeError> {
    let decoder = PdfDecoder { mode, ..PdfDecoder::default() };
    let document = decoder.decode(&mut Cursor::new(bytes), &Hint::default(), limits)?;
    for view in &document.views {
        if let ViewData::Owned(bytes) = &view.data {
            view.check_units(bytes.len() as u64).expect("the units tile the view");
        }
    }
    Ok(document)
}

fn decode(contents: &[&str]) -> Document {
    decode_with(PdfMode::Text, pdf(contents, ""), &Limits::default()).expect("the file is sound")
}

fn text(view: &View) -> &str {
    let ViewData::Owned(bytes) = &view.data else { panic!("the view is the source") };
    str::from_utf8(bytes).expect("the text is UTF-8")
}

#[track_caller]
fn check_rect(unit: &Unit, expected_page: u32, expected: [f32; 4]) {
    let Some(Origin::Page { page, rect }) = unit.origin else { panic!("{unit:?} has no place") };
    let found = [rect.x0, rect.y0, rect.x1, rect.y1];
    let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.01);
    assert!(page == expected_page && near, "{unit:?}");
}

#[test]
fn lines_have_their_place_on_the_page() {
    let document = decode(&[&(show(20, 80, "one two") + &show(20, 68, "three")), &show(10, 10, "last")]);
    let view = &document.views[0];
    assert_eq!(text(view), "one two\nthree\n\n\x0Clast\n\n\x0C");
    let labels: Vec<_> = view.units.iter().map(|unit| unit.label.as_ref()).collect();
    assert_eq!(labels, ["page", "block", "line", "line", "page", "block", "line"]);
    assert_eq!(view.units[4].name.as_deref(), Some("2"));
    check_rect(&view.units[0], 0, [0.0, 0.0, 200.0, 100.0]);
    check_rect(&view.units[2], 0, [20.0, 12.4, 62.0, 22.4]);
    check_rect(&view.units[6], 1, [10.0, 82.4, 34.0, 92.4]);
}

#[test]
fn a_turned_page_is_read_as_shown() {
    let file = pdf(&["BT /F 10 Tf 0 1 -1 0 50 20 Tm (up) Tj ET"], "/Rotate 90");
    let document = decode_with(PdfMode::Text, file, &Limits::default()).expect("the file is sound");
    let view = &document.views[0];
    assert_eq!(text(view), "up\n\n\x0C");
    check_rect(&view.units[0], 0, [0.0, 0.0, 100.0, 200.0]);
    check_rect(&view.units[2], 0, [20.0, 42.4, 32.0, 52.4]);
}

#[test]
fn gaps_and_drawn_spaces_part_words_once() {
    let document = decode(&["BT /F 10 Tf 10 50 Td [(one) -600 (two) 40 (three)] TJ ( four ) Tj 0 0 Td ET"]);
    assert_eq!(text(&document.views[0]), "one twothree four\n\n\x0C");
}

#[test]
fn columns_are_read_one_after_the_other_and_tables_by_rows() {
    let row = |y, left: &str, right: &str| show(10, y, left) + &show(110, y, right);
    let columns: String = [
        (80, "left text one", "and the right"),
        (68, "left text two", "column beside"),
        (56, "left text six", "it, to its end"),
    ]
    .map(|(y, left, right)| row(y, left, right))
    .concat();
    let document = decode(&[&columns]);
    assert_eq!(
        text(&document.views[0]),
        "left text one\nleft text two\nleft text six\n\nand the right\ncolumn beside\nit, to its end\n\n\x0C"
    );
    let table: String =
        [(80, "name", "ape"), (68, "legs", "2"), (56, "tail", "0")].map(|(y, a, b)| row(y, a, b)).concat();
    assert_eq!(text(&decode(&[&table]).views[0]), "name ape\nlegs 2\ntail 0\n\n\x0C");
}

#[test]
fn invisible_text_counts_and_text_drawn_twice_counts_once() {
    let document = decode(&["BT /F 10 Tf 10 50 Td 3 Tr (hidden) Tj ET BT /F 10 Tf 2 Tr 10 20 Td (bold) Tj ET"]);
    assert_eq!(text(&document.views[0]), "hidden\n\nbold\n\n\x0C");
}

#[test]
fn replacement_text_stands_for_its_glyphs() {
    let document = decode(&["BT /F 10 Tf 10 50 Td (a) Tj /Span <</ActualText (ffi)>> BDC (#%) Tj EMC (x) Tj ET"]);
    assert_eq!(text(&document.views[0]), "affix\n\n\x0C");
}

#[test]
fn raised_figures_stay_on_their_line() {
    let document = decode(&["BT /F 10 Tf 10 50 Td (word) Tj /F 6 Tf 4 Ts (12) Tj ET"]);
    assert_eq!(text(&document.views[0]), "word12\n\n\x0C");
}

#[test]
fn pages_may_be_empty_and_scans_are_named() {
    let scan = "q 200 0 0 100 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \u{7F} EI Q";
    let document = decode(&["", scan]);
    assert_eq!(text(&document.views[0]), "\x0C\x0C");
    assert_eq!(document.problems, ["page 2 needs OCR"]);
}

#[test]
fn pages_become_pixels_and_pictures_become_figures() {
    let picture = "q 100 0 0 50 20 30 cm BI /W 2 /H 1 /CS /G /BPC 8 ID \u{01}\u{7F} EI Q";
    let file = pdf(&[picture], "");
    let document = decode_with(PdfMode::Multi, file, &Limits::default()).expect("the file is sound");
    let labels: Vec<_> = document.views.iter().map(|view| view.label.as_ref()).collect();
    assert_eq!(labels, ["raw", "text", "image", "figure"]);
    let ViewData::Owned(pixels) = &document.views[2].data else { panic!("the image view is made here") };
    assert_eq!(pixels.len(), 200 * 100 * 3);
    assert_eq!(document.views[2].units[0].name.as_deref(), Some("1 width=200 height=100"));
    assert_eq!(document.views[3].data, ViewData::Owned(vec![1, 1, 1, 127, 127, 127]));
    let figure = Unit { origin: document.views[3].origin.clone(), ..document.views[2].units[0].clone() };
    check_rect(&figure, 0, [20.0, 20.0, 120.0, 70.0]);
}

#[test]
fn limits_are_kept() {
    let file = || pdf(&[&show(10, 50, "one"), &show(10, 50, "two")], "");
    let text_with = |limits: &Limits| decode_with(PdfMode::Text, file(), limits);
    let few_pages = Limits { max_pages: 1, ..Limits::default() };
    assert!(matches!(text_with(&few_pages), Err(DecodeError::Limit { what, found: 2, .. }) if what == "pages"));
    let small = Limits { max_view_bytes: 6, ..Limits::default() };
    assert!(matches!(text_with(&small), Err(DecodeError::ViewTooLarge { .. })));
    let few_units = Limits { max_units: 6, ..Limits::default() };
    let document = text_with(&few_units).expect("pages remain");
    assert!(document.views[0].units.iter().any(|unit| unit.label == "page"));
    let few_pixels = Limits { max_pixels: 100, ..Limits::default() };
    let document = decode_with(PdfMode::Image, file(), &few_pixels).expect("pages are left out");
    assert_eq!(document.problems.len(), 2);
}

#[test]
fn hostile_page_sizes_are_left_out_of_the_image() {
    for size in [
        "0 0 90000 90000",
        "5 5 5 5",
        "0 0 1000000000000000000000 10",
        "0 0 -99999999999999999999999999999999999999999 9",
    ] {
        let file = pdf(&[&show(10, 50, "one")], &format!("/MediaBox[{size}]"));
        let document = decode_with(PdfMode::Multi, file, &Limits::default()).expect("the file is sound");
        assert_eq!(document.views.len(), 3, "{size}");
    }
}

#[test]
fn glyphs_outside_the_page_are_counted() {
    let document = decode(&[&(show(10, 50, "in") + &show(300, 50, "out"))]);
    assert_eq!(text(&document.views[0]), "in\n\n\x0C");
    assert_eq!(document.problems, ["page 1: 3 glyphs outside the page are left out"]);
}

#[test]
fn options_cross_as_json() {
    let decoder: PdfDecoder = serde_json::from_str(r#"{"mode":"multiview","passwords":["x"]}"#).expect("it is JSON");
    assert_eq!(decoder, PdfDecoder { mode: PdfMode::Multi, passwords: vec!["x".into()], render_dpi: 72 });
}

#[test]
fn what_is_no_pdf_is_refused() {
    let result = decode_with(PdfMode::Text, b"not a PDF".to_vec(), &Limits::default());
    assert!(matches!(result, Err(DecodeError::Content { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn units_tile_whatever_a_page_shows(
        pages in prop::collection::vec(prop::collection::vec((0..220u32, 0..110u32, "[a-z .]{0,12}"), 0..12), 1..4),
        max_units in 1..60usize,
    ) {
        let contents: Vec<String> =
            pages.iter().map(|shown| shown.iter().map(|(x, y, text)| show(*x, *y, text)).collect()).collect();
        let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
        let limits = Limits { max_units, ..Limits::default() };
        decode_with(PdfMode::Text, pdf(&contents, ""), &limits).expect("the file is sound");
    }
}
