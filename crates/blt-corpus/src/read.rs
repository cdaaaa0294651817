//! Reading patch files: ours, the older `blt_patches_v2` and `v3`, and token files.

use std::ops::Range;
use std::path::Path;

use crate::error::ReadError;
use crate::file::ArrayFile;
use crate::patches::{Part, PatchArrays, ProminencePool, check_width};

/// Added to an entropy before a coherence is divided by it.
const COHERENCE_FLOOR: f64 = 1e-6;

/// How files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// How prominence is pooled; `None`: as the file has it, of token files the largest.
    pub pool: Option<ProminencePool>,
}

impl PatchArrays {
    /// Reads the patches in the file at `path` and appends them; several documents if it is Parquet. The memory needed is
    /// that of the result, embeddings as float32.
    ///
    /// # Errors
    ///
    /// Fails when the file is malformed, has no embeddings, or does not fit to the documents before; nothing is appended
    /// then.
    pub fn append_file(&mut self, path: &Path, options: ReadOptions) -> Result<(), ReadError> {
        if path.extension().is_some_and(|end| end == "parquet") {
            return crate::parquet_file::append(self, path, options);
        }
        let file = ArrayFile::open(path)?;
        let start = self.embeddings.len();
        let joined = read(&file, options, &mut self.embeddings).and_then(|mut part| {
            part.n_values = self.embeddings.len() - start;
            self.join(path, part)
        });
        if joined.is_err() {
            self.embeddings.truncate(start);
        }
        joined
    }
}

/// The name of a patch file without its ending.
pub fn id_of_file(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = [".sphere.safetensors", ".sphere.npz", ".safetensors", ".parquet", ".npz"].iter();
    stem.filter_map(|end| name.strip_suffix(end)).find(|stem| !stem.is_empty()).unwrap_or(&name).to_owned()
}

fn read(file: &ArrayFile, options: ReadOptions, embeddings: &mut Vec<f32>) -> Result<Part, ReadError> {
    if file.info("sphere_coords").is_some() {
        return Err(file
            .wrong("it is a sphere file, whose patches are placed already")
            .hinted("pass the patch file that it was made of"));
    }
    let Some(info) = file.info("embeddings") else {
        let reason = if file.info("patch_lengths").is_some() {
            "it has no `embeddings`: it is of the format `blt_patches_v2`, or was written with `--embeddings none`"
        } else {
            "it has no `embeddings`, so it is no file of patches"
        };
        return Err(file.wrong(reason).hinted("run `blt-cli ingest` on the sources again, with embeddings"));
    };
    let (is_by_token, n, dim) = match *info.shape.as_slice() {
        [n, dim] => (false, size(file, n)?, size(file, dim)?),
        [1, n, dim] => (true, size(file, n)?, size(file, dim)?),
        _ => return Err(file.wrong(format!("its `embeddings` have the shape {:?}", info.shape))),
    };
    // Without a width, a file of no size may name any number of rows.
    check_width(file.path(), n, dim)?;
    let read = if is_by_token { tokens } else { patches };
    let mut part = read(file, options, n, dim, embeddings)?;
    part.id = id_of_file(file.path());
    let named = |key: &str| file.metadata().get(key).filter(|value| !value.is_empty()).cloned();
    part.role = named("role").or_else(|| named("column"));
    part.model = named("model");
    Ok(part)
}

fn size(file: &ArrayFile, size: u64) -> Result<usize, ReadError> {
    usize::try_from(size).map_err(|_| file.wrong("its shapes do not fit this machine"))
}

/// A file with one row a patch.
fn patches(
    file: &ArrayFile,
    options: ReadOptions,
    n: usize,
    dim: usize,
    embeddings: &mut Vec<f32>,
) -> Result<Part, ReadError> {
    let start = embeddings.len();
    file.append_floats("embeddings", embeddings)?;
    scale_rows(file, n, dim, &mut embeddings[start..])?;
    let rows = &embeddings[start..];
    let has = |name: &str, length: usize| file.len_of(name) == Some(length as u64);

    let lengths = if file.info("patch_lengths").is_some() { Some(lengths(file, "patch_lengths")?) } else { None };
    let n_bytes = lengths.as_ref().map_or(0, |lengths| lengths.iter().map(|&length| length as usize).sum());
    let by_patch = |name: &str| -> Result<Option<Vec<f32>>, ReadError> {
        // One value a byte, unless there are as many patches: then every patch is a byte.
        match &lengths {
            Some(lengths) if has(name, n_bytes) => Ok(Some(means(&file.floats(name)?, lengths))),
            _ if has(name, n) => file.floats(name).map(Some),
            _ => Ok(None),
        }
    };
    let prominence = match options.pool {
        None if has("prominence", n) => file.floats("prominence")?,
        None | Some(ProminencePool::L2OfMean) => norms(rows, dim),
        Some(pool) => match &lengths {
            Some(lengths) if has("byte_prominence", n_bytes) => pooled(&file.floats("byte_prominence")?, lengths, pool),
            _ => {
                let reason = format!("it has no `byte_prominence` to pool by `{pool}`");
                return Err(file.wrong(reason).hinted("leave out `--prominence-pool`, or use `l2-of-mean`"));
            }
        },
    };
    let entropies =
        if has("patch_entropies", n) { Some(file.floats("patch_entropies")?) } else { by_patch("entropies")? };
    let coherence = match (&entropies, options.pool) {
        (Some(_), None) if has("patch_coherence", n) => Some(file.floats("patch_coherence")?),
        (Some(entropies), _) => Some(coherences(&prominence, entropies)),
        (None, _) => None,
    };
    let (patch_lengths, bytes) = match lengths {
        Some(lengths) if has("bytes", n_bytes) => (lengths, file.bytes("bytes")?),
        Some(_) if file.info("bytes").is_some() => {
            return Err(
                file.wrong(format!("its `patch_lengths` add up to {n_bytes}, which is not the number of `bytes`"))
            );
        }
        _ => (vec![0; n], Vec::new()),
    };
    let views = views(file, &patch_lengths)?;
    Ok(Part { dim, prominence, entropies, coherence, patch_lengths, bytes, views, ..Part::default() })
}

/// Patches of each view, from `view_lengths`, which are of bytes. Patches cross no view.
fn views(file: &ArrayFile, patch_lengths: &[i32]) -> Result<Vec<usize>, ReadError> {
    if file.info("view_lengths").is_none() {
        return Ok(vec![patch_lengths.len()]);
    }
    let mut rest = patch_lengths;
    let mut views = Vec::new();
    for n_bytes in file.integers("view_lengths")? {
        let (mut left, mut n) = (n_bytes, 0);
        while left > 0 && n < rest.len() {
            left -= i64::from(rest[n]);
            n += 1;
        }
        if left != 0 {
            return Err(file.wrong("its `view_lengths` do not cut between patches"));
        }
        views.push(n);
        rest = &rest[n..];
    }
    if rest.is_empty() { Ok(views) } else { Err(file.wrong("its `view_lengths` are shorter than its patches")) }
}

/// A file with one row a token, the older `[1, T, D]`; its patches begin at `patch_indices`.
fn tokens(
    file: &ArrayFile,
    options: ReadOptions,
    n_tokens: usize,
    dim: usize,
    embeddings: &mut Vec<f32>,
) -> Result<Part, ReadError> {
    let starts = token_starts(file, n_tokens)?;
    let ranges: Vec<Range<usize>> =
        starts.iter().zip(starts.iter().skip(1).chain([&n_tokens])).map(|(&start, &end)| start..end).collect();
    let n = ranges.len();
    let per_token = |name: &str| -> Result<Option<Vec<f32>>, ReadError> {
        if file.len_of(name) == Some(n_tokens as u64) { file.floats(name).map(Some) } else { Ok(None) }
    };
    let start = embeddings.len();
    sum_rows(file, dim, &ranges, embeddings)?;
    let lengths: Vec<i32> = ranges.iter().map(|range| range.len() as i32).collect();
    let prominence = match (options.pool.unwrap_or(ProminencePool::Max), per_token("prominence")?) {
        (ProminencePool::L2OfMean, _) | (_, None)
            if options.pool.is_none_or(|pool| pool == ProminencePool::L2OfMean) =>
        {
            norms(&embeddings[start..], dim)
        }
        (pool, Some(prominence)) => pooled(&prominence, &lengths, pool),
        (pool, None) => {
            let reason = format!("it has no `prominence` of tokens to pool by `{pool}`");
            return Err(file.wrong(reason).hinted("leave out `--prominence-pool`, or use `l2-of-mean`"));
        }
    };
    let entropies = per_token("entropies")?.map(|values| means(&values, &lengths));
    let coherence = match (&entropies, options.pool, per_token("coherence_scores")?) {
        (Some(_), None, Some(scores)) => Some(means(&scores, &lengths)),
        (Some(entropies), ..) => Some(coherences(&prominence, entropies)),
        (None, ..) => None,
    };
    let (patch_lengths, views) = (vec![0; n], vec![n]);
    Ok(Part { dim, prominence, entropies, coherence, patch_lengths, views, ..Part::default() })
}

/// The first token of each patch: `patch_indices`, or where the mask is not zero. The first patch begins at token 0.
fn token_starts(file: &ArrayFile, n_tokens: usize) -> Result<Vec<usize>, ReadError> {
    let starts: Vec<usize> = if file.info("patch_indices").is_some() {
        let indices = file.integers("patch_indices")?;
        indices.into_iter().map(|index| usize::try_from(index).unwrap_or(usize::MAX)).collect()
    } else if let Some(mask) =
        ["patch_mask", "mask"].into_iter().find(|name| file.len_of(name) == Some(n_tokens as u64))
    {
        let mask = file.integers(mask)?;
        mask.into_iter().enumerate().filter(|&(_, is_start)| is_start != 0).map(|(index, _)| index).collect()
    } else {
        return Err(file.wrong("it has one embedding a token, and neither `patch_indices` nor `patch_mask`"));
    };
    let ascending = starts.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = starts.last().is_none_or(|&last| last < n_tokens);
    if !ascending || !inside || (starts.first() != Some(&0) && n_tokens > 0) {
        return Err(
            file.wrong(format!("its patches do not cut its {n_tokens} tokens: they must begin at 0 and ascend"))
        );
    }
    Ok(starts)
}

/// Appends the mean of the rows in each range, reading one piece of the file at a time.
fn sum_rows(file: &ArrayFile, dim: usize, ranges: &[Range<usize>], embeddings: &mut Vec<f32>) -> Result<(), ReadError> {
    let n = ranges.len().saturating_mul(dim);
    let memory = || ReadError::Memory { path: file.path().to_owned(), n_bytes: n as u64 * 4 };
    embeddings.try_reserve_exact(n).map_err(|_| memory())?;
    let dtype = file.info("embeddings").map(|info| info.dtype).unwrap_or(crate::arrays::Dtype::F32);
    let (mut sums, mut column, mut token, mut patch) = (vec![0f64; dim], 0, 0, 0);
    let mut piece = Vec::new();
    file.pieces("embeddings", &mut |bytes| {
        piece.clear();
        crate::arrays::extend_f32(&mut piece, dtype, bytes);
        for &value in &piece {
            sums[column] += f64::from(value);
            column += 1;
            if column < dim {
                continue;
            }
            (column, token) = (0, token + 1);
            if ranges.get(patch).is_some_and(|range| range.end == token) {
                let n_tokens = ranges[patch].len() as f64;
                embeddings.extend(sums.iter().map(|sum| (sum / n_tokens) as f32));
                sums.fill(0.0);
                patch += 1;
            }
        }
        Ok(())
    })
}

/// Multiplies 8-bit rows by their scales; others are as they are.
fn scale_rows(file: &ArrayFile, n: usize, dim: usize, rows: &mut [f32]) -> Result<(), ReadError> {
    if file.info("embeddings").is_none_or(|info| info.dtype != crate::arrays::Dtype::I8) {
        return Ok(());
    }
    let scales = file.floats("embedding_scales")?;
    if scales.len() != n {
        return Err(file.wrong(format!("it has {} `embedding_scales` for {n} patches", scales.len())));
    }
    for (row, scale) in rows.chunks_exact_mut(dim.max(1)).zip(scales) {
        row.iter_mut().for_each(|value| *value *= scale);
    }
    Ok(())
}

/// Lengths, none of which is negative.
fn lengths(file: &ArrayFile, name: &str) -> Result<Vec<i32>, ReadError> {
    let lengths = file.integers(name)?;
    let checked = lengths.iter().map(|&length| i32::try_from(length).ok().filter(|&length| length >= 0));
    checked.collect::<Option<_>>().ok_or_else(|| file.wrong(format!("its `{name}` are no lengths")))
}

/// Consecutive runs of `values`. The lengths add up to their number.
fn runs<'a>(values: &'a [f32], lengths: &'a [i32]) -> impl Iterator<Item = &'a [f32]> {
    let mut rest = values;
    lengths.iter().map(move |&length| {
        let (run, after) = rest.split_at(length as usize);
        rest = after;
        run
    })
}

/// The mean of each run; of an empty one 0.
fn means(values: &[f32], lengths: &[i32]) -> Vec<f32> {
    let mean = |run: &[f32]| run.iter().map(|&x| f64::from(x)).sum::<f64>() / run.len().max(1) as f64;
    runs(values, lengths).map(|run| mean(run) as f32).collect()
}

pub(crate) fn pooled(values: &[f32], lengths: &[i32], pool: ProminencePool) -> Vec<f32> {
    match pool {
        ProminencePool::Mean => means(values, lengths),
        // A norm that is no number stays visible.
        _ => runs(values, lengths)
            .map(|run| run.iter().fold(0f32, |largest, &x| if x.is_nan() || x > largest { x } else { largest }))
            .collect(),
    }
}

/// The L2 norm of each row.
pub(crate) fn norms(rows: &[f32], dim: usize) -> Vec<f32> {
    let norm = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32;
    rows.chunks_exact(dim.max(1)).map(norm).collect()
}

/// `p^2 / (H + 1e-6)`.
pub(crate) fn coherences(prominence: &[f32], entropies: &[f32]) -> Vec<f32> {
    let coherence = |p: f32, h: f32| f64::from(p) * f64::from(p) / (f64::from(h) + COHERENCE_FLOOR);
    prominence.iter().zip(entropies).map(|(&p, &h)| coherence(p, h) as f32).collect()
}
