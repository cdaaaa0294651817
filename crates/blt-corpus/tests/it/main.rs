//! Files in, sphere files and databases out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod reading;

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
