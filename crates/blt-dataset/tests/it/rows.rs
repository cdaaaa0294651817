//! The rows that all fixtures hold, and stores of files in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use blt_dataset::{
    Cell, Config, Dataset, FileStore, Plan, PlanOptions, ReadAt, RowDocument, Table, TableError, TableOptions, resolve,
};

pub(crate) const N_ROWS: u64 = 40;

/// As `make.py` makes it.
pub(crate) fn row(i: u64) -> [Cell; 3] {
    let text = format!("The {i}th text, \"quoted\", with ü and {}\nand a second line.", "x".repeat(i as usize));
    [Cell::Text(format!("row-{i}")), Cell::Text(text), Cell::Number((i as i64 * i as i64 - 5).into())]
}

pub(crate) fn text(i: u64) -> String {
    let [_, Cell::Text(text), _] = row(i) else { unreachable!("a row has a text") };
    text
}

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

pub(crate) fn table(name: &str, bytes: Vec<u8>) -> Result<Table, TableError> {
    Table::open(name, Arc::new(bytes), &TableOptions::default())
}

/// Files in memory.
#[derive(Default, Clone)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Arc<Vec<u8>>>);

impl Files {
    pub(crate) fn of<const N: usize>(files: [(&str, Vec<u8>); N]) -> Self {
        Self(files.into_iter().map(|(name, bytes)| (name.to_owned(), Arc::new(bytes))).collect())
    }

    pub(crate) fn config(&self) -> Config {
        resolve(&self.0.keys().cloned().collect::<Vec<_>>(), "", None).unwrap()
    }

    pub(crate) fn dataset(&self, options: &PlanOptions) -> Dataset {
        let config = self.config();
        let plan = Plan::new(self, &config, options).unwrap();
        Dataset::new(Arc::new(self.clone()), plan, config.features, options.table.clone())
    }
}

impl FileStore for Files {
    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::clone(self.0.get(path).ok_or(io::ErrorKind::NotFound)?) as Arc<dyn ReadAt>)
    }
}

/// All documents of all units.
pub(crate) fn documents(dataset: &Dataset) -> Vec<Result<RowDocument, TableError>> {
    dataset.plan().units.iter().flat_map(|unit| dataset.documents(unit).unwrap()).collect()
}

pub(crate) fn ids(dataset: &Dataset) -> Vec<String> {
    documents(dataset).into_iter().map(|document| document.unwrap().id).collect()
}
