//! Patches of one or several documents in memory, one behind the other.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use blt_sphere::Rows;

use crate::error::ReadError;

/// Wider embeddings are refused: the memory of a chart grows with the square of their width.
const MAX_WIDTH: usize = 8192;

/// How a patch's prominence is made of the states in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProminencePool {
    /// The largest norm.
    Max,
    /// The mean norm.
    Mean,
    /// The norm of the mean: of the patch's embedding.
    L2OfMean,
}

impl fmt::Display for ProminencePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Max => "max",
            Self::Mean => "mean",
            Self::L2OfMean => "l2-of-mean",
        })
    }
}

/// A document whose patches are among the arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name: that of its file without endings, or of its row.
    pub id: String,
    /// What it is to others, like `instruction` or the name of a column, where its file says so.
    pub role: Option<String>,
    /// Number of its patches.
    pub n_patches: usize,
    /// Number of its bytes that are kept.
    pub n_bytes: usize,
    /// Patches of each of its views, in order.
    pub views: Vec<usize>,
}

/// Patches of one or several documents.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PatchArrays {
    /// The documents, in the order of their patches.
    pub documents: Vec<Document>,
    /// Width of an embedding; 0 while no document has said.
    pub dim: usize,
    /// Embeddings, `[n, dim]`.
    pub embeddings: Vec<f32>,
    /// Prominence, `[n]`.
    pub prominence: Vec<f32>,
    /// Mean entropy in nats, `[n]`; `None` when the files have none.
    pub entropies: Option<Vec<f32>>,
    /// Mean coherence, `[n]`; `None` without entropies.
    pub coherence: Option<Vec<f32>>,
    /// Bytes of a patch, `[n]`; all 0 for a document whose bytes its file does not hold.
    pub patch_lengths: Vec<i32>,
    /// The bytes of all patches, one behind the other.
    pub bytes: Vec<u8>,
    /// Each patch's place in its document's file, `[n]`.
    pub patch_idx: Vec<i32>,
    /// The model that made the embeddings, where the files say so.
    pub model: Option<String>,
}

/// The arrays of one document, before they are checked and joined to the others.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) id: String,
    pub(crate) role: Option<String>,
    pub(crate) dim: usize,
    /// How many numbers were appended to the embeddings for it.
    pub(crate) n_values: usize,
    pub(crate) prominence: Vec<f32>,
    pub(crate) entropies: Option<Vec<f32>>,
    pub(crate) coherence: Option<Vec<f32>>,
    pub(crate) patch_lengths: Vec<i32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) views: Vec<usize>,
    /// What the last view is called, where one view may come in parts.
    pub(crate) view_name: Vec<u8>,
    pub(crate) model: Option<String>,
}

impl PatchArrays {
    /// Number of patches.
    pub fn len(&self) -> usize {
        self.prominence.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.prominence.is_empty()
    }

    /// The embeddings as rows.
    pub fn rows(&self) -> Rows<'_> {
        Rows::new(&self.embeddings, self.dim.max(1)) // without a width there are no rows either
    }

    /// The patches of each document.
    pub fn ranges(&self) -> impl Iterator<Item = (&Document, Range<usize>)> {
        let mut start = 0;
        self.documents.iter().map(move |document| {
            let range = start..start + document.n_patches;
            start = range.end;
            (document, range)
        })
    }

    /// A copy of document `index` alone.
    ///
    /// # Panics
    ///
    /// Panics when there is no such document.
    pub fn document(&self, index: usize) -> Self {
        let (document, range) = self.ranges().nth(index).expect("the document is one of these");
        let start: usize = self.documents[..index].iter().map(|document| document.n_bytes).sum();
        let part = |values: &Option<Vec<f32>>| values.as_ref().map(|values| values[range.clone()].to_vec());
        Self {
            documents: vec![document.clone()],
            dim: self.dim,
            embeddings: self.embeddings[range.start * self.dim..range.end * self.dim].to_vec(),
            prominence: self.prominence[range.clone()].to_vec(),
            entropies: part(&self.entropies),
            coherence: part(&self.coherence),
            patch_lengths: self.patch_lengths[range.clone()].to_vec(),
            bytes: self.bytes[start..start + document.n_bytes].to_vec(),
            patch_idx: self.patch_idx[range].to_vec(),
            model: self.model.clone(),
        }
    }

    /// Leaves only the first `n_documents`.
    pub(crate) fn truncate(&mut self, n_documents: usize) {
        let (n, n_bytes) = self.documents[..n_documents]
            .iter()
            .fold((0, 0), |(n, n_bytes), document| (n + document.n_patches, n_bytes + document.n_bytes));
        self.documents.truncate(n_documents);
        self.embeddings.truncate(n * self.dim);
        self.prominence.truncate(n);
        self.patch_lengths.truncate(n);
        self.patch_idx.truncate(n);
        self.bytes.truncate(n_bytes);
        [&mut self.entropies, &mut self.coherence].into_iter().flatten().for_each(|values| values.truncate(n));
        if n_documents == 0 {
            *self = Self::default();
        }
    }

    /// Takes out the patches at `places`, which ascend.
    pub(crate) fn remove(&mut self, places: &[usize]) {
        if places.is_empty() {
            return;
        }
        let mut keep = vec![true; self.len()];
        places.iter().for_each(|&place| keep[place] = false);
        let mut patch = 0;
        for document in &mut self.documents {
            for view in &mut document.views {
                let range = patch..patch + *view;
                patch = range.end;
                *view = range.clone().filter(|&patch| keep[patch]).count();
                document.n_patches -= range.len() - *view;
                let lost = range.filter(|&patch| !keep[patch]);
                document.n_bytes -= lost.map(|patch| self.patch_lengths[patch] as usize).sum::<usize>();
            }
        }
        let (dim, mut start, mut end, mut byte, mut last_byte) = (self.dim, 0, 0, 0, 0);
        for (patch, &kept) in keep.iter().enumerate() {
            let length = self.patch_lengths[patch] as usize;
            if kept {
                self.embeddings.copy_within(start..start + dim, end);
                self.bytes.copy_within(byte..byte + length, last_byte);
                (end, last_byte) = (end + dim, last_byte + length);
            }
            (start, byte) = (start + dim, byte + length);
        }
        self.embeddings.truncate(end);
        self.bytes.truncate(last_byte);
        retain(&mut self.prominence, &keep);
        retain(&mut self.patch_lengths, &keep);
        retain(&mut self.patch_idx, &keep);
        [&mut self.entropies, &mut self.coherence].into_iter().flatten().for_each(|values| retain(values, &keep));
    }

    /// Joins the next document. Its embeddings have been appended already; on an error the caller takes them back.
    pub(crate) fn join(&mut self, path: &Path, part: Part) -> Result<(), ReadError> {
        self.check(path, &part)?;
        let n_patches = part.prominence.len();
        let first = self.documents.is_empty();
        let n_bytes = part.bytes.len();
        self.documents.push(Document { id: part.id, role: part.role, n_patches, n_bytes, views: part.views });
        self.dim = self.dim.max(part.dim);
        self.prominence.extend(part.prominence);
        extend(&mut self.entropies, part.entropies, first);
        extend(&mut self.coherence, part.coherence, first);
        self.patch_lengths.extend(part.patch_lengths);
        self.bytes.extend(part.bytes);
        self.patch_idx.extend((0..n_patches).map(|i| i as i32));
        if self.model.is_none() {
            self.model = part.model;
        }
        Ok(())
    }

    /// Whether the part fits together and to the documents before it.
    fn check(&self, path: &Path, part: &Part) -> Result<(), ReadError> {
        let n = part.prominence.len();
        check_width(path, n, part.dim)?;
        let wrong = |reason: String| Err(ReadError::content(path, reason));
        if part.n_values != n * part.dim {
            return wrong(format!("its `embeddings` are no {n} rows of {}", part.dim));
        }
        let optional = [("entropies", &part.entropies), ("coherence", &part.coherence)];
        for (name, values) in optional {
            if values.as_ref().is_some_and(|values| values.len() != n) {
                return wrong(format!("its {name} are not one for each of its {n} patches"));
            }
        }
        let total = part
            .patch_lengths
            .iter()
            .try_fold(0usize, |sum, &length| usize::try_from(length).ok().and_then(|length| sum.checked_add(length)));
        if part.patch_lengths.len() != n || total != Some(part.bytes.len()) {
            return wrong(format!("its `patch_lengths` do not cut its {} bytes into {n} patches", part.bytes.len()));
        }
        if part.views.iter().sum::<usize>() != n {
            return wrong("its views do not hold its patches".to_owned());
        }
        if i32::try_from(self.len() + n).is_err() {
            return wrong("with it there are more than 2147483647 patches".to_owned());
        }
        if self.documents.is_empty() {
            return Ok(());
        }
        if part.dim != self.dim && part.dim * self.dim > 0 {
            return wrong(format!("its embeddings have {} dimensions, those before it {}", part.dim, self.dim));
        }
        if part.entropies.is_some() != self.entropies.is_some() {
            let (has, before) = if part.entropies.is_some() { ("has", "has none") } else { ("has no", "does") };
            return wrong(format!("it {has} entropies, and the file before it {before}"));
        }
        if part.model.is_some() && self.model.is_some() && part.model != self.model {
            let name = |model: &Option<String>| model.clone().unwrap_or_default();
            return wrong(format!("its model is {}, of those before it {}", name(&part.model), name(&self.model)));
        }
        Ok(())
    }
}

/// Whether `n` embeddings may be `dim` wide.
pub(crate) fn check_width(path: &Path, n: usize, dim: usize) -> Result<(), ReadError> {
    if dim == 0 && n > 0 {
        return Err(ReadError::content(path, format!("its {n} embeddings have no numbers")));
    }
    if dim > MAX_WIDTH {
        return Err(ReadError::content(path, format!("its embeddings have {dim} dimensions, more than {MAX_WIDTH}")));
    }
    Ok(())
}

fn retain<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    values.retain(|_| keep.next().copied().unwrap_or(false));
}

fn extend(all: &mut Option<Vec<f32>>, part: Option<Vec<f32>>, first: bool) {
    match (all.as_mut(), part) {
        (Some(all), Some(part)) => all.extend(part),
        (None, Some(part)) if first => *all = Some(part),
        _ => *all = None,
    }
}
