//! `blt-cli sphere index`: indexes placed patches.

use blt_corpus::{PlacedFile, Roots, rows_of};

use super::args::IndexArgs;
use super::fill::{files, make_folder};
use super::open::{index_path, unreadable};
use crate::Ending;
use crate::failure::Failure;
use crate::output::to_stderr;

pub(super) fn run(args: &IndexArgs, quiet: bool) -> Result<Ending, Failure> {
    super::use_threads(args.threads.map_or(0, usize::from));
    let options = args.roots.options();
    // Of a sphere in both forms, one index.
    let mut spheres =
        files(&args.paths, |name| name.ends_with(".sphere.npz") || name.ends_with(".sphere.safetensors"))?;
    spheres.dedup_by_key(|path| index_path(path, None));
    if spheres.is_empty() {
        return Err(Failure::usage("there are no spheres").hint(Some("make some with `blt-cli sphere fill`")));
    }
    if let Some(folder) = &args.output {
        make_folder(folder)?;
    }
    let mut n_failed = 0;
    for path in &spheres {
        let file = match PlacedFile::open(path).and_then(|file| Ok((file.read()?, file.embeddings()?, file))) {
            Ok(file) => file,
            Err(error) if spheres.len() == 1 => return Err(unreadable(error)),
            Err(error) => {
                to_stderr(&format!("failed: {error}"));
                n_failed += 1;
                continue;
            }
        };
        let (placed, embeddings, file) = file;
        let roots = Roots::build(rows_of(&embeddings), &placed, options);
        let target = index_path(path, args.output.as_deref());
        roots
            .write(&target, placed.places(), file.sha256().unwrap_or_default())
            .map_err(|error| Failure::new(format!("cannot write `{}`", target.display()), error))?;
        if !quiet {
            let (n, partitions) = (roots.tree.len(), roots.partitions.partitions.len());
            to_stderr(&format!("{n} patches in {partitions} partitions -> {}", target.display()));
        }
    }
    if n_failed == spheres.len() {
        return Err(Failure::usage("none of the spheres could be read"));
    }
    Ok(if n_failed > 0 { Ending::SomeFailed } else { Ending::Complete })
}
