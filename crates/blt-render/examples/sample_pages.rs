//! Writes pages of made-up spheres for `tests/pages/look.py`: `cargo run -p blt-render --example sample_pages -- FOLDER`.
//!
//! `hostile.html` has texts that want to be markup, and beside it `hostile.json` what they are; `many.html` 100,000 patches;
//! `empty.html` none; `hostile.svg` and `hostile.png` are the drawings.

#[path = "../tests/it/sample.rs"]
mod sample;

use std::error::Error;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use blt_render::{Picture, RenderOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: sample_pages FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    let options = RenderOptions { max_points: 100_000, band_limit: 16, colour_by: None };
    for (name, n, n_documents) in [("hostile", 700, 4), ("many", 100_000, 30), ("empty", 0, 0)] {
        let sphere = sample::sphere(n, n_documents);
        let title = format!("{name} <script>window.hacked = 1</script>");
        let picture = Picture::new(&title, &sphere, &options)?;
        std::fs::write(folder.join(format!("{name}.html")), picture.html())?;
        if name == "hostile" {
            std::fs::write(folder.join("hostile.svg"), picture.svg())?;
            std::fs::write(folder.join("hostile.png"), picture.png()?)?;
            let texts: Vec<String> = (0..n).map(|i| BASE64.encode(sphere.patch_bytes(i))).collect();
            let documents: Vec<&str> = (0..n).map(|i| sphere.document_of(i)).collect();
            let truth = serde_json::json!({"bytes": texts, "documents": documents, "radius": sphere.radii,
                "prominence": sphere.prominence, "entropy": sphere.entropies});
            std::fs::write(folder.join("hostile.json"), truth.to_string())?;
        }
    }
    Ok(())
}
