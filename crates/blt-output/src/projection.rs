//! Embeddings with fewer numbers: what is left of them along the directions in which they vary most.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value};

use crate::collector::Element;
use crate::eigen::largest_eigenvectors;
use crate::receipt::{ReceiptWriter, ShardReceipt};
use crate::safetensors_file::header;
use crate::safetensors_reader::{SafetensorsReader, invalid};

const FORMAT: &str = "blt_projection_v1";

/// The first principal components of some embeddings: `row` becomes `components (row - mean)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    mean: Vec<f32>,
    /// `[dims, model_dim]`, rows of length 1, orthogonal.
    components: Vec<f32>,
    /// Share of the sample's variance along each.
    variances: Vec<f32>,
}

impl Projection {
    /// Width of what it takes.
    pub fn model_dim(&self) -> usize {
        self.mean.len()
    }

    /// Width of what it makes.
    pub fn dims(&self) -> usize {
        self.variances.len()
    }

    /// Share of the sample's variance that is left.
    pub fn kept_variance(&self) -> f32 {
        self.variances.iter().sum()
    }

    /// Appends the reduced `row`, `[model_dim]` to `[dims]`, to `out`.
    pub fn reduce(&self, row: &[f32], out: &mut Vec<f32>) {
        let centred: Vec<f32> = row.iter().zip(&self.mean).map(|(value, mean)| value - mean).collect();
        out.extend(self.components.chunks_exact(self.model_dim()).map(|component| dot(component, &centred)));
    }

    /// The `[model_dim]` row that a reduced one of `[dims]` stands for.
    pub fn restore(&self, reduced: &[f32]) -> Vec<f32> {
        let mut row = self.mean.clone();
        for (component, &along) in self.components.chunks_exact(self.model_dim()).zip(reduced) {
            row.iter_mut().zip(component).for_each(|(value, component)| *value += along * component);
        }
        row
    }

    /// Writes it as a safetensors file at `path`, to be published once it is there: `mean` `[D]`, `components` `[K, D]` and
    /// `variances` `[K]`, shares of the whole. A row is restored by `mean + reduced @ components`.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<ShardReceipt> {
        let (dims, dim) = (self.dims() as u64, self.model_dim() as u64);
        let tensors: [(&str, &[f32], &[u64]); 3] = [
            ("components", &self.components, &[dims, dim]),
            ("mean", &self.mean, &[dim]),
            ("variances", &self.variances, &[dims]),
        ];
        let mut strings = Map::new();
        strings.insert("format".to_owned(), Value::from(FORMAT));
        let header = header(tensors.iter().map(|(name, _, shape)| (*name, Element::F32, *shape)), strings);
        let mut file = ReceiptWriter::create(path)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for (_, values, _) in tensors {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            file.write_all(&bytes)?;
        }
        file.finish(dims)
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read or is no projection.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = SafetensorsReader::open(path)?;
        let shape = |name: &str| file.tensors.get(name).map(|tensor| tensor.shape.clone());
        let shapes = (shape("components"), shape("mean"), shape("variances"));
        let is_one = file.strings.get("format").is_some_and(|format| format == FORMAT)
            && matches!(&shapes, (Some(components), Some(mean), Some(variances))
                if components.len() == 2 && *variances == components[..1] && *mean == components[1..]);
        if !is_one {
            return Err(invalid(path, "it holds no projection"));
        }
        let (mean, components) = (file.floats("mean")?, file.floats("components")?);
        Ok(Self { mean, components, variances: file.floats("variances")? })
    }
}

/// Sums in eight lanes, so that it is fast and always the same.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        (0..16).for_each(|i| sums[i] += a[i] * b[i]);
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Gathers a sample of embeddings and finds the directions in which they vary most. The sample itself is not held.
#[derive(Debug, Clone)]
pub struct ProjectionFit {
    dim: usize,
    n_rows: u64,
    /// What is subtracted from every row so that sums stay small: the first.
    origin: Vec<f32>,
    sums: Vec<f64>,
    /// Sums of products, `[dim, dim]`; only the lower triangle is kept.
    products: Vec<f64>,
}

/// Why there is no projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// More components than the embeddings have, or none.
    #[error("{dims} components cannot be taken of embeddings of {dim}")]
    Dims {
        /// Components asked for.
        dims: usize,
        /// Width of an embedding.
        dim: usize,
    },
    /// Fewer rows than components say nothing about the directions that are left.
    #[error("{n_rows} embeddings are too few for {dims} components")]
    TooFew {
        /// Rows in the sample.
        n_rows: u64,
        /// Components asked for.
        dims: usize,
    },
    /// A row holds an infinity or what is no number.
    #[error("an embedding holds what is no finite number")]
    NotFinite,
}

impl ProjectionFit {
    /// An empty sample of rows of `dim`.
    pub fn new(dim: usize) -> Self {
        Self { dim, n_rows: 0, origin: Vec::new(), sums: vec![0.0; dim], products: vec![0.0; dim * dim] }
    }

    /// Rows in the sample.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Adds a row to the sample: `dim * dim / 2` multiplications.
    ///
    /// # Panics
    ///
    /// Panics if the row has another width.
    pub fn add(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.dim, "a row of the sample's width");
        if self.n_rows == 0 {
            self.origin = row.to_vec();
        }
        self.n_rows += 1;
        let row: Vec<f64> =
            row.iter().zip(&self.origin).map(|(&value, &origin)| f64::from(value) - f64::from(origin)).collect();
        self.sums.iter_mut().zip(&row).for_each(|(sum, value)| *sum += value);
        for (i, products) in self.products.chunks_exact_mut(self.dim).enumerate() {
            let factor = row[i];
            products[..=i].iter_mut().zip(&row).for_each(|(product, value)| *product += factor * value);
        }
    }

    /// The first `dims` principal components of the sample. The same rows in the same order give the same bits.
    ///
    /// # Errors
    ///
    /// Fails when the sample is too small or holds what is no finite number.
    pub fn finish(self, dims: usize) -> Result<Projection, FitError> {
        let Self { dim, n_rows, origin, sums, products } = self;
        if dims == 0 || dims > dim {
            return Err(FitError::Dims { dims, dim });
        }
        if n_rows < dims as u64 {
            return Err(FitError::TooFew { n_rows, dims });
        }
        let n = n_rows as f64;
        let covariance: Vec<f64> = (0..dim * dim)
            .map(|at| {
                let (i, j) = (at / dim, at % dim);
                products[i.max(j) * dim + i.min(j)] / n - (sums[i] / n) * (sums[j] / n)
            })
            .collect();
        let whole: f64 = (0..dim).map(|i| covariance[i * dim + i]).sum();
        let (values, vectors) = largest_eigenvectors(covariance, dim, dims).ok_or(FitError::NotFinite)?;
        let share = |value: &f64| if whole > 0.0 { (value.max(0.0) / whole) as f32 } else { 0.0 };
        Ok(Projection {
            mean: origin.iter().zip(&sums).map(|(&origin, sum)| (f64::from(origin) + sum / n) as f32).collect(),
            components: vectors.iter().map(|&value| value as f32).collect(),
            variances: values.iter().map(share).collect(),
        })
    }
}
