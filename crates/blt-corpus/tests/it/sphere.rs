//! Sphere files, indexes and harmonics: written, read back, and checked.

use std::path::Path;

use blt_corpus::{
    ArrayFile, Exports, HarmonicsOptions, Part, PatchArrays, PlaceOptions, PlacedFile, ReadOptions, Report, Roots,
    RootsOptions, Sphere, harmonics_of, place, read_harmonics, rows_of, verify, write_harmonics,
};
use blt_sphere::{FillOptions, Method, Temperature, Zone, ZoneOptions, ZoneTarget};
use safetensors::Dtype::{F32, F64, I32};

use crate::{floats, ints, write_patch_file, write_safetensors};

fn options() -> PlaceOptions {
    let method = Method::Entropy { temperature: Temperature::default() };
    PlaceOptions { fill: FillOptions { method, ..FillOptions::default() }, ..PlaceOptions::default() }
}

/// Places `n` patches and writes them as `x.sphere.npz` and `x.sphere.safetensors` into `folder`.
fn filled(folder: &Path, n: usize, options: &PlaceOptions) -> PatchArrays {
    let path = folder.join("x.safetensors");
    write_patch_file(&path, n, 2, 5);
    let mut patches = PatchArrays::default();
    patches.append_file(&path, ReadOptions::default()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (placement, left_out) = place(&mut patches, options).unwrap();
    assert!(left_out.is_empty());
    let exports = Exports { npz: true, safetensors: true, json: true };
    Sphere { patches: &patches, placement: &placement, options }.write_forms(folder, "x", exports).unwrap();
    patches
}

fn only(path: &Path) -> Report {
    let mut reports = verify(path).unwrap();
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

#[track_caller]
fn assert_holds(report: &Report) {
    let wrong: Vec<_> = report.checks.iter().filter(|check| !check.holds).collect();
    assert!(report.holds() && report.checks.len() > 2, "{}: {wrong:?}", report.kind);
}

#[test]
fn both_forms_hold_the_union_of_keys_and_pass() {
    let folder = tempfile::tempdir().unwrap();
    let patches = filled(folder.path(), 300, &options());
    let (npz, safetensors) = (folder.path().join("x.sphere.npz"), folder.path().join("x.sphere.safetensors"));
    let (a, b) = (ArrayFile::open(&npz).unwrap(), ArrayFile::open(&safetensors).unwrap());
    assert_eq!((a.arrays(), a.metadata()), (b.arrays(), b.metadata()));
    for name in [
        "sphere_coords",
        "radii",
        "shells",
        "original_prominence",
        "original_entropies",
        "original_coherence",
        "r",
        "theta",
        "phi",
        "cartesian",
        "prominence",
        "entropies",
        "zone",
        "alloc",
        "chart_axes",
        "coherence01",
    ] {
        assert!(a.info(name).is_some(), "{name}");
    }
    assert_eq!(a.info("sphere_coords").unwrap().shape, [300, 8]);
    for path in [&npz, &safetensors] {
        assert_holds(&only(path));
        let file = PlacedFile::open(path).unwrap();
        let placed = file.read().unwrap();
        assert_eq!((placed.len(), placed.documents.as_slice()), (300, &["x".to_owned()][..]));
        assert_eq!(placed.patch_bytes(5), &patches.bytes[11..13]);
        let (rows, dim) = file.embeddings().unwrap();
        let cosine = rows[..dim].iter().zip(&patches.embeddings).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let norm = patches.embeddings[..dim].iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
        assert!((cosine / (norm * placed.radii[0]) - 1.0).abs() < 1e-6, "directions are kept");
        // New embeddings get the directions that the fitted ones have.
        let chart = file.chart().unwrap();
        let again = chart.apply(patches.rows(), |i| i as u64);
        let off = again.iter().zip(&placed.phi).map(|((_, phi), old)| (phi - old).abs()).fold(0.0, f64::max);
        assert!(off < 1e-6, "{off}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("x.sphere.json")).unwrap()).unwrap();
    assert_eq!(json["patches"].as_array().unwrap().len(), 300);
    let other = tempfile::tempdir().unwrap();
    filled(other.path(), 300, &options());
    for name in ["x.sphere.npz", "x.sphere.safetensors", "x.sphere.json"] {
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), std::fs::read(other.path().join(name)).unwrap());
    }
}

#[test]
fn few_and_no_patches_are_files_like_others() {
    for n in [0, 1, 2] {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), n, &options());
        for name in ["x.sphere.npz", "x.sphere.safetensors"] {
            let path = folder.path().join(name);
            assert_holds(&only(&path));
            let file = PlacedFile::open(&path).unwrap();
            let (placed, embeddings) = (file.read().unwrap(), file.embeddings().unwrap());
            let roots = Roots::build(rows_of(&embeddings), &placed, RootsOptions::default());
            let index = folder.path().join("x.roots.safetensors");
            roots.write(&index, placed.places(), file.sha256().unwrap()).unwrap();
            assert_holds(&only(&index));
            let parts = harmonics_of(&placed, &HarmonicsOptions::default()).unwrap();
            assert_eq!(parts[0].harmonics.n_points(), n);
        }
    }
}

/// Every kind of damage is found by a check that names it.
#[test]
fn verification_finds_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 40, &options());
    let path = folder.path().join("x.sphere.safetensors");
    let good = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&good[8..header]).unwrap();
    type Damage<'a> = (&'a str, &'a str, usize, Vec<u8>);
    let damages: [Damage<'_>; 11] = [
        ("radii", "r", 3, 1e6f64.to_le_bytes().to_vec()),
        ("radii", "r", 3, f64::NAN.to_le_bytes().to_vec()),
        ("owned volumes", "r", 3, 100f64.to_le_bytes().to_vec()),
        ("theta", "theta", 0, 4f64.to_le_bytes().to_vec()),
        ("shells", "shells", 7, 200i32.to_le_bytes().to_vec()),
        ("sum of shares", "alloc", 7, 0.9f64.to_le_bytes().to_vec()),
        ("zones", "zone", 2, vec![0]),
        ("documents", "patch_idx", 9, 3i32.to_le_bytes().to_vec()),
        ("cartesian", "cartesian", 5, 9f32.to_le_bytes().to_vec()),
        ("sphere_coords", "sphere_coords", 8, f32::INFINITY.to_le_bytes().to_vec()),
        ("entropies", "entropies", 1, 6f32.to_le_bytes().to_vec()),
    ];
    for (name, tensor, index, bytes) in damages {
        let start = header + json[tensor]["data_offsets"][0].as_u64().unwrap() as usize + index * bytes.len();
        let mut damaged = good.clone();
        damaged[start..start + bytes.len()].copy_from_slice(&bytes);
        std::fs::write(&path, &damaged).unwrap();
        let report = only(&path);
        let wrong: Vec<&str> = report.checks.iter().filter(|check| !check.holds).map(|check| check.name).collect();
        assert!(wrong.contains(&name) && wrong.contains(&"hash"), "{name} {tensor}: {wrong:?}");
    }
}

#[test]
fn patches_go_where_their_role_or_the_option_says() {
    let folder = tempfile::tempdir().unwrap();
    let forced = ZoneOptions { target: ZoneTarget::All(Zone::Qa), ..ZoneOptions::default() };
    let options = PlaceOptions { fill: FillOptions { zones: forced, ..options().fill }, ..PlaceOptions::default() };
    filled(folder.path(), 60, &options);
    let placed = PlacedFile::open(&folder.path().join("x.sphere.npz")).unwrap().read().unwrap();
    assert!(placed.zones.iter().all(|&zone| zone == Zone::Qa as u8) && placed.theta.iter().all(|&theta| theta > 2.87));
    assert_holds(&only(&folder.path().join("x.sphere.npz")));
}

/// The two forms of the original's scripts: no hash, no zones, no shares.
#[test]
fn spheres_of_the_original_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.sphere.safetensors");
    let radii = [("r", F32, vec![2], floats(&[40.0, 500.0])), ("prominence", F32, vec![2], floats(&[3.0, 1.0]))];
    let angles = [("theta", F32, vec![2], floats(&[1.0, 3.0])), ("phi", F32, vec![2], floats(&[-1.0, 2.0]))];
    write_safetensors(&path, &[&radii[..], &angles[..]].concat(), &[]);
    let placed = PlacedFile::open(&path).unwrap().read().unwrap();
    assert!((placed.phi[0] - (std::f64::consts::TAU - 1.0)).abs() < 1e-6);
    assert_eq!((placed.zones.as_slice(), placed.shells.as_slice()), (&[1, 2][..], &[0, 0][..]));
    assert!(only(&path).holds());

    let script = [
        ("radii", F64, vec![1], 40f64.to_le_bytes().to_vec()),
        ("shells", I32, vec![1], ints(&[3])),
        ("original_prominence", F32, vec![1], floats(&[3.0])),
        ("sphere_coords", F32, vec![1, 3], floats(&[0.0, 40.0, 0.0])),
    ];
    write_safetensors(&path, &script, &[]);
    let placed = PlacedFile::open(&path).unwrap().read().unwrap();
    assert!(
        (placed.theta[0] - std::f64::consts::FRAC_PI_2).abs() < 1e-6
            && (placed.phi[0] - std::f64::consts::FRAC_PI_2).abs() < 1e-6
    );
    write_safetensors(&path, &script[..2], &[]);
    assert!(PlacedFile::open(&path).unwrap().read().unwrap_err().hint().is_some(), "it has no directions");
    write_safetensors(&path, &script[1..], &[]);
    assert!(PlacedFile::open(&path).is_err(), "it has no radii");
}

#[test]
fn flawed_patches_are_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    write_patch_file(&path, 10, 2, 5);
    let mut patches = PatchArrays::default();
    patches.append_file(&path, ReadOptions::default()).unwrap();
    patches.append_file(&path, ReadOptions::default()).unwrap();
    patches.embeddings[8 * 3 + 2] = f32::NAN;
    patches.prominence[12] = -1.0;
    let text: Vec<u8> = patches.bytes.clone();
    let (placement, left_out) = place(&mut patches, &options()).unwrap();
    let named: Vec<_> = left_out.iter().map(|patch| (patch.document.as_str(), patch.patch_idx)).collect();
    assert_eq!((named, placement.radii.len()), (vec![("x", 3), ("x", 2)], 18));
    assert_eq!(patches.patch_idx[..4], [0, 1, 2, 4]);
    assert_eq!(patches.documents.iter().map(|d| d.views.clone()).collect::<Vec<_>>(), [[4, 5], [4, 5]]);
    assert_eq!(patches.bytes.len(), text.len() - 4 - 3);
    assert_eq!(patches.bytes[..6], text[..6]);
    assert_eq!(patches.bytes[6..8], text[10..12]);
}

#[test]
fn indexes_belong_to_their_sphere() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 400, &options());
    let sphere = PlacedFile::open(&folder.path().join("x.sphere.npz")).unwrap();
    let (placed, embeddings) = (sphere.read().unwrap(), sphere.embeddings().unwrap());
    let rows = rows_of(&embeddings);
    let options = RootsOptions { n_partitions: 16, ..RootsOptions::default() };
    let index = folder.path().join("x.roots.safetensors");
    let built = Roots::build(rows, &placed, options);
    built.write(&index, placed.places(), sphere.sha256().unwrap()).unwrap();
    let first = std::fs::read(&index).unwrap();
    let opened = Roots::open(&index, rows, &placed, sphere.sha256()).unwrap();
    assert_eq!((opened.tree.parts(), &opened.partitions), (built.tree.parts(), &built.partitions));
    assert_eq!(opened.options, options);
    let n_bytes: u64 = opened.partitions.partitions.iter().flat_map(|partition| partition.byte_counts.iter()).sum();
    assert_eq!(n_bytes, placed.bytes.len() as u64);
    opened.write(&index, placed.places(), sphere.sha256().unwrap()).unwrap();
    assert_eq!(std::fs::read(&index).unwrap(), first);
    assert_holds(&only(&index));
    let error = Roots::open(&index, rows, &placed, Some("another")).unwrap_err();
    assert!(error.to_string().contains("the index of another sphere"), "{error}");

    let parts = harmonics_of(&placed, &HarmonicsOptions { band_limit: 6, shells: true, ..Default::default() }).unwrap();
    assert!(parts.iter().filter(|part| matches!(part.part, Part::Shell(_))).count() > 10);
    let path = folder.path().join("x.harmonics.npz");
    let options = HarmonicsOptions { band_limit: 6, shells: true, ..Default::default() };
    write_harmonics(&path, &parts, &options, "hash").unwrap();
    let read = read_harmonics(&path).unwrap();
    assert_eq!(read.len(), parts.len());
    assert_eq!(read[1].harmonics.coefficients(), parts[1].harmonics.coefficients());
    assert_holds(&only(&path));
}
