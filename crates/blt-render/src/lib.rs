//! Pictures of a sphere: a page to turn it in, and drawings of it.
//!
//! [`Picture::new`] looks at a sphere once; [`Picture::html`] makes of it one page without a network, and `svg` and `png` the same
//! panels on paper. The same sphere gives the same bytes. Nothing here reads or writes a file.
//!
//! ```no_run
//! use blt_corpus::PlacedFile;
//! use blt_render::{Picture, RenderOptions};
//!
//! let placed = PlacedFile::open("spheres/all.sphere.npz".as_ref())?.read()?;
//! let options = RenderOptions { max_points: 100_000, band_limit: 32, colour_by: None };
//! let picture = Picture::new("all", &placed, &options)?;
//! std::fs::write("all.html", picture.html())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A picture is a list of marks (`drawing`), which becomes SVG or pixels. The page has two of the panels as SVG, and draws all
//! points with a program of its own, `src/page/*.js`: `data` and `text` know the sphere, `camera` where its points are, `webgl` and `raster`
//! draw them, `panels` those of the panels, and `main` answers the user.

mod axis;
mod ball;
mod colours;
mod drawing;
mod page;
mod panels;
mod picture;
mod png;
mod points;
mod scale;
mod sheet;
mod shells;
mod svg;

pub use picture::{Picture, RenderError, RenderOptions};
pub use scale::ColourBy;
