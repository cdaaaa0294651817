//! Pages and drawings of made-up spheres: what stands in them, and that nothing else does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sample;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use blt_corpus::{HarmonicsOptions, Placed, harmonics_of};
use blt_render::{ColourBy, Picture, RenderError, RenderOptions};
use serde_json::Value;

use sample::{HOSTILE, sphere};

const OPTIONS: RenderOptions = RenderOptions { max_points: 1000, band_limit: 8, colour_by: None };

fn html(placed: &Placed, options: &RenderOptions) -> String {
    Picture::new("a <name>", placed, options).unwrap().html()
}

/// The data of a page.
fn data(page: &str) -> Value {
    let (_, after) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(after.split_once("</script>").unwrap().0).unwrap()
}

/// A column of a page, as bytes and the width of a value.
fn column(data: &Value, name: &str) -> (Vec<u8>, usize) {
    let column = &data["columns"][name];
    let width = column["type"].as_str().unwrap()[1..].parse().unwrap();
    (BASE64.decode(column["data"].as_str().unwrap()).unwrap(), width)
}

fn integers(data: &Value, name: &str) -> Vec<u64> {
    let (bytes, width) = column(data, name);
    bytes.chunks(width).map(|bytes| bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))).collect()
}

fn floats(data: &Value, name: &str) -> Vec<f32> {
    column(data, name).0.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[test]
fn a_page_holds_the_numbers_of_its_sphere() {
    let placed = sphere(500, 3);
    let page = data(&html(&placed, &OPTIONS));
    assert_eq!((page["patches"].as_u64(), page["drawn"].as_u64()), (Some(500), Some(500)));
    assert_eq!(integers(&page, "id"), (0..500).collect::<Vec<u64>>());
    let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
    assert_eq!(floats(&page, "radius"), narrow(&placed.radii));
    assert_eq!(floats(&page, "share"), narrow(placed.shares.as_ref().unwrap()));
    assert_eq!(floats(&page, "theta"), narrow(&placed.theta));
    assert_eq!(floats(&page, "phi"), narrow(&placed.phi));
    assert_eq!(floats(&page, "prominence"), placed.prominence);
    assert_eq!(floats(&page, "entropy"), *placed.entropies.as_ref().unwrap());
    assert_eq!(integers(&page, "zone"), placed.zones.iter().map(|&zone| u64::from(zone)).collect::<Vec<_>>());
    assert_eq!(integers(&page, "shell"), placed.shells.iter().map(|&shell| shell as u64).collect::<Vec<_>>());
    assert_eq!(column(&page, "bytes").0, placed.bytes);
    let starts: Vec<u64> = (0..500)
        .map(|i| {
            let first = (0..500).find(|&j| placed.document[j] == placed.document[i]).unwrap();
            (placed.byte_starts[i] - placed.byte_starts[first]) as u64
        })
        .collect();
    assert_eq!(integers(&page, "offset"), starts);

    let counts = page["shells"].as_array().unwrap().iter().map(|bar| bar[2].as_u64().unwrap()).collect::<Vec<_>>();
    let expected =
        (0..64).map(|shell| placed.shells.iter().filter(|&&s| s == shell).count() as u64).collect::<Vec<_>>();
    assert_eq!(counts, expected);
    let harmonics = harmonics_of(&placed, &HarmonicsOptions { band_limit: 8, ..HarmonicsOptions::default() }).unwrap();
    let spectrum = &harmonics[0].spectrum;
    assert_eq!(page["spectrum"]["c_l"], serde_json::json!(spectrum.power));
    assert_eq!(page["spectrum"]["shot_noise"], serde_json::json!(spectrum.shot_noise));
}

#[test]
fn nothing_of_the_sphere_is_markup() {
    let mut placed = sphere(700, 4);
    placed.metadata.insert("model".to_owned(), "<script>window.hacked = 1</script>".to_owned());
    let page = html(&placed, &OPTIONS);
    // One block of data and one program.
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    assert!(page.contains("<title>a &lt;name&gt;</title>") && page.contains("&lt;script&gt;window.hacked"));
    assert_eq!(data(&page)["documents"][1], "</title><script>window.hacked = 1</script>");
    for forbidden in ["http://", "https://", "src=", "href=", "@import", "url(", "fetch(", "innerHTML", "eval("] {
        let found = page.replace("http://www.w3.org/2000/svg", "").contains(forbidden);
        assert!(!found, "{forbidden} stands in the page");
    }
    let picture =
        Picture::new("<x>", &placed, &RenderOptions { colour_by: Some(ColourBy::Document), ..OPTIONS }).unwrap();
    let svg = picture.svg();
    assert!(!svg.contains("<script") && svg.contains("&lt;/title&gt;&lt;script&gt;"));
    // Neither writing that turns nor a control character reaches a reader of XML.
    assert!(
        svg.contains("turned \\u{202e}txt.exe")
            && !svg.contains('\u{202e}')
            && !svg.contains(|c: char| c.is_control() && c != '\n')
    );
    assert!(
        HOSTILE.iter().all(|text| text.is_empty() || placed.bytes.windows(text.len()).any(|window| window == *text))
    );
}

#[test]
fn the_policy_of_a_page_names_its_program_and_its_style() {
    use sha2::{Digest, Sha256};
    let page = html(&sphere(5, 1), &OPTIONS);
    let between = |start: &str, end: &str| page.split_once(start).unwrap().1.split_once(end).unwrap().0;
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(Sha256::digest(text.as_bytes())));
    let policy = between("http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    let program = page.rsplit_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    let style = between("<style>", "</style>");
    assert_eq!(policy, format!("default-src 'none'; script-src {}; style-src {}", hash(program), hash(style)));
}

#[test]
fn fewer_points_are_told_and_chosen_alike() {
    let placed = sphere(5000, 5);
    let options = RenderOptions { max_points: 300, ..OPTIONS };
    let picture = Picture::new("x", &placed, &options).unwrap();
    let told = picture.left_out().unwrap();
    assert!(told.starts_with("300 of 5000 patches are drawn, one out of each stretch of 16.7"), "{told}");
    let page = picture.html();
    assert!(page.contains(&told));
    let page = data(&page);
    let ids = integers(&page, "id");
    assert!(ids.len() == 300 && ids.is_sorted_by(|a, b| a < b));
    let mut by_document = BTreeMap::new();
    ids.iter().for_each(|&id| *by_document.entry(placed.document[id as usize]).or_insert(0) += 1);
    assert!(by_document.values().all(|&n| n == 60), "{by_document:?}");
    // Texts are those of the chosen, and numbers of shells and harmonics of all.
    let texts: Vec<u8> = ids.iter().flat_map(|&id| placed.patch_bytes(id as usize).iter().copied()).collect();
    assert_eq!(column(&page, "bytes").0, texts);
    let in_shells: u64 = page["shells"].as_array().unwrap().iter().map(|bar| bar[2].as_u64().unwrap()).sum();
    assert_eq!(in_shells, 5000);
    assert_eq!(page["spectrum"], data(&html(&placed, &OPTIONS))["spectrum"]);
    assert_eq!(Picture::new("x", &placed, &RenderOptions { max_points: 5000, ..OPTIONS }).unwrap().left_out(), None);
}

#[test]
fn a_hundred_thousand_points_are_a_few_megabytes() {
    let placed = sphere(100_000, 30);
    let page = html(&placed, &RenderOptions { max_points: 100_000, ..OPTIONS });
    let n_bytes = page.len() as f64 - 4.0 / 3.0 * placed.bytes.len() as f64;
    assert!(n_bytes < 60.0 * 100_000.0, "{n_bytes} bytes without the texts");
}

#[test]
fn the_same_sphere_gives_the_same_bytes() {
    let placed = sphere(400, 3);
    for colour_by in ColourBy::ALL {
        let options = RenderOptions { colour_by: Some(colour_by), max_points: 200, ..OPTIONS };
        let make = || {
            let picture = Picture::new("x", &placed, &options).unwrap();
            (picture.html(), picture.svg(), picture.png().unwrap())
        };
        assert!(make() == make(), "{colour_by:?}");
    }
}

#[test]
fn spheres_with_little_in_them_have_pictures() {
    let mut bare = sphere(40, 2);
    bare.entropies = None;
    bare.shell_bounds = None;
    bare.shares = None;
    bare.bytes = Vec::new();
    bare.byte_starts = vec![0; 41];
    bare.metadata.clear();
    bare.prominence = vec![1.0; 40];
    let mut equal = sphere(10, 1);
    equal.radii = vec![3.0; 10];
    equal.shares = Some(vec![0.1; 10]);
    equal.entropies = Some(vec![f32::NAN; 10]);
    let mut flawed = sphere(10, 1);
    flawed.radii[3] = f64::NAN;
    flawed.prominence[4] = f32::INFINITY;
    let mut far = sphere(3, 1);
    (far.shells, far.shell_bounds) = (vec![0, 7, i32::MAX], None);
    for placed in [sphere(0, 0), sphere(1, 1), bare, equal, flawed.clone(), far] {
        let picture = Picture::new("x", &placed, &OPTIONS).unwrap();
        let (page, svg) = (picture.html(), picture.svg());
        assert!(!svg.contains("NaN") && !svg.contains("inf\"") && !picture.png().unwrap().is_empty());
        assert_eq!(data(&page)["patches"], placed.len());
        assert!(data(&page)["shells"].as_array().unwrap().len() <= 256);
        // Shares that do not differ are no picture.
        let n_panels = page.matches("<canvas data-plot=\"share-").count();
        assert_eq!(
            n_panels > 0,
            placed.shares.as_ref().is_some_and(|shares| shares.windows(2).any(|pair| pair[0] != pair[1]))
        );
    }
    let picture = Picture::new("x", &flawed, &OPTIONS).unwrap();
    assert_eq!(picture.left_out().unwrap(), "2 patches are left out: their place or prominence is no finite number");
    assert_eq!(integers(&data(&picture.html()), "id"), [0, 1, 2, 5, 6, 7, 8, 9]);
    flawed.entropies = None;
    let by_entropy = RenderOptions { colour_by: Some(ColourBy::Entropy), ..OPTIONS };
    assert!(matches!(Picture::new("x", &flawed, &by_entropy), Err(RenderError::NoEntropies)));
    let too_high = RenderOptions { band_limit: 5000, ..OPTIONS };
    assert!(matches!(Picture::new("x", &flawed, &too_high), Err(RenderError::Spectrum(_))));
}

/// Where a patch of a document is missing, later offsets are not made up.
#[test]
fn offsets_are_told_only_as_far_as_they_are_known() {
    let mut placed = sphere(6, 1);
    placed.patch_idx = vec![0, 1, 2, 4, 5, 6];
    let offsets = integers(&data(&html(&placed, &OPTIONS)), "offset");
    let unknown = u64::from(u32::MAX);
    let known: Vec<u64> = placed.byte_starts[..3].iter().map(|&start| start as u64).collect();
    assert_eq!(offsets, [known, vec![unknown; 3]].concat());
}
