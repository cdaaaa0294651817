//! Reading patches from Parquet: one row a document, or several with one `id` behind one another.

use std::fs::File;
use std::path::Path;

use half::f16;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::error::ReadError;
use crate::patches::{Part, PatchArrays, ProminencePool, check_width};
use crate::read::{ReadOptions, coherences, norms, pooled};

/// Rows of embeddings decoded at once.
const ROWS_AT_ONCE: usize = 16;

pub(crate) fn append(patches: &mut PatchArrays, path: &Path, options: ReadOptions) -> Result<(), ReadError> {
    let n_documents = patches.documents.len();
    let appended = read_file(patches, path, options);
    if appended.is_err() {
        patches.truncate(n_documents);
    }
    appended
}

fn read_file(patches: &mut PatchArrays, path: &Path, options: ReadOptions) -> Result<(), ReadError> {
    let file = File::open(path).map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
    let failed = |source| ReadError::Parquet { path: path.to_owned(), source };
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let metadata = reader.metadata().file_metadata();
    let strings = metadata.key_value_metadata().into_iter().flatten();
    let model = strings.filter(|entry| entry.key == "model").find_map(|entry| entry.value.clone());
    let mut open: Option<Part> = None;
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index).map_err(failed)?;
        let group = Group { path, group: &*group };
        for row in group.rows(options, &mut patches.embeddings)? {
            match &mut open {
                Some(part) if part.id == row.id => part.extend(row),
                _ => {
                    if let Some(part) = open.replace(Part { model: model.clone(), ..row }) {
                        patches.join(path, part)?;
                    }
                }
            }
        }
    }
    open.map_or(Ok(()), |part| patches.join(path, part))
}

impl Part {
    /// Appends a later row of the same document.
    fn extend(&mut self, row: Self) {
        self.dim = self.dim.max(row.dim);
        self.n_values += row.n_values;
        self.prominence.extend(row.prominence);
        self.patch_lengths.extend(row.patch_lengths);
        self.bytes.extend(row.bytes);
        if self.view_name == row.view_name
            && let Some(last) = self.views.last_mut()
        {
            *last += row.views.iter().sum::<usize>();
        } else {
            self.views.extend(row.views);
            self.view_name = row.view_name;
        }
        for (all, more) in [(&mut self.entropies, row.entropies), (&mut self.coherence, row.coherence)] {
            match (all.as_mut(), more) {
                (Some(all), Some(more)) => all.extend(more),
                _ => *all = None,
            }
        }
    }
}

/// A run of rows with statistics of its own.
struct Group<'a> {
    path: &'a Path,
    group: &'a dyn RowGroupReader,
}

impl Group<'_> {
    /// The rows as parts, whose embeddings are appended to `embeddings`.
    fn rows(&self, options: ReadOptions, embeddings: &mut Vec<f32>) -> Result<Vec<Part>, ReadError> {
        let mut start = embeddings.len();
        let lengths: Vec<Vec<i64>> = self.lists("patch_lengths")?.ok_or_else(|| self.lacks("patch_lengths"))?;
        let dim = self.embeddings(&lengths, embeddings)?;
        let ids = self.texts("id")?.ok_or_else(|| self.lacks("id"))?;
        let roles = self.texts("role")?;
        let views = self.texts("view")?;
        let mut blobs = self.texts("bytes")?;
        let prominence = match options.pool {
            None => self.lists::<f32>("prominence")?,
            Some(_) => None,
        };
        let by_byte = match options.pool {
            Some(ProminencePool::Max | ProminencePool::Mean) => {
                Some(self.lists::<f32>("byte_prominence")?.ok_or_else(|| self.lacks("byte_prominence"))?)
            }
            _ => None,
        };
        let entropies = self.lists::<f32>("patch_entropies")?;
        let coherence = if options.pool.is_none() { self.lists::<f32>("patch_coherence")? } else { None };
        let mut rows = Vec::with_capacity(lengths.len());
        for (row, lengths) in lengths.iter().enumerate() {
            let checked = lengths.iter().map(|&length| i32::try_from(length).ok().filter(|&length| length >= 0));
            let wrong = || self.wrong(format!("in row {row}, the columns do not fit together"));
            let mut patch_lengths: Vec<i32> = checked.collect::<Option<_>>().ok_or_else(wrong)?;
            let n_bytes = patch_lengths.iter().map(|&length| length as usize).sum::<usize>();
            let end = start + patch_lengths.len() * dim;
            let own = embeddings.get(start..end).ok_or_else(wrong)?;
            let prominence = match (&prominence, &by_byte) {
                (Some(stored), _) => stored[row].clone(),
                (None, Some(values)) if values[row].len() == n_bytes => {
                    pooled(&values[row], &patch_lengths, options.pool.unwrap_or(ProminencePool::Max))
                }
                (None, Some(_)) => return Err(wrong()),
                (None, None) => norms(own, dim),
            };
            if prominence.len() != patch_lengths.len() {
                return Err(wrong());
            }
            let entropies = entropies.as_ref().map(|values| values[row].clone());
            let coherence = match (&coherence, &entropies) {
                (Some(stored), _) => Some(stored[row].clone()),
                (None, Some(entropies)) => Some(coherences(&prominence, entropies)),
                (None, None) => None,
            };
            let bytes = match &mut blobs {
                Some(blobs) => std::mem::take(&mut blobs[row]),
                None => {
                    patch_lengths.fill(0);
                    Vec::new()
                }
            };
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
            let id = text(&ids[row]).ok_or_else(|| self.wrong(format!("in row {row}, `id` is no text")))?;
            let role = roles.as_ref().and_then(|roles| text(&roles[row]));
            let n_values = end - start;
            rows.push(Part {
                id,
                role,
                dim,
                n_values,
                views: vec![prominence.len()],
                view_name: views.as_ref().map(|views| views[row].clone()).unwrap_or_default(),
                prominence,
                entropies,
                coherence,
                patch_lengths,
                bytes,
                model: None,
            });
            start = end;
        }
        Ok(rows)
    }

    /// Appends the embeddings of all rows, some rows at a time, and tells their width.
    fn embeddings(&self, lengths: &[Vec<i64>], embeddings: &mut Vec<f32>) -> Result<usize, ReadError> {
        let mut column = self.column("embeddings")?.ok_or_else(|| {
            self.lacks("embeddings").hinted("run `blt-cli ingest` on the sources again, with embeddings")
        })?;
        let scales = self.lists::<f32>("embedding_scales")?;
        let n_patches: usize = lengths.iter().map(Vec::len).sum();
        let memory = |n: usize| ReadError::Memory { path: self.path.to_owned(), n_bytes: n as u64 * 4 };
        let mut dim = None;
        for (batch, lengths) in lengths.chunks(ROWS_AT_ONCE).enumerate() {
            let (values, counts) = column.next::<f32>(lengths.len()).map_err(|error| self.failed(error))?;
            let mut rest = values.as_slice();
            for (i, (lengths, count)) in lengths.iter().zip(counts).enumerate() {
                let row = batch * ROWS_AT_ONCE + i;
                let (own, after) = rest.split_at(count);
                rest = after;
                let n = lengths.len();
                let width = count.checked_div(n);
                if !count.is_multiple_of(n.max(1))
                    || (n == 0 && count > 0)
                    || (dim.is_some() && width.is_some() && dim != width)
                {
                    return Err(self.wrong(format!("in row {row}, {count} numbers are no {n} embeddings")));
                }
                if dim.is_none()
                    && let Some(width) = width
                {
                    check_width(self.path, n, width)?;
                    dim = Some(width);
                    let n = n_patches.saturating_mul(width);
                    embeddings.try_reserve_exact(n).map_err(|_| memory(n))?;
                }
                match &scales {
                    None => embeddings.extend_from_slice(own),
                    Some(scales) if scales[row].len() == n => {
                        for (patch, &scale) in own.chunks(width.unwrap_or(1).max(1)).zip(&scales[row]) {
                            embeddings.extend(patch.iter().map(|value| value * scale));
                        }
                    }
                    Some(_) => return Err(self.wrong(format!("in row {row}, there is not one scale an embedding"))),
                }
            }
        }
        Ok(dim.unwrap_or(0))
    }

    /// The rows of a column of texts or byte strings, `None` where there is no such column.
    fn texts(&self, name: &str) -> Result<Option<Vec<Vec<u8>>>, ReadError> {
        let Some(mut column) = self.column(name)? else { return Ok(None) };
        let (values, counts) = column.blobs(self.n_rows()).map_err(|error| self.failed(error))?;
        let mut values = values.into_iter();
        // A row without a value is an empty text.
        let row = |count: usize| values.by_ref().take(count).next().unwrap_or_default();
        Ok(Some(counts.into_iter().map(row).collect()))
    }

    /// The rows of a column of lists of numbers, `None` where there is no such column.
    fn lists<T: Number>(&self, name: &str) -> Result<Option<Vec<Vec<T>>>, ReadError> {
        let Some(mut column) = self.column(name)? else { return Ok(None) };
        let (values, counts) = column.next::<T>(self.n_rows()).map_err(|error| self.failed(error))?;
        let mut values = values.into_iter();
        Ok(Some(counts.into_iter().map(|count| values.by_ref().take(count).collect()).collect()))
    }

    fn n_rows(&self) -> usize {
        usize::try_from(self.group.metadata().num_rows()).unwrap_or(0)
    }

    /// The leaf column below the field `name`.
    fn column(&self, name: &str) -> Result<Option<Column>, ReadError> {
        let columns = self.group.metadata().columns();
        let Some(index) =
            columns.iter().position(|column| column.column_path().parts().first().is_some_and(|part| part == name))
        else {
            return Ok(None);
        };
        let reader = self.group.get_column_reader(index).map_err(|error| self.failed(error))?;
        Ok(Some(Column { reader, shape: Shape::of(columns[index].column_descr()) }))
    }

    fn failed(&self, source: ParquetError) -> ReadError {
        ReadError::Parquet { path: self.path.to_owned(), source }
    }

    fn wrong(&self, reason: String) -> ReadError {
        ReadError::content(self.path, reason)
    }

    fn lacks(&self, name: &str) -> ReadError {
        self.wrong(format!("it has no column `{name}`, so it is no file of patches"))
    }
}

/// A number of a list.
trait Number: Copy {
    fn from_i64(value: i64) -> Self;
    fn from_f64(value: f64) -> Option<Self>;
}

impl Number for f32 {
    fn from_i64(value: i64) -> Self {
        value as Self
    }

    fn from_f64(value: f64) -> Option<Self> {
        Some(value as Self)
    }
}

impl Number for i64 {
    fn from_i64(value: i64) -> Self {
        value
    }

    fn from_f64(_: f64) -> Option<Self> {
        None
    }
}

/// The levels that tell rows and values apart.
#[derive(Clone, Copy)]
struct Shape {
    max_definition: i16,
    max_repetition: i16,
    is_optional: bool,
}

impl Shape {
    fn of(descriptor: &ColumnDescriptor) -> Self {
        Self {
            max_definition: descriptor.max_def_level(),
            max_repetition: descriptor.max_rep_level(),
            is_optional: descriptor.self_type().is_optional(),
        }
    }

    /// Values in each row.
    fn counts(&self, definition: &[i16], repetition: &[i16], n_records: usize) -> Result<Vec<usize>, ParquetError> {
        if self.max_definition == 0 {
            return Ok(vec![1; n_records]);
        }
        let mut counts = Vec::with_capacity(n_records);
        for (i, &level) in definition.iter().enumerate() {
            if self.max_repetition == 0 || repetition[i] == 0 {
                counts.push(0);
            }
            if level == self.max_definition {
                *counts.last_mut().ok_or_else(|| ParquetError::General("a list begins in no row".to_owned()))? += 1;
            } else if self.max_repetition > 0 && self.is_optional && level + 1 == self.max_definition {
                return Err(ParquetError::General("a list of numbers has a null in it".to_owned()));
            }
        }
        Ok(counts)
    }
}

/// A column that is read row by row.
struct Column {
    reader: ColumnReader,
    shape: Shape,
}

impl Column {
    /// The numbers of the next `n` rows, and how many each has.
    fn next<T: Number>(&mut self, n: usize) -> Result<(Vec<T>, Vec<usize>), ParquetError> {
        let shape = self.shape;
        let float = |value: f64| {
            T::from_f64(value).ok_or_else(|| ParquetError::General("a column of integers holds floats".to_owned()))
        };
        match &mut self.reader {
            ColumnReader::Int32ColumnReader(reader) => records(reader, shape, n, |&x| Ok(T::from_i64(i64::from(x)))),
            ColumnReader::Int64ColumnReader(reader) => records(reader, shape, n, |&x| Ok(T::from_i64(x))),
            ColumnReader::FloatColumnReader(reader) => records(reader, shape, n, |&x| float(f64::from(x))),
            ColumnReader::DoubleColumnReader(reader) => records(reader, shape, n, |&x| float(x)),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => records(reader, shape, n, |x| match x.data() {
                &[low, high] => float(f64::from(f16::from_le_bytes([low, high]).to_f32())),
                other => Err(ParquetError::General(format!("a number of {} bytes", other.len()))),
            }),
            _ => Err(ParquetError::General("a column of numbers holds something else".to_owned())),
        }
    }

    /// The byte strings of the next `n` rows, and how many each has.
    fn blobs(&mut self, n: usize) -> Result<(Vec<Vec<u8>>, Vec<usize>), ParquetError> {
        match &mut self.reader {
            ColumnReader::ByteArrayColumnReader(reader) => records(reader, self.shape, n, |x| Ok(x.data().to_vec())),
            _ => Err(ParquetError::General("a column of texts holds something else".to_owned())),
        }
    }
}

fn records<D: DataType, U>(
    reader: &mut ColumnReaderImpl<D>,
    shape: Shape,
    n: usize,
    convert: impl Fn(&D::T) -> Result<U, ParquetError>,
) -> Result<(Vec<U>, Vec<usize>), ParquetError> {
    let (mut definition, mut repetition, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut n_read = 0;
    while n_read < n {
        let (records, ..) =
            reader.read_records(n - n_read, Some(&mut definition), Some(&mut repetition), &mut values)?;
        if records == 0 {
            return Err(ParquetError::EOF(format!("a column ends after {n_read} of {n} rows")));
        }
        n_read += records;
    }
    let counts = shape.counts(&definition, &repetition, n)?;
    if counts.len() != n || counts.iter().sum::<usize>() != values.len() {
        return Err(ParquetError::General("a column's levels and values do not agree".to_owned()));
    }
    Ok((values.iter().map(convert).collect::<Result<_, _>>()?, counts))
}
