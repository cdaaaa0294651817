//! `blt-cli sphere walk`: from patch to patch, to the most coherent neighbour.

use std::fmt::Write as _;

use blt_sphere::{Effort, QueryError, WalkOptions, coherence01};
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
    let path = roots.tree.walk(&coherence, start, &options).map_err(failed)?;
    write_all(report(args, &opened, &coherence, &path).as_bytes())
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
