//! Reading the units of a plan.

use std::sync::{Arc, Mutex, PoisonError};

use crate::columns::Selection;
use crate::document::{RowDocument, id_text, parts};
use crate::error::TableError;
use crate::features::Features;
use crate::id::id_of_row;
use crate::plan::{Plan, Unit, open_planned};
use crate::read_at::FileStore;
use crate::table::{Row, Rows, Table, TableOptions};

/// A planned dataset whose units can be read, in any order and by any number of threads.
pub struct Dataset {
    store: Arc<dyn FileStore>,
    plan: Arc<Plan>,
    features: Features,
    options: TableOptions,
    /// The file that was opened last, as the next unit is likely of the same.
    last: Mutex<Option<(usize, Arc<Table>)>>,
}

impl Dataset {
    /// `plan`, whose files `store` opens; `features` are those of the configuration it was made of.
    pub fn new(store: Arc<dyn FileStore>, plan: Plan, features: Features, options: TableOptions) -> Self {
        Self { store, plan: Arc::new(plan), features, options, last: Mutex::new(None) }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The documents of `unit`.
    ///
    /// # Errors
    ///
    /// Fails when the unit's file cannot be opened or is not the one that was planned. Rows that are no documents are errors
    /// of the iterator; those of which [`TableError::is_of_one_row`] is true are followed by the next row.
    pub fn documents(&self, unit: &Unit) -> Result<Documents, TableError> {
        let table = self.table(unit.file)?;
        let selection = self.plan.columns.select(&table, &self.features)?;
        let rows = table.rows_of(&unit.piece, unit.rows.clone(), &selection.wanted)?;
        Ok(Documents { plan: Arc::clone(&self.plan), file: unit.file, selection, rows, ended: false })
    }

    fn table(&self, file: usize) -> Result<Arc<Table>, TableError> {
        let lock = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, table)) = lock().as_ref().filter(|(known, _)| *known == file) {
            return Ok(Arc::clone(table));
        }
        let planned =
            self.plan.files.get(file).ok_or_else(|| TableError::Changed(format!("file {file} of the plan")))?;
        let table = Arc::new(open_planned(&*self.store, planned, &self.options)?);
        *lock() = Some((file, Arc::clone(&table)));
        Ok(table)
    }
}

/// The documents of a unit, made while they are asked for.
pub struct Documents {
    plan: Arc<Plan>,
    file: usize,
    selection: Selection,
    rows: Rows,
    ended: bool,
}

impl Iterator for Documents {
    type Item = Result<RowDocument, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.rows.next()?;
        self.ended = row.as_ref().err().is_some_and(|error| !error.is_of_one_row());
        Some(row.and_then(|row| self.document(row)))
    }
}

impl Documents {
    fn document(&self, row: Row) -> Result<RowDocument, TableError> {
        let file = &self.plan.files[self.file];
        let number = row.number;
        let wrong = |why: String| TableError::Row { file: file.path.clone(), row: number, why };
        let count = format!("{}{}", file.id_prefix, file.first_row.saturating_add(number));
        let id = match self.selection.id.map(|place| row.cells.get(place).and_then(id_text)) {
            None => id_of_row(&count),
            Some(None) => return Err(wrong("it has no id".to_owned())),
            Some(Some(id)) if self.plan.is_repeated(&id) => format!("{}@{count}", id_of_row(&id)),
            Some(Some(id)) => id_of_row(&id),
        };
        let (parts, metadata) = parts(row, &self.selection).map_err(wrong)?;
        Ok(RowDocument { file: self.file, row: number, id, parts, metadata })
    }
}
