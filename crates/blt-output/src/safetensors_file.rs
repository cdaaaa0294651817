//! The `blt_patches_v4` safetensors file: one document.

use std::cmp::Reverse;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::collector::{CollectedDocument, Element, Tensor};
use crate::receipt::{ReceiptWriter, ShardReceipt};
use crate::shard::DocumentInfo;
use crate::spool::Spool;

/// The `format` entry of the metadata.
pub const FORMAT: &str = "blt_patches_v4";

/// Writes `document` as a file of its own at `path`, to be published once it is there.
///
/// # Errors
///
/// Fails when the file cannot be written.
pub fn write_safetensors(
    document: CollectedDocument,
    path: &Path,
    about: &DocumentInfo<'_>,
) -> io::Result<ShardReceipt> {
    let strings = strings(&document, about);
    let mut tensors = document.tensors;
    if document.views.len() > 1 {
        let mut data = Spool::new(path.parent().unwrap_or(Path::new(".")));
        data.elements(document.views.iter().map(|view| (view.n_bytes as i64).to_le_bytes()))?;
        let shape = vec![document.views.len() as u64];
        tensors.push(Tensor { name: "view_lengths", element: Element::I64, shape, data });
    }
    // Wide elements first: every tensor then starts at a multiple of its element's size, without holes.
    tensors.sort_by_key(|tensor| (Reverse(tensor.element.n_bytes()), tensor.name));
    let header = header(tensors.iter().map(|tensor| (tensor.name, tensor.element, tensor.shape.as_slice())), strings);
    let mut file = ReceiptWriter::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for mut tensor in tensors {
        debug_assert_eq!(tensor.shape.iter().product::<u64>() * tensor.element.n_bytes(), tensor.data.n_bytes());
        tensor.data.copy_to(&mut file)?;
    }
    file.finish(1)
}

fn strings(document: &CollectedDocument, about: &DocumentInfo<'_>) -> Map<String, Value> {
    let mut strings = Map::new();
    let mut put = |key: &str, value: String| strings.insert(key.to_owned(), Value::String(value));
    put("format", FORMAT.to_owned());
    put("num_patches", document.n_patches.to_string());
    put("total_bytes", document.n_bytes.to_string());
    put("embed_dim", document.options.dims.to_string());
    put("model", about.model.to_owned());
    if let Some(sidecar) = about.sidecar {
        put("metadata_file", sidecar.to_owned());
    }
    put("views", document.views_json().to_string());
    for (key, value) in about.patching {
        put(key, value.clone());
    }
    strings
}

/// The JSON header of tensors that lie one behind the other, padded with spaces so that they start at a multiple of 8.
pub(crate) fn header<'t>(
    tensors: impl Iterator<Item = (&'t str, Element, &'t [u64])>,
    strings: Map<String, Value>,
) -> String {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), Value::Object(strings));
    let mut start = 0;
    for (name, element, shape) in tensors {
        let end = start + shape.iter().product::<u64>() * element.n_bytes();
        let entry = json!({"dtype": element.name(), "shape": shape, "data_offsets": [start, end]});
        header.insert(name.to_owned(), entry);
        start = end;
    }
    let mut text = Value::Object(header).to_string();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    text
}
