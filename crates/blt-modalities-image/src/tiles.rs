//! Cutting a picture into tiles.

use crate::ImageDecoder;

/// A rectangle of pixels inside a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// The tiles of a frame, squares of the largest size row by row, each divided as a quad-tree: upper left, upper right, lower
/// left, lower right. At the right and lower edges tiles are as small as the picture leaves them.
pub(crate) fn tiles(
    pixels: &[u8],
    width: u32,
    height: u32,
    bytes_per_pixel: usize,
    options: &ImageDecoder,
) -> Vec<Tile> {
    let min = options.min_tile.max(1);
    let mut max = min;
    while max < options.max_tile.max(min) {
        max = max.saturating_mul(2);
    }
    let frame = FrameBytes { pixels, width, height, bytes_per_pixel, min, merge_entropy: options.merge_entropy };
    let mut tiles = Vec::new();
    for y in (0..height).step_by(max as usize) {
        for x in (0..width).step_by(max as usize) {
            frame.divide(x, y, max, &mut tiles);
        }
    }
    tiles
}

struct FrameBytes<'a> {
    pixels: &'a [u8],
    width: u32,
    height: u32,
    bytes_per_pixel: usize,
    min: u32,
    merge_entropy: f32,
}

/// How often each byte occurs in a square, if the square is one tile.
type Histogram = Option<Box<[u32; 256]>>;

impl FrameBytes<'_> {
    /// Appends the tiles of the square of `side` pixels at `(x, y)`. Four quarters that are one tile each become one if
    /// their bytes together have little entropy.
    fn divide(&self, x: u32, y: u32, side: u32, tiles: &mut Vec<Tile>) -> Histogram {
        if x >= self.width || y >= self.height {
            return Some(Box::new([0; 256])); // outside the picture; merges with anything
        }
        let tile = Tile { x, y, width: side.min(self.width - x), height: side.min(self.height - y) };
        if side <= self.min {
            tiles.push(tile);
            return Some(self.histogram(tile));
        }
        let n_before = tiles.len();
        let half = side / 2;
        let quarters =
            [(x, y), (x + half, y), (x, y + half), (x + half, y + half)].map(|(x, y)| self.divide(x, y, half, tiles));
        let mut sum = Box::new([0u32; 256]);
        for quarter in &quarters {
            let quarter = quarter.as_ref()?;
            sum.iter_mut().zip(quarter.iter()).for_each(|(sum, count)| *sum += count);
        }
        if entropy(&sum) >= self.merge_entropy {
            return None;
        }
        tiles.truncate(n_before);
        tiles.push(tile);
        Some(sum)
    }

    fn histogram(&self, tile: Tile) -> Box<[u32; 256]> {
        let mut counts = Box::new([0u32; 256]);
        for row in tile.y..tile.y + tile.height {
            let first = (row as usize * self.width as usize + tile.x as usize) * self.bytes_per_pixel;
            for &byte in &self.pixels[first..first + tile.width as usize * self.bytes_per_pixel] {
                counts[usize::from(byte)] += 1;
            }
        }
        counts
    }
}

/// Shannon entropy in bits a byte.
fn entropy(counts: &[u32; 256]) -> f32 {
    let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let terms = counts.iter().filter(|&&count| count > 0).map(|&count| {
        let share = f64::from(count) / total as f64;
        -share * share.log2()
    });
    terms.sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_counts() {
        let mut counts = [0; 256];
        assert_eq!(entropy(&counts), 0.0);
        counts[3] = 8;
        assert_eq!(entropy(&counts), 0.0);
        counts[200] = 8;
        assert_eq!(entropy(&counts), 1.0);
        assert_eq!(entropy(&[5; 256]), 8.0);
    }
}
