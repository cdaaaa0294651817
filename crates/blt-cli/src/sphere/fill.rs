//! `blt-cli sphere fill`: places the patches of outputs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use blt_core::error_chain;
use blt_corpus::{Exports, LeftOut, PatchArrays, PlaceOptions, ReadError, ReadOptions, Sphere, place};
use blt_ingest::{Journal, Status, path_text};
use blt_sphere::FillError;

use super::args::{FillCommand, TargetZoneArg};
use super::placing::exports;
use crate::Ending;
use crate::failure::Failure;
use crate::output::to_stderr;

/// Endings of files that hold no patches to be placed.
const OUR_OTHERS: [&str; 3] = [".sphere.safetensors", ".roots.safetensors", ".harmonics.safetensors"];

pub(super) fn run(args: &FillCommand, quiet: bool) -> Result<Ending, Failure> {
    super::use_threads(args.threads.map_or(0, usize::from));
    let mut filler = Filler {
        read: ReadOptions { pool: args.prominence_pool.map(super::args::FilePoolArg::pool) },
        place: args.fill.options()?,
        exports: exports(&args.export),
        output: args.output.clone(),
        quiet,
        done: Done::default(),
    };
    let files = patch_files(&args.paths)?;
    make_folder(&args.output)?;
    match &args.together {
        None => files.iter().try_for_each(|path| filler.one_by_one(path))?,
        Some(name) => {
            if !is_plain_name(name) {
                return Err(Failure::usage(format!("`--together {name}` is no name of a file")));
            }
            filler.together(&files, name)?;
        }
    }
    filler.end(&args.output)
}

/// `ingest --sphere`: places each document of an output folder beside its patches.
pub(crate) fn after_ingest(folder: &Path, zone: Option<TargetZoneArg>, quiet: bool) -> Result<Ending, Failure> {
    let mut place_options = PlaceOptions::default();
    place_options.fill.zones.target = zone.unwrap_or(TargetZoneArg::Auto).target();
    let mut filler = Filler {
        read: ReadOptions::default(),
        place: place_options,
        exports: Exports::default(),
        output: folder.to_owned(),
        quiet,
        done: Done::default(),
    };
    outputs(folder)?.iter().try_for_each(|path| filler.one_by_one(path))?;
    filler.end(folder)
}

struct Filler {
    read: ReadOptions,
    place: PlaceOptions,
    exports: Exports,
    output: PathBuf,
    quiet: bool,
    done: Done,
}

#[derive(Default)]
struct Done {
    /// Of the spheres that were written.
    names: HashSet<String>,
    n_patches: u64,
    n_failed: u64,
}

impl Filler {
    /// Places every document of a file on a sphere of its own. A file that cannot be read is named and passed over.
    fn one_by_one(&mut self, path: &Path) -> Result<(), Failure> {
        let mut patches = PatchArrays::default();
        if let Err(error) = patches.append_file(path, self.read) {
            self.unreadable(&error);
            return Ok(());
        }
        if patches.documents.len() == 1 {
            let name = patches.documents[0].id.clone();
            return self.fill(path, patches, &name);
        }
        for index in 0..patches.documents.len() {
            let document = patches.document(index);
            let name = document.documents[0].id.clone();
            self.fill(path, document, &name)?;
        }
        Ok(())
    }

    /// Places the documents of all files on one sphere.
    fn together(&mut self, files: &[PathBuf], name: &str) -> Result<(), Failure> {
        let mut patches = PatchArrays::default();
        for path in files {
            if let Err(error) = patches.append_file(path, self.read) {
                self.unreadable(&error);
            }
        }
        if patches.documents.is_empty() {
            return Ok(());
        }
        self.fill(Path::new(name), patches, name)
    }

    fn unreadable(&mut self, error: &ReadError) {
        self.failed(&error_chain(error), error.hint());
    }

    fn failed(&mut self, why: &str, hint: Option<&str>) {
        self.done.n_failed += 1;
        to_stderr(&format!("failed: {why}"));
        if let Some(hint) = hint {
            tracing::info!("{hint}");
        }
    }

    fn fill(&mut self, path: &Path, mut patches: PatchArrays, name: &str) -> Result<(), Failure> {
        // Names of documents may come from a file.
        let problem = if !is_plain_name(name) {
            Some("is no name of a file")
        } else if self.done.names.contains(name) {
            Some("is the name of another document, too; place them into different folders, or `--together`")
        } else {
            None
        };
        if let Some(problem) = problem {
            self.failed(&format!("{}: `{name}` {problem}", path_text(path)), None);
            return Ok(());
        }
        let (placement, left_out) = match place(&mut patches, &self.place) {
            Ok(placed) => placed,
            Err(
                error @ (FillError::NoEntropies { .. }
                | FillError::Chart { .. }
                | FillError::Option { option: "cap", .. }),
            ) => {
                self.failed(&format!("{}: {error}", path_text(path)), error.hint());
                return Ok(());
            }
            // What is wrong with the other options is wrong for every file.
            Err(error) => {
                let hint = error.hint();
                return Err(Failure::new("cannot place the patches", error).hint(hint));
            }
        };
        tell_left_out(&left_out);
        let sphere = Sphere { patches: &patches, placement: &placement, options: &self.place };
        let written = sphere.write_forms(&self.output, name, self.exports);
        written.map_err(|(path, error)| Failure::new(format!("cannot write `{}`", path.display()), error))?;
        self.done.n_patches += patches.len() as u64;
        self.done.names.insert(name.to_owned());
        Ok(())
    }

    fn end(self, folder: &Path) -> Result<Ending, Failure> {
        let Done { names, n_patches, n_failed } = self.done;
        if names.is_empty() && n_failed > 0 {
            return Err(Failure::usage("none of the inputs could be placed"));
        }
        if !self.quiet {
            let failed = if n_failed > 0 { format!(", {n_failed} failed") } else { String::new() };
            let spheres = names.len();
            to_stderr(&format!("{spheres} placed ({n_patches} patches){failed} -> {}", folder.display()));
        }
        Ok(if n_failed > 0 { Ending::SomeFailed } else { Ending::Complete })
    }
}

/// Says which patches have no place, by their first.
pub(super) fn tell_left_out(left_out: &[LeftOut]) {
    if let Some(LeftOut { document, patch_idx, flaw }) = left_out.first() {
        let more = left_out.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        to_stderr(&format!("incomplete: {document}: patch {patch_idx} is left out: {flaw}{more}"));
    }
}

/// The patch files that the paths name: of an output folder of `ingest` what its journal says is done, of another folder the
/// files with the right endings, in the order of their names.
fn patch_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let is_patch_file = |name: &str| {
        let is_known = name.ends_with(".safetensors") || name.ends_with(".parquet");
        is_known && !name.starts_with(['.', '@']) && !OUR_OTHERS.iter().any(|end| name.ends_with(end))
    };
    let mut found = Vec::new();
    for path in paths {
        if path.join(Journal::FILE_NAME).is_file() {
            found.extend(outputs(path)?);
        } else {
            found.extend(files(std::slice::from_ref(path), is_patch_file)?);
        }
    }
    if found.is_empty() {
        return Err(Failure::usage("there are no patch files")
            .hint(Some("make some with `blt-cli ingest`; they end in `.safetensors` or `.parquet`")));
    }
    Ok(found)
}

/// The patch files of an output folder, each once: several sources may share one.
fn outputs(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::new("cannot read the journal", error);
    let rows = Journal::open_existing(folder).and_then(|journal| journal.rows()).map_err(failed)?;
    let mut seen = HashSet::new();
    let names = rows.iter().filter(|row| row.status == Status::Done).flat_map(|row| &row.outputs);
    let patches = names.filter(|name| name.ends_with(".safetensors") || name.ends_with(".parquet"));
    Ok(patches.filter(|name| seen.insert(name.as_str())).map(|name| folder.join(name)).collect())
}

/// Paths that are files as they are, and in place of each folder the files in it whose names are wanted, in their order.
pub(super) fn files(paths: &[PathBuf], is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |error| Failure::new(format!("cannot read `{}`", path.display()), error);
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_name().to_str().is_some_and(&is_wanted) && entry.path().is_file() {
                found.push(entry.path());
            }
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

pub(super) fn make_folder(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot write to `{}`", folder.display()), error))
}

/// Whether a file of this name lies in the folder it is written to, and is seen there.
fn is_plain_name(name: &str) -> bool {
    let components: Vec<_> = Path::new(name).components().collect();
    let is_one = matches!(components.as_slice(), [std::path::Component::Normal(only)] if **only == *name);
    is_one && !name.starts_with('.') && name.len() <= 200 && !name.contains(['/', '\\', '\0'])
}
