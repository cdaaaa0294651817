//! Window attention over packed rows of tokens: what each query may see, and the keys and values that a stream keeps.
//!
//! Tokens of several documents lie one after another in one packed row. Which keys query `i` sees is one number,
//! `first_visible[i]`: the keys from there to `i`. That covers the window, the cut at EOS, and the documents' bounds.

use std::ops::Range;

use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};

/// Queries of one band: small enough that few keys outside the window are computed, large enough for the matrix product.
const BAND_QUERIES: usize = 128;

/// Shorter rows are padded to this many tokens. Matrix products sum in another order for fewer rows, so a text fed byte by
/// byte would be off by 2e-5 nats from the same text in one piece; padded, it is equal.
const MIN_ROWS: usize = 32;

/// Everything about a packed row that is the same in all layers.
#[derive(Debug)]
pub struct Frame {
    n_tokens: usize,
    /// Cosines of the rotary angles, `[t, 1, head_dim / 2]`.
    cos: Tensor<3>,
    /// Sines, likewise.
    sin: Tensor<3>,
    bands: Vec<Band>,
}

/// A stretch of queries with the keys that any of them sees.
#[derive(Debug)]
struct Band {
    queries: Range<usize>,
    keys: Range<usize>,
    /// `[1, 1, queries, keys]`, true where the key is hidden from the query.
    hidden: Tensor<4, Bool>,
}

impl Frame {
    /// The frame of `first_visible.len()` tokens, at least one. Key indices count from the first key kept of the past, so
    /// query `i` is itself key `n_past + i`; `first_visible` are such indices. `cos` and `sin` are `[t, head_dim / 2]`.
    pub fn new(
        (mut cos, mut sin): (Vec<f32>, Vec<f32>),
        n_past: usize,
        first_visible: &[usize],
        dtype: DType,
        device: &Device,
    ) -> Self {
        let n_tokens = first_visible.len();
        let n_rows = n_tokens.max(MIN_ROWS);
        let width = cos.len() / n_tokens;
        cos.resize(n_rows * width, 1.0);
        sin.resize(n_rows * width, 0.0);
        // A padding row sees what the last token sees; its result is never used.
        let mut first_visible = first_visible.to_vec();
        first_visible.resize(n_rows, first_visible[n_tokens - 1]);
        let table = |values| {
            Tensor::<3>::from_data(TensorData::new(values, [n_rows, 1, width]), (device, DType::F32)).cast(dtype)
        };
        let bands = (0..n_rows)
            .step_by(BAND_QUERIES)
            .map(|start| {
                let queries = start..n_rows.min(start + BAND_QUERIES);
                Band::new(queries, n_past, n_tokens, &first_visible, device)
            })
            .collect();
        Self { n_tokens, cos: table(cos), sin: table(sin), bands }
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

    /// Softmax attention of `queries` `[t, heads, head_dim]` over `keys` and `values` `[past + t, kv_heads, head_dim]`:
    /// `[t, heads * head_dim]`. Scale `1 / sqrt(head_dim)`.
    pub(crate) fn attend(&self, queries: Tensor<3>, keys: Tensor<3>, values: Tensor<3>) -> Tensor<2> {
        let [t, heads, head_dim] = queries.dims();
        let group = heads / keys.dims()[1];
        let by_head = |x: Tensor<3>| x.swap_dims(0, 1); // [heads, tokens, head_dim]
        let queries = by_head(queries);
        let keys = repeat_heads(by_head(keys), group);
        let values = repeat_heads(by_head(values), group);
        let outputs = self.bands.iter().map(|band| {
            let of =
                |x: &Tensor<3>, range: &Range<usize>| x.clone().narrow(1, range.start, range.len()).unsqueeze::<4>();
            attention(
                of(&queries, &band.queries),
                of(&keys, &band.keys),
                of(&values, &band.keys),
                Some(band.hidden.clone()),
                None,
                AttentionModuleOptions::default(),
            )
        });
        let output = Tensor::cat(outputs.collect(), 2); // [1, heads, t, head_dim]
        output.swap_dims(1, 2).reshape([t, heads * head_dim])
    }
}

impl Band {
    fn new(queries: Range<usize>, n_past: usize, n_tokens: usize, first_visible: &[usize], device: &Device) -> Self {
        let first_key = queries.clone().map(|i| first_visible[i]).min().expect("a band has queries");
        let keys = first_key..n_past + queries.end.min(n_tokens);
        let hidden: Vec<bool> =
            queries.clone().flat_map(|i| keys.clone().map(move |j| j < first_visible[i] || j > n_past + i)).collect();
        let shape = [1, 1, queries.len(), keys.len()];
        Self { hidden: Tensor::from_data(TensorData::new(hidden, shape), device), queries, keys }
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

/// The keys and values of one layer that later tokens may still see: the last `window - 1`.
#[derive(Debug, Clone, Default)]
pub struct KeyValueWindow {
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
