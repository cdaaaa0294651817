//! Files in, sphere files and databases out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod pipeline;
mod reading;
mod sphere;

use std::collections::HashMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// One tensor of a file to be written: name, number type, shape, bytes.
type Tensor<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

/// Writes a safetensors file with another implementation than ours.
fn write_safetensors(path: &Path, tensors: &[Tensor<'_>], metadata: &[(&str, &str)]) {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let metadata: HashMap<String, String> = metadata.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    std::fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn ints(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Numbers that look random and are the same every time.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    blt_testkit::noise(2 * n, seed).as_chunks::<2>().0.iter().map(|&x| f32::from(i16::from_le_bytes(x)) / 1e4).collect()
}

/// A patch file of `n` patches of one to four bytes with eight dimensions, in `n_views` views.
fn write_patch_file(path: &Path, n: usize, n_views: usize, seed: u64) -> Vec<i32> {
    let lengths: Vec<i32> = (0..n as i32).map(|i| 1 + i % 4).collect();
    let n_bytes = lengths.iter().sum::<i32>() as usize;
    let per_view = n.div_ceil(n_views.max(1)).max(1);
    let views: Vec<u8> =
        lengths.chunks(per_view).flat_map(|view| i64::from(view.iter().sum::<i32>()).to_le_bytes()).collect();
    let positive = |seed| -> Vec<f32> { numbers(n, seed).iter().map(|x| x.abs() + 0.1).collect() };
    let tensors = [
        ("bytes", Dtype::U8, vec![n_bytes], blt_testkit::prose(n_bytes, seed)),
        ("patch_lengths", Dtype::I32, vec![n], ints(&lengths)),
        ("view_lengths", Dtype::I64, vec![views.len() / 8], views),
        ("embeddings", Dtype::F32, vec![n, 8], floats(&numbers(8 * n, seed + 1))),
        ("prominence", Dtype::F32, vec![n], floats(&positive(seed + 2))),
        ("patch_entropies", Dtype::F32, vec![n], floats(&positive(seed + 3))),
    ];
    // One entry: that crate writes several in any order.
    write_safetensors(path, &tensors, &[("model", "m@1")]);
    lengths
}
