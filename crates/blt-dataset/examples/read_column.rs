//! Reads one column of a file and says how fast, and with how much memory: `read_column FILE COLUMN`.
//!
//! `benches/reading.py` runs it beside pyarrow.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use blt_dataset::{Cell, LocalFile, Table, TableOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, column] = &arguments[..] else { return Err("usage: read_column FILE COLUMN".into()) };
    let start = Instant::now();
    let table = Table::open(file, Arc::new(LocalFile::open(Path::new(file))?), &TableOptions::default())?;
    let wanted = table.columns().iter().position(|known| known.name == *column).ok_or("there is no such column")?;
    let (mut n_rows, mut n_bytes) = (0_u64, 0_u64);
    for row in table.rows(0..u64::MAX, &[wanted])? {
        n_rows += 1;
        n_bytes += match &row?.cells[0] {
            Cell::Text(text) => text.len() as u64,
            Cell::Bytes(bytes) => bytes.len() as u64,
            _ => 0,
        };
    }
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    println!("{{\"rows\": {n_rows}, \"bytes\": {n_bytes}, \"seconds\": {seconds:.3}, \"peak\": \"{peak}\"}}");
    Ok(())
}
