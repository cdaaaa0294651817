//! `corpus.db`: everything about a corpus in one database, with the tables that the original's readers know and some of ours.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::json;

use crate::database::{DatabaseError, FillFailure, create};
use crate::encoded::EncodedDocument;
use crate::error::ReadError;
use crate::file::ArrayFile;
use crate::harmonics_file::{Part, read_harmonics};
use crate::patches::PatchArrays;
use crate::placed::{Placed, PlacedFile};
use crate::read::ReadOptions;
use crate::stages::{Stage, StageStatus, Stages};

/// The version of the tables that the original's readers ask for.
const SCHEMA_VERSION: &str = "2";

/// The key of the hash of the stages that a database is of.
const STAGES_SHA256: &str = "stages_sha256";

/// Times stay empty: with them, two runs over the same sources would not give the same file.
const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE documents (
    doc_id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    byte_count INTEGER,
    patch_count INTEGER,
    created_at TEXT,
    completed_at TEXT
);
CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY,
    doc_id TEXT NOT NULL,
    patch_idx INTEGER NOT NULL,
    embedding BLOB NOT NULL,
    prominence REAL,
    entropy REAL,
    theta REAL,
    phi REAL,
    r REAL,
    partition_id INTEGER
);
CREATE TABLE hypergraph_nodes (id INTEGER PRIMARY KEY, doc_id TEXT NOT NULL, node_idx INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE hypergraph_edges (id INTEGER PRIMARY KEY, doc_id TEXT NOT NULL, vertices BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE patch_bytes (id INTEGER PRIMARY KEY, doc_id TEXT NOT NULL, raw_bytes BLOB NOT NULL, patch_lengths BLOB NOT NULL);
CREATE TABLE partitions (id INTEGER PRIMARY KEY, centroid BLOB NOT NULL, n_members INTEGER NOT NULL);
CREATE TABLE roots_tree (
    node_id INTEGER PRIMARY KEY,
    parent_id INTEGER,
    is_leaf BOOLEAN NOT NULL,
    partition_id INTEGER REFERENCES partitions (id),
    left_child INTEGER,
    right_child INTEGER,
    centroid BLOB NOT NULL,
    point_count INTEGER NOT NULL,
    radius_min REAL,
    radius_max REAL,
    prom_min REAL,
    prom_max REAL,
    cap_angle REAL NOT NULL,
    zone INTEGER,
    first INTEGER NOT NULL,
    len INTEGER NOT NULL
);
CREATE TABLE roots_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE harmonics (
    id INTEGER PRIMARY KEY,
    band_limit INTEGER NOT NULL,
    kind TEXT NOT NULL,
    shell INTEGER,
    zone INTEGER,
    shot_noise REAL NOT NULL,
    a_lm BLOB NOT NULL,
    c_l BLOB NOT NULL
);
CREATE TABLE zones (patch_id INTEGER PRIMARY KEY REFERENCES embeddings (id), zone TEXT NOT NULL, source TEXT NOT NULL);
CREATE TABLE pipeline_stages (
    stage_name TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    config_json TEXT
);
CREATE TABLE patch_metadata (
    id INTEGER PRIMARY KEY,
    doc_id TEXT NOT NULL,
    node_idx INTEGER NOT NULL,
    patch_index INTEGER NOT NULL,
    prominence REAL NOT NULL,
    UNIQUE (doc_id, node_idx)
);
";

const INDICES: &str = "
CREATE INDEX idx_roots_tree_parent ON roots_tree (parent_id);
CREATE INDEX idx_emb_doc ON embeddings (doc_id, patch_idx);
CREATE INDEX idx_nodes_doc ON hypergraph_nodes (doc_id);
CREATE INDEX idx_edges_doc ON hypergraph_edges (doc_id);
CREATE INDEX idx_patch_bytes_doc ON patch_bytes (doc_id);
CREATE INDEX idx_patch_meta_doc ON patch_metadata (doc_id);
CREATE INDEX idx_docs_status ON documents (status);
";

/// Why the database of a corpus was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// The database refused.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A file that goes into it could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What goes into the database.
pub(crate) struct Contents<'a> {
    /// The encode stage's folder.
    pub(crate) folder: &'a Path,
    pub(crate) documents: &'a [EncodedDocument],
    pub(crate) read: ReadOptions,
    pub(crate) hypergraph: Option<&'a Path>,
    pub(crate) sphere: Option<&'a Path>,
    pub(crate) roots: Option<&'a Path>,
    pub(crate) harmonics: Option<&'a Path>,
    pub(crate) stages: &'a Stages,
    /// Hash of the records of the stages.
    pub(crate) stages_sha256: &'a str,
}

type Filled = Result<(), FillFailure<CorpusError>>;

impl From<ReadError> for FillFailure<CorpusError> {
    fn from(error: ReadError) -> Self {
        Self::Other(error.into())
    }
}

/// Writes the database at `path`, whole or not at all.
pub(crate) fn write_corpus(path: &Path, contents: &Contents<'_>) -> Result<(), CorpusError> {
    create(path, SCHEMA, INDICES, |connection| {
        let sphere = contents.sphere.map(PlacedFile::open).transpose()?.map(|file| file.read()).transpose()?;
        let partition_of = match contents.roots {
            Some(roots) => write_roots(connection, roots, !contents.stages.is_fresh(Stage::Roots))?,
            None => Vec::new(),
        };
        let metadata = write_documents(connection, contents, sphere.as_ref(), &partition_of)?;
        if let Some(hypergraph) = contents.hypergraph {
            copy_hypergraph(connection, hypergraph)?;
        }
        if let Some(harmonics) = contents.harmonics {
            write_harmonics(connection, harmonics)?;
        }
        write_stages(connection, contents.stages)?;
        connection.execute("INSERT INTO meta VALUES (?1, ?2)", [STAGES_SHA256, contents.stages_sha256])?;
        for (key, value) in metadata {
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", [key, value])?;
        }
        Ok(())
    })
}

/// The hash of the stages that the database at `path` is of, if there is one.
pub(crate) fn stages_sha256(path: &Path) -> Option<String> {
    let connection = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [STAGES_SHA256], |row| row.get(0)).ok()
}

/// Documents with their patches, and what is to be said about all of them.
fn write_documents(
    connection: &Connection,
    contents: &Contents<'_>,
    sphere: Option<&Placed>,
    partition_of: &[i64],
) -> Result<Vec<(String, String)>, FillFailure<CorpusError>> {
    let mut document_row = connection.prepare("INSERT INTO documents VALUES (?1, ?2, ?3, ?4, NULL, NULL)")?;
    let mut bytes_row =
        connection.prepare("INSERT INTO patch_bytes (doc_id, raw_bytes, patch_lengths) VALUES (?1, ?2, ?3)")?;
    let mut writer = PatchWriter::new(connection, sphere, partition_of)?;
    let mut metadata = vec![("schema_version".to_owned(), SCHEMA_VERSION.to_owned())];
    let (mut dim, mut model) = (0, None);
    for document in contents.documents {
        let status = if document.is_done() { "complete" } else { "failed" };
        let count = |n: Option<u64>| n.map(|n| n as i64);
        let n_patches = count(document.n_patches).filter(|_| document.is_done());
        document_row.execute(params![document.id, status, count(document.n_bytes), n_patches])?;
        if let Some(error) = &document.error {
            metadata.push((format!("error:{}", document.id), error.clone()));
        }
        if !document.is_done() {
            continue;
        }
        let mut patches = PatchArrays::default();
        patches.append_file(&document.patch_file(contents.folder), contents.read)?;
        (dim, model) = (dim.max(patches.dim), model.or_else(|| patches.model.clone()));
        let lengths: Vec<u8> = patches.patch_lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
        bytes_row.execute(params![document.id, patches.bytes, lengths])?;
        writer.patches(&document.id, &patches)?;
    }
    metadata.push(("embed_dim".to_owned(), dim.to_string()));
    metadata.extend(model.map(|model| ("model".to_owned(), model)));
    Ok(metadata)
}

struct PatchWriter<'a> {
    embedding: rusqlite::Statement<'a>,
    zone: rusqlite::Statement<'a>,
    sphere: Option<&'a Placed>,
    partition_of: &'a [i64],
    /// The rows of each document in the sphere.
    rows_of: HashMap<&'a str, Range<usize>>,
    zone_source: &'static str,
    /// Rows so far, and with it the key of the last one.
    n_rows: i64,
}

impl<'a> PatchWriter<'a> {
    fn new(
        connection: &'a Connection,
        sphere: Option<&'a Placed>,
        partition_of: &'a [i64],
    ) -> Result<Self, FillFailure<CorpusError>> {
        let sql = "INSERT INTO embeddings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let mut rows_of: HashMap<&str, Range<usize>> = HashMap::new();
        for row in 0..sphere.map_or(0, Placed::len) {
            if let Some(sphere) = sphere {
                rows_of.entry(sphere.document_of(row)).or_insert(row..row).end = row + 1;
            }
        }
        // Where a patch's zone comes from: its document's role, the option, or where it lies anyway.
        let target = sphere.and_then(|sphere| sphere.metadata.get("target_zone")).map_or("", String::as_str);
        let zone_source = match target {
            "auto" => "role",
            "natural" => "chart",
            _ => "option",
        };
        Ok(Self {
            embedding: connection.prepare(sql)?,
            zone: connection.prepare("INSERT INTO zones VALUES (?1, ?2, ?3)")?,
            sphere,
            partition_of,
            rows_of,
            zone_source,
            n_rows: 0,
        })
    }

    /// A patch that could not be placed has an embedding and nothing else.
    fn patches(&mut self, document: &str, patches: &PatchArrays) -> Filled {
        let mut rows = self.rows_of.get(document).cloned().unwrap_or(0..0);
        let mut blob = Vec::with_capacity(patches.dim * 4);
        for i in 0..patches.len() {
            blob.clear();
            patches.rows().row(i).iter().for_each(|x| blob.extend(x.to_le_bytes()));
            let row = self.sphere.filter(|sphere| rows.start < rows.end && sphere.patch_idx[rows.start] == i as i32);
            let row = row.map(|sphere| {
                let row = rows.start;
                rows.start += 1;
                (sphere, row)
            });
            let place = |of: fn(&Placed) -> &[f64]| row.map(|(sphere, row)| of(sphere)[row]);
            let partition = row.and_then(|(_, row)| self.partition_of.get(row).copied()).filter(|&id| id >= 0);
            self.n_rows += 1;
            self.embedding.execute(params![
                self.n_rows,
                document,
                i as i64,
                blob,
                f64::from(patches.prominence[i]),
                patches.entropies.as_ref().map(|entropies| f64::from(entropies[i])),
                place(|sphere| &sphere.theta),
                place(|sphere| &sphere.phi),
                place(|sphere| &sphere.radii),
                partition,
            ])?;
            if let Some((sphere, row)) = row {
                let zone = blt_sphere::Zone::ALL[usize::from(sphere.zones[row]).min(2)].name();
                self.zone.execute(params![self.n_rows, zone, self.zone_source])?;
            }
        }
        Ok(())
    }
}

/// Copies the rows of the hypergraph, numbered within their documents from 0.
fn copy_hypergraph(connection: &Connection, path: &Path) -> Filled {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let source = Connection::open_with_flags(path, flags)?;
    let mut ranges = source
        .prepare("SELECT doc_id, first_node, n_nodes, first_edge, n_edges FROM document_ranges ORDER BY first_node")?;
    let mut nodes = source.prepare("SELECT id, data FROM nodes WHERE id >= ?1 AND id < ?1 + ?2 ORDER BY id")?;
    let mut edges =
        source.prepare("SELECT vertices, data FROM hyperedges WHERE id >= ?1 AND id < ?1 + ?2 ORDER BY id")?;
    let sql = "SELECT node_id, patch_idx, prominence FROM sphere_patches WHERE node_id >= ?1 AND node_id < ?1 + ?2 ORDER BY node_id";
    let mut patches = source.prepare(sql)?;
    let mut node_row =
        connection.prepare("INSERT INTO hypergraph_nodes (doc_id, node_idx, data) VALUES (?1, ?2, ?3)")?;
    let mut edge_row =
        connection.prepare("INSERT INTO hypergraph_edges (doc_id, vertices, data) VALUES (?1, ?2, ?3)")?;
    let sql = "INSERT INTO patch_metadata (doc_id, node_idx, patch_index, prominence) VALUES (?1, ?2, ?3, ?4)";
    let mut patch_row = connection.prepare(sql)?;
    let mut ranges = ranges.query([])?;
    let mut first_patch = 0;
    while let Some(range) = ranges.next()? {
        let document: String = range.get(0)?;
        let (first_node, n_nodes): (i64, i64) = (range.get(1)?, range.get(2)?);
        let mut rows = nodes.query([first_node, n_nodes])?;
        while let Some(row) = rows.next()? {
            node_row.execute(params![document, row.get::<_, i64>(0)? - first_node, row.get::<_, Vec<u8>>(1)?])?;
        }
        let mut rows = edges.query(params![range.get::<_, i64>(3)?, range.get::<_, i64>(4)?])?;
        while let Some(row) = rows.next()? {
            edge_row.execute(params![document, row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?])?;
        }
        let mut rows = patches.query([first_node, n_nodes])?;
        let mut n_patches = 0;
        while let Some(row) = rows.next()? {
            let (node, patch) = (row.get::<_, i64>(0)? - first_node, row.get::<_, i64>(1)? - first_patch);
            patch_row.execute(params![document, node, patch, row.get::<_, f64>(2)?])?;
            n_patches += 1;
        }
        first_patch += n_patches;
    }
    Ok(())
}

/// Partitions and the tree above them; gives the partition of each row of the sphere, -1 where it has none.
fn write_roots(connection: &Connection, path: &Path, stale: bool) -> Result<Vec<i64>, FillFailure<CorpusError>> {
    let file = ArrayFile::open(path)?;
    let wrong = || FillFailure::Other(CorpusError::Read(file.wrong("its arrays do not fit together")));
    let (parent, children) = (file.integers("node_parent")?, file.integers("node_children")?);
    let (first, len, zone) = (file.integers("node_first")?, file.integers("node_len")?, file.integers("node_zone")?);
    let cap_angle = file.doubles("node_cap_angle")?;
    let (radius, prominence) = (file.doubles("node_radius")?, file.doubles("node_prominence")?);
    let centroids = file.floats("centroids")?;
    let partition_node = file.integers("partition_node")?;
    let m = parent.len();
    let lengths = [
        children.len() / 2,
        first.len(),
        len.len(),
        zone.len(),
        cap_angle.len(),
        radius.len() / 2,
        prominence.len() / 2,
    ];
    if lengths != [m; 7] || !centroids.len().is_multiple_of(m.max(1)) {
        return Err(wrong());
    }
    let dim = centroids.len() / m.max(1);
    let blob = |node: usize| -> Vec<u8> {
        centroids[node * dim..(node + 1) * dim].iter().flat_map(|x| x.to_le_bytes()).collect()
    };
    let node_at = |node: i64| usize::try_from(node).ok().filter(|&node| node < m).ok_or_else(wrong);

    let mut partition_row = connection.prepare("INSERT INTO partitions VALUES (?1, ?2, ?3)")?;
    let mut partition_of_node = HashMap::new();
    let mut shown = BTreeSet::new();
    for (id, &node) in partition_node.iter().enumerate() {
        let node = node_at(node)?;
        partition_row.execute(params![id as i64, blob(node), len[node]])?;
        partition_of_node.insert(node, id as i64);
        let mut above = node;
        while shown.insert(above) && parent[above] >= 0 {
            above = node_at(parent[above])?;
        }
    }
    let sql = "INSERT INTO roots_tree VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let mut node_row = connection.prepare(sql)?;
    let some = |id: i64| (id >= 0).then_some(id);
    for node in shown {
        let partition = partition_of_node.get(&node).copied();
        let child = |side: usize| some(children[2 * node + side]).filter(|_| partition.is_none());
        node_row.execute(params![
            node as i64,
            some(parent[node]),
            partition.is_some(),
            partition,
            child(0),
            child(1),
            blob(node),
            len[node],
            radius[2 * node],
            radius[2 * node + 1],
            prominence[2 * node],
            prominence[2 * node + 1],
            cap_angle[node],
            some(zone[node]),
            first[node],
            len[node],
        ])?;
    }
    let config = json!(file.metadata()).to_string();
    for (key, value) in [("tree_version", "1"), ("tree_stale", if stale { "1" } else { "0" }), ("config", &config)] {
        connection.execute("INSERT INTO roots_meta VALUES (?1, ?2)", [key, value])?;
    }
    // The partitions of other places say nothing about these.
    if stale { Ok(Vec::new()) } else { Ok(file.integers("partition_id")?) }
}

fn write_harmonics(connection: &Connection, path: &Path) -> Filled {
    let sql = "INSERT INTO harmonics (band_limit, kind, shell, zone, shot_noise, a_lm, c_l) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut row = connection.prepare(sql)?;
    let blob = |values: &[f64]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    for part in read_harmonics(path)? {
        let (kind, number) = (part.part.kind(), part.part.number());
        let shell = matches!(part.part, Part::Shell(_)).then_some(number);
        let zone = matches!(part.part, Part::Zone(_)).then_some(number);
        let band_limit = part.harmonics.band_limit() as i64;
        let (a_lm, c_l) = (blob(part.harmonics.coefficients()), blob(&part.spectrum.power));
        row.execute(params![band_limit, kind, shell, zone, part.spectrum.shot_noise, a_lm, c_l])?;
    }
    Ok(())
}

fn write_stages(connection: &Connection, stages: &Stages) -> Filled {
    let mut row = connection.prepare("INSERT INTO pipeline_stages VALUES (?1, ?2, NULL, NULL, ?3)")?;
    for stage in Stage::ALL {
        let record = stages.get(stage);
        // What was done for other patches or places is still to be done for these.
        let is_stale = record.status == StageStatus::Complete && !stages.is_fresh(stage);
        let status = if is_stale { StageStatus::Pending } else { record.status };
        row.execute(params![stage.name(), status.name(), record.config_json()])?;
    }
    Ok(())
}
