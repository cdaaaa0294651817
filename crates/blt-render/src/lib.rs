//! Pictures of a sphere: a page to turn it in, and drawings of it.
//!
//! [`Picture::new`] looks at a sphere once; [`Picture::html`] makes of it one page without a network, and `svg` and `png` the same
//! panels on paper. The same sphere gives the same bytes. Nothing here reads or writes a file.

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
