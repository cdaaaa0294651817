//! What is to be read, cut into units that depend on the data alone.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::columns::{ColumnOptions, Selection};
use crate::error::TableError;
use crate::format::{Format, Packing};
use crate::hash::sha256_hex;
use crate::read_at::FileStore;
use crate::resolve::{Config, ResolveError};
use crate::split::SplitSlice;
use crate::table::{Piece, Table, TableOptions};

/// What of a dataset is wanted.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// Rows of splits, one behind the other. Rows that are named twice are read once.
    pub slices: Vec<SplitSlice>,
    /// Which columns.
    pub columns: ColumnOptions,
    /// So many rows are passed over first.
    pub skip: u64,
    /// No more rows than these.
    pub limit: Option<u64>,
    /// Part `.0` of `.1`: every `.1`-th unit, from the `.0`-th on.
    pub shard: (u64, u64),
    /// About how many bytes a unit has.
    pub unit_bytes: u64,
    /// How files are read.
    pub table: TableOptions,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            slices: vec![SplitSlice { split: "train".to_owned(), from: None, to: None }],
            columns: ColumnOptions::default(),
            skip: 0,
            limit: None,
            shard: (0, 1),
            unit_bytes: 128 << 20,
            table: TableOptions::default(),
        }
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A split does not exist.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A file could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A shard is none.
    #[error("there is no shard {0} of {1}")]
    Shard(u64, u64),
}

impl PlanError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Resolve(error) => error.hint(),
            Self::Table(error) => error.hint(),
            Self::Shard(..) => Some("shards are counted from 0"),
        }
    }
}

/// Units of work, and all that reading them needs to know. The same dataset and options give the same plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The files that are read.
    pub files: Vec<PlannedFile>,
    /// The units in order of files and rows.
    pub units: Vec<Unit>,
    /// The columns, as they were named.
    pub columns: ColumnOptions,
    /// Hashes of ids that several rows have; those rows are told apart by their numbers.
    pub repeated_ids: Vec<u64>,
}

/// A file of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Its path in the dataset.
    pub path: String,
    /// Its identity when the plan was made.
    pub identity: String,
    /// Its length.
    pub n_bytes: u64,
    /// How rows lie in it.
    pub format: Format,
    /// What it is packed in.
    pub packing: Packing,
    /// What stands before a row's number in its id, for rows that have no id of their own.
    pub id_prefix: String,
    /// What is added to a row's number in the file to get that in its id.
    pub first_row: u64,
}

/// A stretch of a file that is read, encoded and recorded as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Tells the unit from all others, of other versions of the file too.
    pub id: String,
    /// The file, by its place in [`Plan::files`].
    pub file: usize,
    /// Where to begin reading.
    pub piece: Piece,
    /// The rows of the file that are wanted. Ends at the largest number where it is not known how many there are.
    pub rows: Range<u64>,
}

/// More ids than these are not compared: each gets its row's number.
const MAX_COMPARED_IDS: u64 = 50_000_000;

impl Plan {
    /// Plans the reading of `config`, whose files `store` opens.
    ///
    /// Reads footers of Parquet and heads of Arrow's messages; plain texts it reads once, to count their rows. What is packed or
    /// has to be parsed is read only where `slices`, `skip` and `limit` cannot be kept without counting. An id column is
    /// read once, to find ids that occur twice.
    ///
    /// # Errors
    ///
    /// Fails when a split or a column does not exist, and when a file cannot be read.
    pub fn new(store: &dyn FileStore, config: &Config, options: &PlanOptions) -> Result<Self, PlanError> {
        let (shard, n_shards) = options.shard;
        if shard >= n_shards {
            return Err(PlanError::Shard(shard, n_shards));
        }
        let plan =
            Self { files: Vec::new(), units: Vec::new(), columns: options.columns.clone(), repeated_ids: Vec::new() };
        let mut planner = Planner {
            store,
            config,
            options,
            skip: options.skip,
            left: options.limit.unwrap_or(u64::MAX),
            ids: options.columns.id.is_some().then(Ids::default),
            done: Vec::new(),
            plan,
        };
        let splits: HashSet<&str> = options.slices.iter().map(|slice| slice.split.as_str()).collect();
        for slice in &options.slices {
            planner.split(slice, splits.len() > 1)?;
        }
        let mut plan = planner.plan;
        plan.repeated_ids = planner.ids.map(Ids::repeated).unwrap_or_default();
        let mut index = 0;
        plan.units.retain(|_| {
            index += 1;
            (index - 1) % n_shards == shard
        });
        Ok(plan)
    }

    /// How many rows it has, where that is known.
    pub fn n_rows(&self) -> Option<u64> {
        let counts = self.units.iter().map(|unit| (unit.rows.end != u64::MAX).then(|| unit.rows.end - unit.rows.start));
        counts.sum()
    }

    /// About how many bytes of files it stands for.
    pub fn n_bytes(&self) -> u64 {
        self.units.iter().map(|unit| unit.piece.n_bytes).fold(0, u64::saturating_add)
    }
}

struct Planner<'a> {
    store: &'a dyn FileStore,
    config: &'a Config,
    options: &'a PlanOptions,
    /// Rows that are still to be passed over, and those that may still be taken.
    skip: u64,
    left: u64,
    ids: Option<Ids>,
    /// Rows that are taken already, by their split.
    done: Vec<(String, Range<u64>)>,
    plan: Plan,
}

impl Planner<'_> {
    fn split(&mut self, slice: &SplitSlice, names_split: bool) -> Result<(), PlanError> {
        let files = self.config.split(&slice.split)?;
        let total = if slice.needs_count() { self.count_all(files)? } else { u64::MAX };
        let wanted = slice.range(total);
        let mut earlier: Vec<Range<u64>> = Vec::new();
        earlier.extend(self.done.iter().filter(|(split, _)| *split == slice.split).map(|(_, range)| range.clone()));
        self.done.push((slice.split.clone(), wanted.clone()));
        let counts =
            files.iter().all(|file| Format::of_name(file).is_some_and(|(format, packing)| format.counts_rows(packing)));
        let mut first_row = 0_u64;
        for (i, path) in files.iter().enumerate() {
            if self.left == 0 || first_row >= wanted.end {
                break;
            }
            let mut prefix = if names_split { format!("{}-", slice.split) } else { String::new() };
            if !counts && files.len() > 1 {
                prefix.push_str(&format!("{i}-"));
            }
            // Rows of this file that the slice has, by their numbers in the file.
            let inside = wanted.start.saturating_sub(first_row)..wanted.end.saturating_sub(first_row);
            let earlier =
                earlier.iter().map(|range| range.start.saturating_sub(first_row)..range.end.saturating_sub(first_row));
            let base = if counts { first_row } else { 0 };
            let needs_rest = i + 1 < files.len() && (wanted.start > 0 || wanted.end < u64::MAX);
            let n_rows = self.file(path, inside, &earlier.collect::<Vec<_>>(), prefix, base, needs_rest || counts)?;
            first_row = first_row.saturating_add(n_rows.unwrap_or(0));
        }
        Ok(())
    }

    /// Plans the rows `wanted` of a file without those `earlier`, and tells how many rows it has where `counts` or a bound asks
    /// for it; no more are counted than are needed.
    fn file(
        &mut self,
        path: &str,
        wanted: Range<u64>,
        earlier: &[Range<u64>],
        id_prefix: String,
        first_row: u64,
        counts: bool,
    ) -> Result<Option<u64>, PlanError> {
        let source = self.store.open(path).map_err(TableError::read(path))?;
        let table = Table::open(path, Arc::clone(&source), &self.options.table)?;
        let selection = self.options.columns.select(&table, &self.config.features)?;
        let needed = wanted.start.saturating_add(self.skip).saturating_add(self.left).min(wanted.end);
        let needed = if earlier.is_empty() { needed } else { wanted.end };
        let mut pieces = table.pieces(&selection.wanted, self.options.unit_bytes, needed)?;
        let is_bounded = self.skip > 0 || self.left < u64::MAX || wanted != (0..u64::MAX) || !earlier.is_empty();
        if let [piece] = &mut pieces[..]
            && piece.n_rows.is_none()
            && (is_bounded || counts)
        {
            piece.n_rows = Some(count(&table, needed)?);
        }
        let n_rows = pieces.iter().map(|piece| piece.n_rows).sum::<Option<u64>>();
        // Pieces that were not looked for any longer count where the file itself says how many rows it has.
        let n_rows = table.n_rows().or(n_rows);
        let file = PlannedFile {
            path: path.to_owned(),
            identity: source.identity(),
            n_bytes: source.n_bytes(),
            format: table.format(),
            packing: table.packing(),
            id_prefix,
            first_row,
        };
        let n_units = self.plan.units.len();
        for piece in pieces {
            let end = piece.n_rows.map_or(u64::MAX, |n| piece.first_row.saturating_add(n));
            let inside = piece.first_row.max(wanted.start)..end.min(wanted.end);
            for rows in without(inside, earlier) {
                self.unit(&file, &piece, rows);
            }
        }
        if self.plan.units.len() > n_units {
            self.plan.files.push(file);
            if let Some(ids) = &mut self.ids {
                for unit in &self.plan.units[n_units..] {
                    ids.read(&table, &selection, unit)?;
                }
            }
        }
        Ok(n_rows)
    }

    /// Takes `rows` of a piece, without those that are to be passed over and those that are too many.
    fn unit(&mut self, file: &PlannedFile, piece: &Piece, mut rows: Range<u64>) {
        if rows.is_empty() {
            return;
        }
        let skipped = self.skip.min(rows.end - rows.start);
        self.skip -= skipped;
        rows.start += skipped;
        rows.end = rows.end.min(rows.start.saturating_add(self.left));
        if rows.is_empty() {
            return;
        }
        if self.left < u64::MAX {
            self.left -= rows.end - rows.start;
        }
        let name = format!("{}\0{}\0{}\0{}", file.path, file.identity, rows.start, rows.end);
        let id = sha256_hex(&[name.as_bytes()])[..16].to_owned();
        self.plan.units.push(Unit { id, file: self.plan.files.len(), piece: piece.clone(), rows });
    }

    fn count_all(&self, files: &[String]) -> Result<u64, PlanError> {
        let mut n = 0_u64;
        for path in files {
            let source = self.store.open(path).map_err(TableError::read(path))?;
            let table = Table::open(path, source, &self.options.table)?;
            let known = match table.n_rows() {
                Some(known) => known,
                None => {
                    let pieces = table.pieces(&[], u64::MAX, u64::MAX)?;
                    match pieces.iter().map(|piece| piece.n_rows).sum::<Option<u64>>() {
                        Some(known) => known,
                        None => count(&table, u64::MAX)?,
                    }
                }
            };
            n = n.saturating_add(known);
        }
        Ok(n)
    }
}

/// Rows of a table that has to be read for this, up to `needed`; rows that are unusable count.
fn count(table: &Table, needed: u64) -> Result<u64, TableError> {
    let mut n = 0;
    for row in table.rows(0..needed, &[])? {
        match row {
            Err(error) if !error.is_of_one_row() => return Err(error),
            _ => n += 1,
        }
    }
    Ok(n)
}

/// What is left of `range` without `others`.
fn without(range: Range<u64>, others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = vec![range];
    for other in others {
        let cut = |range: Range<u64>| {
            let before = range.start..range.end.min(other.start);
            let behind = range.start.max(other.end)..range.end;
            if other.is_empty() { vec![range] } else { vec![before, behind] }
        };
        left = left.into_iter().flat_map(cut).filter(|range| !range.is_empty()).collect();
    }
    left
}

/// Finds ids that occur twice.
#[derive(Default)]
struct Ids {
    seen: HashSet<u64>,
    repeated: HashSet<u64>,
    too_many: bool,
}

impl Ids {
    fn read(&mut self, table: &Table, selection: &Selection, unit: &Unit) -> Result<(), TableError> {
        let Some(column) = selection.id.and_then(|place| selection.wanted.get(place)) else { return Ok(()) };
        if self.too_many {
            return Ok(());
        }
        for row in table.rows_of(&unit.piece, unit.rows.clone(), &[*column])? {
            match row {
                Ok(row) => {
                    let id = row.cells.first().and_then(crate::document::id_text);
                    let hash = id.map(|id| id_hash(&id));
                    if let Some(hash) = hash.filter(|hash| !self.seen.insert(*hash)) {
                        self.repeated.insert(hash);
                    }
                }
                Err(error) if error.is_of_one_row() => {}
                Err(error) => return Err(error),
            }
            if self.seen.len() as u64 > MAX_COMPARED_IDS {
                tracing::warn!("more than {MAX_COMPARED_IDS} ids: each row's number is added to its id");
                (self.too_many, self.seen, self.repeated) = (true, HashSet::new(), HashSet::new());
                return Ok(());
            }
        }
        Ok(())
    }

    fn repeated(self) -> Vec<u64> {
        if self.too_many {
            return vec![ALL_REPEATED];
        }
        let mut repeated: Vec<u64> = self.repeated.into_iter().collect();
        repeated.sort_unstable();
        repeated
    }
}

/// Stands for all hashes of ids.
const ALL_REPEATED: u64 = u64::MAX;

fn id_hash(id: &str) -> u64 {
    let digest = sha256_hex(&[id.as_bytes()]);
    // Never the one that stands for all.
    u64::from_str_radix(&digest[..16], 16).map_or(0, |hash| hash >> 1)
}

impl Plan {
    /// Whether several rows have the id `id`, or may have it.
    pub(crate) fn is_repeated(&self, id: &str) -> bool {
        self.repeated_ids == [ALL_REPEATED] || self.repeated_ids.binary_search(&id_hash(id)).is_ok()
    }
}

/// Opens a file of a plan, if it still is the one that was planned.
pub(crate) fn open_planned(
    store: &dyn FileStore,
    file: &PlannedFile,
    options: &TableOptions,
) -> Result<Table, TableError> {
    let source = store.open(&file.path).map_err(TableError::read(&file.path))?;
    if source.identity() != file.identity {
        return Err(TableError::Changed(file.path.clone()));
    }
    Table::open(&file.path, source, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_not_taken_again() {
        assert_eq!(without(0..10, &[2..4, 8..20]), [0..2, 4..8]);
        assert_eq!(without(0..10, &[0..4, 4..10]), Vec::<Range<u64>>::new());
        assert_eq!(without(0..10, &[5..5, 9..20]).as_slice(), std::slice::from_ref(&(0..9)));
    }
}
