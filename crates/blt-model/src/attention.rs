//! Window attention over packed rows of tokens: what each query may see, and the keys and values that a stream keeps.
//!
//! Tokens of several documents lie one after another in one packed row. Which keys query `i` sees is one number,
//! `first_visible[i]`: the keys from there to `i`. That covers the window, the cut at EOS, and the documents' bounds.
//!
//! Queries are taken in bands between fixed positions, always with the same number of rows and keys however a stream is
//! cut: matrix products of other shapes sum in another order, and these models amplify that to 2e-5 nats.

use std::ops::Range;

use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};

/// Positions of one band: few, so that little is computed outside the window; enough for the matrix product to be fast.
const BAND: usize = 128;

/// Fewer tokens are computed with rows of padding: products of very few rows, too, sum in another order.
const MIN_ROWS: usize = 16;

/// How many tokens of the past a stream keeps for a window of `window` tokens: all that a band's first position may see,
/// from wherever in the band the stream goes on.
pub(crate) fn n_kept(window: usize) -> usize {
    window - 1 + BAND - 1
}

/// A stretch of a packed row: where it lies, and what its tokens may see. Positions count from the start of the row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch<'a> {
    /// Position of the first token.
    pub(crate) position: u64,
    /// Tokens before it whose keys and values are there.
    pub(crate) n_past: usize,
    /// For each token the first position it sees, at least one token.
    pub(crate) first_visible: &'a [u64],
    /// Tokens a position sees at most, itself included.
    pub(crate) window: usize,
}

/// Everything about a stretch that is the same in all layers.
#[derive(Debug)]
pub(crate) struct Frame {
    n_tokens: usize,
    /// Cosines of the rotary angles, `[rows, 1, head_dim / 2]`.
    cos: Tensor<3>,
    /// Sines, likewise.
    sin: Tensor<3>,
    bands: Vec<Band>,
    /// Keys without content behind the real ones, so that the last band is whole.
    n_padding_keys: usize,
}

/// The queries between two multiples of [`BAND`], and the keys that any of them sees.
#[derive(Debug)]
struct Band {
    /// As many rows as a whole band has, among them the band's own.
    rows: Range<usize>,
    /// The band's own rows.
    queries: Range<usize>,
    keys: Range<usize>,
    /// `[1, 1, rows, keys]`, true where the key is hidden from the query.
    hidden: Tensor<4, Bool>,
}

impl Frame {
    /// The frame of a stretch; `cos` and `sin` are `[tokens, head_dim / 2]`.
    pub(crate) fn new(
        (mut cos, mut sin): (Vec<f32>, Vec<f32>),
        stretch: &Stretch<'_>,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let n_tokens = stretch.first_visible.len();
        let n_rows = n_tokens.max(MIN_ROWS);
        let width = cos.len() / n_tokens;
        cos.resize(n_rows * width, 1.0);
        sin.resize(n_rows * width, 0.0);
        let table = |values| {
            Tensor::<3>::from_data(TensorData::new(values, [n_rows, 1, width]), (device, DType::F32)).cast(dtype)
        };
        let (first, end) = (stretch.position, stretch.position + n_tokens as u64);
        let bands = first / BAND as u64..end.div_ceil(BAND as u64);
        let n_padding_keys = (bands.end * BAND as u64 - end) as usize;
        let bands = bands.map(|band| Band::new(band * BAND as u64, stretch, device)).collect();
        Self { n_tokens, cos: table(cos), sin: table(sin), bands, n_padding_keys }
    }

    /// Number of tokens, padding left out.
    pub(crate) fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Number of rows to compute, padding included.
    pub(crate) fn n_rows(&self) -> usize {
        self.cos.dims()[0]
    }

    /// Rotates the pairs `(2j, 2j + 1)` of every head: `[t, heads, head_dim]` to the same.
    pub(crate) fn rotate(&self, x: Tensor<3>) -> Tensor<3> {
        let [t, heads, head_dim] = x.dims();
        let pairs = x.reshape([t, heads, head_dim / 2, 2]);
        let a = pairs.clone().narrow(3, 0, 1).squeeze_dim::<3>(3);
        let b = pairs.narrow(3, 1, 1).squeeze_dim::<3>(3);
        let rotated_a = a.clone() * self.cos.clone() - b.clone() * self.sin.clone();
        let rotated_b = a * self.sin.clone() + b * self.cos.clone();
        Tensor::stack::<4>(vec![rotated_a, rotated_b], 3).reshape([t, heads, head_dim])
    }

    /// Softmax attention of `queries` `[rows, heads, head_dim]` over `keys` and `values` `[past + t, kv_heads, head_dim]`:
    /// `[rows, heads * head_dim]`. Scale `1 / sqrt(head_dim)`.
    pub(crate) fn attend(&self, queries: Tensor<3>, keys: Tensor<3>, values: Tensor<3>) -> Tensor<2> {
        let [n_rows, heads, head_dim] = queries.dims();
        let group = heads / keys.dims()[1];
        let by_head = |x: Tensor<3>| x.swap_dims(0, 1); // [heads, tokens, head_dim]
        let queries = by_head(padded(queries, BAND.saturating_sub(n_rows)));
        let keys = repeat_heads(by_head(padded(keys, self.n_padding_keys)), group);
        let values = repeat_heads(by_head(padded(values, self.n_padding_keys)), group);
        let of = |x: &Tensor<3>, range: &Range<usize>| x.clone().narrow(1, range.start, range.len()).unsqueeze::<4>();
        let outputs = self.bands.iter().map(|band| {
            let output = attention(
                of(&queries, &band.rows),
                of(&keys, &band.keys),
                of(&values, &band.keys),
                Some(band.hidden.clone()),
                None,
                AttentionModuleOptions::default(),
            );
            output.narrow(2, band.queries.start - band.rows.start, band.queries.len())
        });
        let output = Tensor::cat(outputs.collect(), 2); // [1, heads, t, head_dim]
        let output = output.squeeze_dim::<3>(0).swap_dims(0, 1);
        padded(output, n_rows - self.n_tokens).reshape([n_rows, heads * head_dim])
    }
}

/// `[tokens, heads, head_dim]` with `n_more` tokens of zeros behind.
fn padded(x: Tensor<3>, n_more: usize) -> Tensor<3> {
    if n_more == 0 {
        return x;
    }
    let [_, heads, head_dim] = x.dims();
    let padding = Tensor::zeros([n_more, heads, head_dim], (&x.device(), x.dtype()));
    Tensor::cat(vec![x, padding], 0)
}

impl Band {
    /// The band from position `start` on, for the tokens of `stretch` that lie in it.
    fn new(start: u64, stretch: &Stretch<'_>, device: &Device) -> Self {
        let Stretch { position, n_past, first_visible, window } = *stretch;
        let end = start + BAND as u64;
        let first_query = start.saturating_sub(position) as usize;
        let queries = first_query..first_visible.len().min((end - position) as usize);
        // Rows of other bands, or of padding, fill up a short one; what they give is dropped.
        let first_row = queries.start.min(first_visible.len().max(BAND) - BAND);
        let rows = first_row..first_row + BAND;

        let first_visible_of_band =
            if start >= position { first_visible[queries.start] } else { (start + 1).saturating_sub(window as u64) };
        let first_key_kept = position - n_past as u64;
        let keys = (first_visible_of_band - first_key_kept) as usize..(end - first_key_kept) as usize;
        let hidden: Vec<bool> = rows
            .clone()
            .flat_map(|row| {
                let i = row.clamp(queries.start, queries.end - 1);
                let seen = first_visible[i]..position + i as u64 + 1;
                keys.clone().map(move |key| !seen.contains(&(first_key_kept + key as u64)))
            })
            .collect();
        let hidden = Tensor::from_data(TensorData::new(hidden, [1, 1, rows.len(), keys.len()]), device);
        Self { rows, queries, keys, hidden }
    }
}

/// Each key/value head serves `group` consecutive query heads.
fn repeat_heads(x: Tensor<3>, group: usize) -> Tensor<3> {
    if group == 1 {
        return x;
    }
    let [heads, tokens, head_dim] = x.dims();
    x.unsqueeze_dim::<4>(1).expand([heads, group, tokens, head_dim]).reshape([heads * group, tokens, head_dim])
}

/// The keys and values of one layer that later tokens may still see.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyValueWindow {
    kept: Option<(Tensor<3>, Tensor<3>)>,
}

impl KeyValueWindow {
    /// Appends the first `n_tokens` of `[rows, kv_heads, head_dim]` to what is kept, returns past and present together, and
    /// keeps the last `n_keep`.
    pub(crate) fn extend(
        &mut self,
        keys: Tensor<3>,
        values: Tensor<3>,
        n_tokens: usize,
        n_keep: usize,
    ) -> (Tensor<3>, Tensor<3>) {
        let (keys, values) = (keys.narrow(0, 0, n_tokens), values.narrow(0, 0, n_tokens));
        let (keys, values) = match self.kept.take() {
            Some((past_keys, past_values)) => {
                (Tensor::cat(vec![past_keys, keys], 0), Tensor::cat(vec![past_values, values], 0))
            }
            None => (keys, values),
        };
        if n_keep > 0 {
            let n_tokens = keys.dims()[0];
            let n_keep = n_keep.min(n_tokens);
            let last = |x: &Tensor<3>| x.clone().narrow(0, n_tokens - n_keep, n_keep);
            self.kept = Some((last(&keys), last(&values)));
        }
        (keys, values)
    }
}
