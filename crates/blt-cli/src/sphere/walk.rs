//! `blt-cli sphere walk`: from patch to patch, to the most coherent neighbour.

use std::collections::HashSet;
use std::fmt::Write as _;

use blt_corpus::Roots;
use blt_sphere::{Effort, Graph, QueryError, WalkOptions, coherence01};
use serde_json::{Value, json};

use super::args::WalkArgs;
use super::open::Opened;
use crate::Ending;
use crate::args::ReportFormat;
use crate::failure::Failure;
use crate::output::write_all;
use crate::render::printable;

pub(super) fn run(args: &WalkArgs) -> Result<Ending, Failure> {
    let opened = args.sphere.open()?;
    let Some(entropies) = &opened.placed.entropies else {
        return Err(Failure::usage("the sphere has no entropies, and without them nothing is coherent"));
    };
    let coherence = coherence01(&opened.placed.prominence, entropies);
    let start = args.start.or(args.sphere.patch);
    let vector = args.sphere.vector(&opened, start)?;
    let roots = args.sphere.roots(&opened)?;
    let failed = |error: QueryError| Failure::new("cannot look for neighbours", error);
    let start = match start {
        Some(start) => start,
        // A text stands nowhere itself: the walk starts from the patch that is nearest to it.
        None => match roots.tree.knn(&vector, 1, Effort::Exact).map_err(failed)?.first() {
            Some(nearest) => nearest.id,
            None => return Err(Failure::usage("the sphere has no patches to walk on")),
        },
    };
    let options = WalkOptions { threshold: args.threshold, top_k: args.top_k, max_steps: args.max_steps };
    let path = walk(&roots, &coherence, start, &options).map_err(failed)?;
    write_all(report(args, &opened, &coherence, &path).as_bytes())
}

/// Walks on the graph of nearest neighbours, of which only what the walk comes to is computed.
fn walk(roots: &Roots<'_>, coherence: &[f64], start: u32, options: &WalkOptions) -> Result<Vec<u32>, QueryError> {
    let rows = roots.tree.rows();
    let mut edges = Vec::new();
    let mut known = HashSet::new();
    loop {
        let path = Graph::from_edges(rows.len(), edges.iter().copied()).walk(coherence, start, options);
        let last = path.last().copied().unwrap_or(start);
        if !known.insert(last) {
            return Ok(path);
        }
        let near = roots.tree.knn(rows.row(last as usize), options.top_k + 1, Effort::Exact)?;
        edges.extend(
            near.iter()
                .filter(|other| other.id != last)
                .take(options.top_k)
                .map(|other| (last, other.id, other.cosine)),
        );
    }
}

fn report(args: &WalkArgs, opened: &Opened, coherence: &[f64], path: &[u32]) -> String {
    match args.format {
        ReportFormat::Json => {
            let step = |&id: &u32| {
                let mut entry = opened.describe(id);
                entry.insert("coherence01".to_owned(), json!(coherence[id as usize]));
                Value::Object(entry)
            };
            format!("{:#}\n", json!({"path": path.iter().map(step).collect::<Vec<_>>()}))
        }
        ReportFormat::Text => {
            let mut text = String::new();
            for &id in path {
                let _ = writeln!(text, "{:>8.4}  {}", coherence[id as usize], opened.line(id));
            }
            printable(text.as_bytes())
        }
    }
}
