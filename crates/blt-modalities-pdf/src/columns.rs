//! Reading order: a page is cut into bands and columns until no cut is left.
//!
//! Source: the recursive X-Y cut, Nagy, Seth and Viswanathan 1992, doi 10.1109/2.144436. Two rules are our own: bands
//! that share a gutter stay together, and a gutter between short entries belongs to a table, which is read by rows.

use crate::words::{Chunk, median};

/// How deep cuts may nest; what is left then is read by rows.
const MAX_DEPTH: u32 = 16;
/// A gutter has at least this width, in font sizes.
const MIN_GUTTER: f64 = 0.8;
/// Columns have at least so many rows, with this many characters each on average.
const MIN_ROWS: usize = 3;
const MIN_ROW_CHARS: usize = 10;
/// Columns are filled with text at least this much, along their rows.
const MIN_FILL: f64 = 0.4;

/// Cuts `chunks` into blocks in reading order, each to be read by rows.
pub(crate) fn blocks(chunks: Vec<Chunk>, right_to_left: bool) -> Vec<Vec<Chunk>> {
    let mut blocks = Vec::new();
    cut(chunks, right_to_left, MAX_DEPTH, &mut blocks);
    blocks
}

fn cut(chunks: Vec<Chunk>, right_to_left: bool, depth: u32, blocks: &mut Vec<Vec<Chunk>>) {
    if depth == 0 {
        blocks.push(chunks);
        return;
    }
    let min_gutter = MIN_GUTTER * median(chunks.iter().map(|chunk| chunk.size).collect());
    for (group, cover) in groups(chunks, min_gutter) {
        let Some(gutter) = cover.widest_gap() else {
            blocks.push(group);
            continue;
        };
        let (left, right): (Vec<_>, Vec<_>) = group.iter().cloned().partition(|chunk| chunk.u0 < gutter);
        if is_column(&left) && is_column(&right) {
            let (first, second) = if right_to_left { (right, left) } else { (left, right) };
            cut(first, right_to_left, depth - 1, blocks);
            cut(second, right_to_left, depth - 1, blocks);
        } else {
            blocks.push(group);
        }
    }
}

/// Bands from top to bottom, where those that share a gutter are one, and those without any are one.
fn groups(chunks: Vec<Chunk>, min_gutter: f64) -> Vec<(Vec<Chunk>, Cover)> {
    let mut groups: Vec<(Vec<Chunk>, Cover)> = Vec::new();
    for band in bands(chunks) {
        let cover = Cover::new(&band, min_gutter);
        if let Some((group, group_cover)) = groups.last_mut() {
            let whole = group_cover.union(&cover, min_gutter);
            let apart = group_cover.has_gap() || cover.has_gap();
            if whole.has_gap() || !apart {
                group.extend(band);
                *group_cover = whole;
                continue;
            }
        }
        groups.push((band, cover));
    }
    groups
}

/// The stretches along `u` where there is text, apart from each other by a gutter at least.
#[derive(Debug)]
struct Cover(Vec<(f64, f64)>);

impl Cover {
    fn new(chunks: &[Chunk], min_gutter: f64) -> Self {
        Self::merged(chunks.iter().map(|chunk| (chunk.u0, chunk.u1)).collect(), min_gutter)
    }

    fn union(&self, other: &Cover, min_gutter: f64) -> Self {
        Self::merged(self.0.iter().chain(&other.0).copied().collect(), min_gutter)
    }

    fn merged(mut spans: Vec<(f64, f64)>, min_gutter: f64) -> Self {
        spans.sort_by(|one, other| one.0.total_cmp(&other.0));
        spans.dedup_by(|next, span| {
            let touches = next.0 - span.1 < min_gutter;
            if touches {
                span.1 = span.1.max(next.1);
            }
            touches
        });
        Self(spans)
    }

    fn has_gap(&self) -> bool {
        self.0.len() > 1
    }

    /// Where the widest gap ends.
    fn widest_gap(&self) -> Option<f64> {
        let gap = |pair: &&[(f64, f64)]| pair[1].0 - pair[0].1;
        let widest = self.0.windows(2).max_by(|one, other| gap(one).total_cmp(&gap(other)))?;
        Some(widest[1].0)
    }
}

/// Chunks whose rows overlap, from top to bottom.
fn bands(mut chunks: Vec<Chunk>) -> Vec<Vec<Chunk>> {
    chunks.sort_by(|one, other| one.top().total_cmp(&other.top()));
    let mut bands: Vec<Vec<Chunk>> = Vec::new();
    let mut bottom = f64::NEG_INFINITY;
    for chunk in chunks {
        let below = chunk.top() > bottom;
        bottom = bottom.max(chunk.bottom());
        match bands.last_mut() {
            Some(band) if !below => band.push(chunk),
            _ => bands.push(vec![chunk]),
        }
    }
    bands
}

/// Whether chunks look like a column of running text rather than of a table.
fn is_column(chunks: &[Chunk]) -> bool {
    let rows = bands(chunks.to_vec());
    // A band may hold several rows where their letters touch.
    let height = |band: &Vec<Chunk>| {
        let bottom = band.iter().map(Chunk::bottom).fold(f64::NEG_INFINITY, f64::max);
        let top = band.iter().map(Chunk::top).fold(f64::INFINITY, f64::min);
        ((bottom - top) / (1.3 * median(band.iter().map(|chunk| chunk.size).collect()))).round().max(1.0)
    };
    let n_rows = rows.iter().map(height).sum::<f64>();
    let n_chars = chunks.iter().map(|chunk| chunk.glyphs.len()).sum::<usize>();
    let left = chunks.iter().map(|chunk| chunk.u0).fold(f64::INFINITY, f64::min);
    let right = chunks.iter().map(|chunk| chunk.u1).fold(f64::NEG_INFINITY, f64::max);
    let inked = chunks.iter().map(|chunk| chunk.u1 - chunk.u0).sum::<f64>();
    n_rows >= MIN_ROWS as f64
        && n_chars as f64 >= n_rows * MIN_ROW_CHARS as f64
        && inked >= MIN_FILL * n_rows * (right - left)
}
