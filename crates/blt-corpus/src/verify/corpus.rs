//! Checks of corpus databases and folders.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, types::FromSql};

use super::{Report, verify};
use crate::error::ReadError;
use crate::pipeline::ENCODE_FOLDER;
use crate::stages::{Stage, Stages};

/// Every file of a corpus folder, or every sphere and patch file of another.
pub(super) fn verify_folder(folder: &Path) -> Result<Vec<Report>, ReadError> {
    let open = |source| ReadError::Open { path: folder.to_owned(), source };
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(open)? {
        let name = entry.map_err(open)?.file_name().to_string_lossy().into_owned();
        let is_known = name.ends_with(".safetensors") || name.ends_with(".npz") || name.ends_with(".parquet");
        if (is_known || name == "corpus.db") && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    let mut reports = Vec::new();
    if folder.join(crate::stages::FILE_NAME).is_file() {
        reports.push(verify_stages(folder)?);
    }
    for name in names {
        reports.extend(verify(&folder.join(name))?);
    }
    if reports.is_empty() {
        return Err(ReadError::content(folder, "there is nothing in it that can be checked"));
    }
    Ok(reports)
}

fn verify_stages(folder: &Path) -> Result<Report, ReadError> {
    let path = folder.join(crate::stages::FILE_NAME);
    let stages = Stages::read(folder).map_err(|source| ReadError::Open { path: path.clone(), source })?;
    let mut report = Report::new(&path, "record of a pipeline");
    for stage in Stage::ALL {
        let record = stages.get(stage);
        let fresh = stages.is_fresh(stage);
        let error = record.error.map(|error| format!(": {error}")).unwrap_or_default();
        let state =
            if fresh { "up to date".to_owned() } else { format!("{}, not up to date{error}", record.status.name()) };
        report.check(stage.name(), fresh, state);
    }
    let has_sources = folder.join(ENCODE_FOLDER).is_dir();
    report.check("encoded", has_sources, format!("the folder `{ENCODE_FOLDER}` is there: {has_sources}"));
    Ok(report)
}

pub(super) fn verify_database(path: &Path) -> Result<Report, ReadError> {
    let failed = |error: rusqlite::Error| ReadError::content(path, format!("it is no corpus database ({error})"));
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;").map_err(failed)?;
    let database = Database { connection: &connection };
    database
        .check()
        .map(|(n, checks)| {
            let mut report = Report::new(path, format!("corpus database of {n} patches"));
            checks.into_iter().for_each(|(name, holds, sentence)| report.check(name, holds, sentence));
            report
        })
        .map_err(failed)
}

type Checks = Vec<(&'static str, bool, String)>;

struct Database<'a> {
    connection: &'a Connection,
}

impl Database<'_> {
    fn one<T: FromSql>(&self, sql: &str) -> rusqlite::Result<T> {
        self.connection.query_row(sql, [], |row| row.get(0))
    }

    /// A check that no row is wrong.
    fn none(
        &self,
        name: &'static str,
        fine: &str,
        wrong: &str,
        sql: &str,
    ) -> rusqlite::Result<(&'static str, bool, String)> {
        let count: i64 = self.one(sql)?;
        Ok((name, count == 0, if count == 0 { fine.to_owned() } else { format!("{count} {wrong}") }))
    }

    fn check(&self) -> rusqlite::Result<(i64, Checks)> {
        let n: i64 = self.one("SELECT count(*) FROM embeddings")?;
        let intact: String = self.one("PRAGMA integrity_check(1)")?;
        let mut checks = vec![("integrity", intact == "ok", format!("SQLite finds the file {intact}"))];
        checks.push(self.none(
            "documents",
            "every document has the patches that it says",
            "documents have other patches than they say",
            "SELECT count(*) FROM documents WHERE status = 'complete' AND patch_count IS NOT
                (SELECT count(*) FROM embeddings WHERE embeddings.doc_id = documents.doc_id)",
        )?);
        checks.push(self.none(
            "embeddings",
            "every embedding has the width that the database says",
            "embeddings have another width",
            "SELECT count(*) FROM embeddings WHERE length(embedding) IS NOT
                4 * CAST((SELECT value FROM meta WHERE key = 'embed_dim') AS INTEGER)",
        )?);
        checks.push(self.none(
            "bytes",
            "patch lengths add up, one for each patch",
            "documents have other patch lengths",
            "SELECT count(*) FROM documents JOIN patch_bytes USING (doc_id) WHERE length(patch_lengths) IS NOT 4 * patch_count",
        )?);
        let n_placed: i64 = self.one("SELECT count(*) FROM embeddings WHERE r IS NOT NULL")?;
        checks.push(self.none(
            "places",
            &format!("{n_placed} of {n} patches have a place, with angles in range"),
            "patches have half a place, or angles out of range",
            "SELECT count(*) FROM embeddings WHERE (r IS NULL) + (theta IS NULL) + (phi IS NULL) NOT IN (0, 3)
                OR r <= 0 OR NOT theta BETWEEN 0 AND 3.1415926535897932 OR phi < 0 OR phi >= 6.2831853071795865",
        )?);
        let n_zones: i64 = self.one("SELECT count(*) FROM zones")?;
        checks.push(("zones", n_zones == n_placed, format!("{n_zones} patches have a zone, {n_placed} a place")));
        let n_partitions: i64 = self.one("SELECT count(*) FROM partitions")?;
        let stale: Option<String> =
            self.connection
                .query_row("SELECT max(value) FROM roots_meta WHERE key = 'tree_stale'", [], |row| row.get(0))?;
        if stale.as_deref() == Some("1") {
            checks.push(("partitions", false, "the index is of other places: run the stage `roots`".to_owned()));
        } else if n_partitions > 0 {
            checks.push(self.none(
                "partitions",
                &format!("{n_partitions} partitions have the members that they say, and the tree above them adds up"),
                "partitions or nodes have other members than they say",
                "SELECT (SELECT count(*) FROM partitions LEFT JOIN
                        (SELECT partition_id, count(*) AS n FROM embeddings GROUP BY partition_id) AS members
                        ON members.partition_id = partitions.id WHERE n_members IS NOT coalesce(members.n, 0))
                    + (SELECT count(*) FROM roots_tree AS node WHERE NOT is_leaf AND point_count IS NOT
                        (SELECT sum(point_count) FROM roots_tree WHERE parent_id = node.node_id))",
            )?);
        }
        checks.push(self.none(
            "harmonics",
            "every set of coefficients is of its band limit",
            "sets of coefficients are not of their band limit",
            "SELECT count(*) FROM harmonics WHERE length(a_lm) != 8 * (band_limit + 1) * (band_limit + 1)
                OR length(c_l) != 8 * (band_limit + 1)",
        )?);
        Ok((n, checks))
    }
}
