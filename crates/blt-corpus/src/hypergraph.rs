//! The hypergraph of a corpus in one file, in the tables and encodings of the original's sidecar, version 3, and the edges
//! between patches as typed rows.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use blt_sidecar::{Leaf, Sidecar, SidecarError};
use blt_sphere::LabelWeights;
use rusqlite::{Connection, Statement, params};

use crate::bincode::Encoder;
use crate::database::{DatabaseError, FillFailure, create};
use crate::encoded::EncodedDocument;
use crate::patches::{Document, PatchArrays};

/// `nodes` and `hyperedges` hold what the original's readers decode; `sphere_patches` and `sphere_edges` the same for patches
/// alone, by their number in the corpus. `document_ranges` says which rows of all these a document has.
const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE nodes (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE hyperedges (id INTEGER PRIMARY KEY, vertices BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE sphere_patches (node_id INTEGER PRIMARY KEY, patch_idx INTEGER NOT NULL, prominence REAL NOT NULL);
CREATE TABLE sphere_edges (
    id INTEGER PRIMARY KEY,
    src_patch INTEGER NOT NULL,
    dst_patch INTEGER NOT NULL,
    weight REAL NOT NULL,
    label TEXT NOT NULL
);
CREATE TABLE document_ranges (
    doc_id TEXT PRIMARY KEY,
    first_node INTEGER NOT NULL,
    n_nodes INTEGER NOT NULL,
    first_edge INTEGER NOT NULL,
    n_edges INTEGER NOT NULL,
    first_patch INTEGER NOT NULL,
    n_patches INTEGER NOT NULL
);
INSERT INTO meta VALUES ('schema_version', '3');
";

const INDICES: &str = "
CREATE INDEX idx_sphere_patch ON sphere_patches (patch_idx);
CREATE INDEX idx_sphere_edge_label ON sphere_edges (label);
";

/// Why the hypergraph of a corpus was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HypergraphError {
    /// The database refused.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The hypergraph of a document could not be read.
    #[error("cannot read the hypergraph of `{document}`")]
    Sidecar {
        /// Which document.
        document: String,
        /// What is wrong with it.
        source: SidecarError,
    },
}

/// Writes the hypergraph of all finished documents in `folder` at `path`, whole or not at all.
pub(crate) fn write_hypergraph(
    path: &Path,
    folder: &Path,
    documents: &[EncodedDocument],
) -> Result<(), HypergraphError> {
    create(path, SCHEMA, INDICES, |connection| {
        let mut writer = Writer::new(connection)?;
        for document in documents.iter().filter(|document| document.is_done()) {
            let failed =
                |source| FillFailure::Other(HypergraphError::Sidecar { document: document.id.clone(), source });
            let sidecar = Sidecar::open(&folder.join(format!("{}.hypergraph.db", document.id))).map_err(failed)?;
            writer.document(&document.id, &sidecar).map_err(failed)?;
        }
        Ok(())
    })
}

struct Writer<'a> {
    node: Statement<'a>,
    hyperedge: Statement<'a>,
    patch: Statement<'a>,
    edge: Statement<'a>,
    ranges: Statement<'a>,
    n_nodes: u64,
    n_hyperedges: u64,
    n_patches: u64,
}

impl<'a> Writer<'a> {
    fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            node: connection.prepare("INSERT INTO nodes VALUES (?1, ?2)")?,
            hyperedge: connection.prepare("INSERT INTO hyperedges VALUES (?1, ?2, ?3)")?,
            patch: connection.prepare("INSERT INTO sphere_patches VALUES (?1, ?2, ?3)")?,
            edge: connection
                .prepare("INSERT INTO sphere_edges (src_patch, dst_patch, weight, label) VALUES (?1, ?2, ?3, ?4)")?,
            ranges: connection.prepare("INSERT INTO document_ranges VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?,
            n_nodes: 0,
            n_hyperedges: 0,
            n_patches: 0,
        })
    }

    /// Nodes are numbered from 1, as are hyperedges, patches from 0; all across the corpus.
    fn document(&mut self, id: &str, sidecar: &Sidecar) -> Result<(), SidecarError> {
        let (first_node, first_edge, first_patch) = (self.n_nodes, self.n_hyperedges, self.n_patches);
        let trunk = sidecar.trunk()?;
        let sha256: String = trunk.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let root = self.push_node(Encoder::default().integer(0).string(&sha256).integer(trunk.n_bytes))?;

        let mut node_of = HashMap::new();
        let mut contains: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut views = Vec::new();
        for branch in sidecar.branches()? {
            let node = self.push_node(Encoder::default().integer(1).string(&branch.label).string(&branch.modality))?;
            node_of.insert(branch.id, node);
            let parent = branch.parent.and_then(|parent| node_of.get(&parent).copied()).unwrap_or(root);
            contains.entry(parent).or_default().push(node);
            if branch.parent.is_none() {
                views.push((branch.id, node));
            }
        }
        let mut chains: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        let mut lengths: BTreeMap<i64, Vec<i32>> = BTreeMap::new();
        sidecar.for_each_leaf(|leaf| {
            let node = self.leaf(&leaf, first_patch)?;
            let branch = node_of.get(&leaf.branch).copied().unwrap_or(root);
            contains.entry(branch).or_default().push(node);
            chains.entry(leaf.view).or_default().push(node);
            lengths.entry(leaf.view).or_default().push(i32::try_from(leaf.range.len()).unwrap_or(i32::MAX));
            Ok(())
        })?;

        for (parent, children) in contains {
            self.hyperedge("contains", &[vec![parent], children].concat())?;
        }
        for chain in chains.into_values().filter(|chain| chain.len() > 1) {
            self.hyperedge("next", &chain)?;
        }
        if views.len() > 1 {
            self.hyperedge("same_source", &views.iter().map(|&(_, node)| node).collect::<Vec<_>>())?;
        }
        self.patch_edges(first_patch, &views, &lengths)?;
        let counts = [
            (first_node + 1, self.n_nodes - first_node),
            (first_edge + 1, self.n_hyperedges - first_edge),
            (first_patch, self.n_patches - first_patch),
        ]
        .map(|(first, n)| (first as i64, n as i64));
        let [(node, n_nodes), (edge, n_edges), (patch, n_patches)] = counts;
        self.ranges.execute(params![id, node, n_nodes, edge, n_edges, patch, n_patches])?;
        Ok(())
    }

    fn push_node(&mut self, data: Encoder) -> rusqlite::Result<u64> {
        self.n_nodes += 1;
        self.node.execute(params![self.n_nodes as i64, data.finish()])?;
        Ok(self.n_nodes)
    }

    /// A leaf's bytes are not stored, and its extra metadata are left out: the original's readers cannot decode those.
    fn leaf(&mut self, leaf: &Leaf, first_patch: u64) -> rusqlite::Result<u64> {
        let data = Encoder::default().integer(2).present(true).string("patch").present(true);
        let node = self.push_node(data.integer(leaf.range.start).integer(leaf.range.end).float(1.0).present(false))?;
        self.patch.execute(params![node as i64, (first_patch + leaf.tensor_row) as i64, leaf.prominence])?;
        self.n_patches += 1;
        Ok(node)
    }

    fn hyperedge(&mut self, label: &str, nodes: &[u64]) -> rusqlite::Result<()> {
        self.n_hyperedges += 1;
        let vertices = Encoder::default().integers(nodes).finish();
        let data = Encoder::default().integers(nodes).string(label).float(1.0).finish();
        self.hyperedge.execute(params![self.n_hyperedges as i64, vertices, data])?;
        Ok(())
    }

    fn patch_edges(
        &mut self,
        first_patch: u64,
        views: &[(i64, u64)],
        lengths: &BTreeMap<i64, Vec<i32>>,
    ) -> rusqlite::Result<()> {
        let lengths: Vec<&[i32]> =
            views.iter().map(|(view, _)| lengths.get(view).map_or(&[][..], Vec::as_slice)).collect();
        let structure = PatchArrays::structure(&lengths);
        let mut written = Ok(());
        structure.for_each_edge(LabelWeights::default(), |edge, label| {
            let [from, to] = [edge.from, edge.to].map(|patch| (first_patch + u64::from(patch)) as i64);
            let row = self.edge.execute(params![from, to, f64::from(edge.weight), label]);
            if let (true, Err(error)) = (written.is_ok(), row) {
                written = Err(error);
            }
        });
        written
    }
}

impl PatchArrays {
    /// A document of patches of these lengths, view by view, without anything else.
    fn structure(views: &[&[i32]]) -> Self {
        let patch_lengths = views.concat();
        let document = Document {
            id: String::new(),
            role: None,
            n_patches: patch_lengths.len(),
            n_bytes: 0,
            views: views.iter().map(|view| view.len()).collect(),
        };
        Self { documents: vec![document], patch_lengths, ..Self::default() }
    }
}
