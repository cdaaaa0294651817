//! `--filter` and `--sql`: a dataset whose splits are the answers to a query about its splits.

use clap::Args;

#[cfg(feature = "polars")]
pub(crate) use answering::serve;
pub(crate) use answering::{Query, answer};

/// Which rows are asked for.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Only rows for which an SQL expression is true, like `score > 3 AND language = 'en'` (needs the feature `polars`)
    #[arg(long, value_name = "EXPRESSION", conflicts_with_all = ["sql", "stream"], help_heading = "Dataset")]
    pub(crate) filter: Option<String>,
    /// The rows that a `SELECT` gives instead of the split's, which are the table `self` (needs the feature `polars`)
    #[arg(long, value_name = "QUERY", conflicts_with = "stream", help_heading = "Dataset")]
    pub(crate) sql: Option<String>,
}

/// By Polars.
#[cfg(feature = "polars")]
mod answering {
    use std::collections::HashMap;
    use std::io::{self, Write as _};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use blt_dataset::{Config, Features, FileStore, Format, LocalFile, PlanOptions, ReadAt, TableOptions};
    use blt_query::TableFile;

    use serde::{Deserialize, Serialize};

    use super::QueryArgs;
    use crate::Ending;
    use crate::dataset::{Cached, Place, unresolved};
    use crate::failure::Failure;

    pub(crate) use blt_query::Query;

    const CAN_BE_QUERIED: &str = "files in Parquet, Arrow (no streams), JSON lines, CSV and TSV can be queried";

    impl QueryArgs {
        /// The query, if one is given.
        pub(crate) fn query(&self) -> Result<Option<Query>, Failure> {
            let filter = self.filter.clone().map(Query::Filter);
            Ok(filter.or_else(|| self.sql.clone().map(Query::Sql)))
        }
    }

    /// `place` with each split that is wanted in place of which the rows are that `query` gives of it. What is said about columns
    /// stays said of those that keep their names.
    pub(crate) fn answer(
        query: &Query,
        mut place: Place,
        options: &PlanOptions,
        cache: &Path,
    ) -> Result<Place, Failure> {
        let mut answers = Answers(HashMap::new());
        let mut config = Config { name: place.config.name.clone(), ..Config::default() };
        for split in options.slices.iter().map(|slice| &slice.split) {
            if config.splits.iter().any(|(known, _)| known == split) {
                continue;
            }
            let paths = place.config.split(split).map_err(|error| unresolved(&place.name, error))?;
            let (table, features) = table(&place, paths)?;
            tracing::info!(split, "answering the query");
            let request = Request { query: query.clone(), table, folder: cache.join("blt-queries") };
            let what = format!("cannot query the split `{split}` of `{}`", place.name);
            let answer = match request.send() {
                Ok(Ok(answer)) => answer,
                Ok(Err((why, hint))) => return Err(Failure::new(what, io::Error::other(why)).hint(hint)),
                Err(error) => return Err(Failure::new(what, error)),
            };
            let path = format!("{}{split}.query.parquet", common_folder(paths));
            answers.0.insert(path.clone(), (answer.path, answer.key));
            config.splits.push((split.clone(), vec![path]));
            config.features = config.features.or(&features);
        }
        config.features = config.features.or(&place.config.features);
        (place.files, place.config) = (Arc::new(answers), config);
        Ok(place)
    }

    /// What the program, started anew, is asked: Polars trusts files that nobody should trust, and a damaged one may end it.
    #[derive(Serialize, Deserialize)]
    struct Request {
        query: Query,
        table: blt_query::Table,
        folder: PathBuf,
    }

    /// The answer, or why there is none and what to do.
    type Reply = Result<blt_query::Answer, (String, Option<String>)>;

    impl Request {
        fn send(&self) -> io::Result<Reply> {
            let mut file = tempfile::NamedTempFile::new()?;
            file.write_all(&serde_json::to_vec(self)?)?;
            let mut worker = Command::new(std::env::current_exe()?);
            let output = worker.arg("query-worker").arg(file.path()).stdin(Stdio::null()).output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            if !said.is_empty() {
                tracing::debug!(%said, "while answering a query");
            }
            if !output.status.success() {
                let why = format!("a file is damaged, or memory is short: Polars ended with {}", output.status);
                return Err(io::Error::other(why));
            }
            Ok(serde_json::from_slice(&output.stdout)?)
        }
    }

    /// Answers a request in this process.
    pub(crate) fn serve(request: &Path) -> Result<Ending, Failure> {
        let read = || -> io::Result<Request> { Ok(serde_json::from_slice(&std::fs::read(request)?)?) };
        let Request { query, table, folder } =
            read().map_err(|error| Failure::new("cannot read what is asked", error))?;
        let reply: Reply = blt_query::answer(&query, &table, &folder).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            (format!("{error}{}", cause.unwrap_or_default()), error.hint().map(str::to_owned))
        });
        let reply = serde_json::to_vec(&reply).map_err(|error| Failure::new("cannot write the answer", error))?;
        crate::output::write_all(&reply)
    }

    /// The files at `paths` as one table, and what they say about its columns.
    fn table(place: &Place, paths: &[String]) -> Result<(blt_query::Table, Features), Failure> {
        let (mut known, mut files, mut features) = (None, Vec::with_capacity(paths.len()), Features::default());
        for path in paths {
            let failed = |error| Failure::new(format!("cannot read `{path}` of `{}`", place.name), error);
            let source = place.files.open(path).map_err(failed)?;
            let identity = format!("{}/{path} {}", place.name, source.identity());
            let opened = blt_dataset::Table::open(path, Arc::clone(&source), &TableOptions::default());
            let opened = opened.map_err(|error| {
                let hint = error.hint();
                Failure::new(format!("cannot query `{}`", place.name), error).hint(hint)
            })?;
            let format = format(opened.format(), &*source).ok_or_else(|| {
                let what = format!("`{path}` is {}, which cannot be queried", opened.format().name());
                Failure::usage(what).hint(Some(CAN_BE_QUERIED))
            })?;
            if *known.get_or_insert(format) != format {
                let what = format!("`{path}` and `{}` are of different formats", paths[0]);
                return Err(Failure::usage(what).hint(Some("name files of one format with `--data-files`")));
            }
            features = features.or(opened.features());
            files.push(TableFile { name: path.clone(), path: (place.on_disk)(path).map_err(failed)?, identity });
        }
        let format = known.ok_or_else(|| Failure::usage("there is no file to query"))?;
        Ok((blt_query::Table { format, files }, features))
    }

    /// As Polars knows the format, if it does.
    fn format(format: Format, source: &dyn ReadAt) -> Option<blt_query::Format> {
        match format {
            Format::Parquet => Some(blt_query::Format::Parquet),
            Format::Arrow => {
                let mut start = [0; 6];
                let is_file = source.read_at(0, &mut start).is_ok() && start == *b"ARROW1";
                is_file.then_some(blt_query::Format::Arrow)
            }
            Format::JsonLines => Some(blt_query::Format::JsonLines),
            Format::Csv => Some(blt_query::Format::Delimited(b',')),
            Format::Tsv => Some(blt_query::Format::Delimited(b'\t')),
            _ => None,
        }
    }

    /// The folder that all `paths` are in, with a `/` at its end where it is not the root: what rows name beside the data is
    /// looked for there.
    fn common_folder(paths: &[String]) -> &str {
        let folder = |path: &str| path.rfind('/').map_or(0, |slash| slash + 1);
        let Some(first) = paths.first() else { return "" };
        let mut common = &first[..folder(first)];
        while !paths.iter().all(|path| path.starts_with(common)) {
            common = &common[..folder(&common[..common.len() - 1])];
        }
        common
    }

    /// Answers by what they are called in the dataset, with their keys. A key names an answer's rows, so the same answer
    /// computed anew is no other file.
    struct Answers(HashMap<String, (PathBuf, String)>);

    impl FileStore for Answers {
        fn open(&self, path: &str) -> io::Result<Arc<dyn ReadAt>> {
            let (path, key) = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(Arc::new(Cached { file: LocalFile::open(path)?, identity: key.clone() }))
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_folder_of_an_answer_is_that_of_all_files() {
            for (paths, folder) in [
                (&["a.csv", "b.csv"][..], ""),
                (&["data/en/a.csv", "data/en/b.csv"], "data/en/"),
                (&["data/en/a.csv", "data/england/b.csv"], "data/"),
                (&["data/a.csv", "b.csv"], ""),
            ] {
                let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
                assert_eq!(common_folder(&paths), folder);
            }
        }
    }
}

/// Builds without Polars.
#[cfg(not(feature = "polars"))]
mod answering {
    use std::fmt;
    use std::path::Path;

    use blt_dataset::PlanOptions;

    use super::QueryArgs;
    use crate::dataset::Place;
    use crate::failure::Failure;

    /// There is none.
    pub(crate) enum Query {}

    impl fmt::Display for Query {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            match *self {}
        }
    }

    impl QueryArgs {
        /// Refuses a query, if one is given.
        pub(crate) fn query(&self) -> Result<Option<Query>, Failure> {
            let option = match (&self.filter, &self.sql) {
                (None, None) => return Ok(None),
                (Some(_), _) => "--filter",
                (None, Some(_)) => "--sql",
            };
            Err(Failure::usage(format!("`{option}` is not compiled into this program"))
                .hint(Some("build with `--features polars`: `cargo build --release -p blt-cli --features polars`")))
        }
    }

    pub(crate) fn answer(query: &Query, _: Place, _: &PlanOptions, _: &Path) -> Result<Place, Failure> {
        match *query {}
    }
}
