//! The hypergraph as JSON: `nodes`, `edges`, and `topology.edges` that joins them by index.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::read::{Leaf, Sidecar, SidecarError};

/// Writes `sidecar` as one JSON object: `nodes[]` with `Trunk`, `Branch` and `Leaf` objects, `edges[]` with label and
/// weight, `topology.edges[]` with pairs of an edge's index and the ordered indices of its nodes.
///
/// # Errors
///
/// Fails when the database or `out` does.
pub fn write_json(sidecar: &Sidecar, out: &mut dyn Write) -> Result<(), SidecarError> {
    let mut nodes = List::begin(out, "{\"nodes\":")?;
    let trunk = sidecar.trunk()?;
    let hash: String = trunk.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    nodes.push(&json!({"Trunk": {"source_hash": hash, "total_bytes": trunk.n_bytes, "path": trunk.path,
        "media_type": trunk.media_type, "modality": trunk.modality}}))?;

    let branches = sidecar.branches()?;
    let mut contains: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut views = Vec::new();
    let mut index_of = BTreeMap::new();
    for (i, branch) in branches.iter().enumerate() {
        let node = 1 + i;
        index_of.insert(branch.id, node);
        let parent = branch.parent.and_then(|parent| index_of.get(&parent).copied());
        contains.entry(parent.unwrap_or(0)).or_default().push(node);
        if branch.parent.is_none() {
            views.push(node);
        }
        nodes.push(&json!({"Branch": {"label": branch.label, "name": branch.name, "modality": branch.modality,
            "media_type": branch.media_type, "origin": branch.origin,
            "start_offset": branch.range.start, "end_offset": branch.range.end}}))?;
    }
    let mut chains: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut node = 1 + branches.len();
    sidecar.for_each_leaf(|leaf| {
        contains.entry(index_of.get(&leaf.branch).copied().unwrap_or(0)).or_default().push(node);
        chains.entry(leaf.view).or_default().push(node);
        node += 1;
        nodes.push(&leaf_json(&leaf)).map_err(SidecarError::Json)
    })?;
    nodes.end()?;

    let mut members: Vec<(&str, Vec<usize>)> = Vec::new();
    members.extend(contains.into_iter().map(|(parent, children)| ("contains", [vec![parent], children].concat())));
    members.extend(chains.into_values().filter(|chain| chain.len() > 1).map(|chain| ("next", chain)));
    if views.len() > 1 {
        members.push(("same_source", views));
    }
    let mut edges = List::begin(out, ",\"edges\":")?;
    for (label, _) in &members {
        edges.push(&json!({"label": label, "weight": 1.0}))?;
    }
    edges.end()?;
    let mut topology = List::begin(out, ",\"topology\":{\"edges\":")?;
    for (edge, (_, nodes)) in members.iter().enumerate() {
        topology.push(&json!([edge, nodes]))?;
    }
    topology.end()?;
    out.write_all(b"}}\n").map_err(SidecarError::Json)
}

fn leaf_json(leaf: &Leaf) -> Value {
    json!({"Leaf": {"bytes": [], "label": "patch", "metadata": {
        "start_offset": leaf.range.start, "end_offset": leaf.range.end,
        "source_start": leaf.source.map(|range| range.start), "source_end": leaf.source.map(|range| range.end),
        "tensor_row": leaf.tensor_row, "entropy": leaf.entropy, "prominence": leaf.prominence,
        "coherence": leaf.coherence}}})
}

/// A JSON array written one element at a time.
struct List<'a> {
    out: &'a mut dyn Write,
    is_empty: bool,
}

impl<'a> List<'a> {
    fn begin(out: &'a mut dyn Write, before: &str) -> Result<Self, SidecarError> {
        write!(out, "{before}[").map_err(SidecarError::Json)?;
        Ok(Self { out, is_empty: true })
    }

    fn push(&mut self, value: &Value) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"\n" } else { b",\n" })?;
        self.is_empty = false;
        serde_json::to_writer(&mut self.out, value).map_err(io::Error::from)
    }

    fn end(self) -> Result<(), SidecarError> {
        self.out.write_all(b"]").map_err(SidecarError::Json)
    }
}

impl From<io::Error> for SidecarError {
    fn from(error: io::Error) -> Self {
        SidecarError::Json(error)
    }
}
