//! Which files belong to which split, as the `datasets` library finds it out. Pure functions of the list of files and the
//! text of the README.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value;

use crate::features::Features;
use crate::format::Format;
use crate::readme::{self, ReadmeError};

/// Why the files of a dataset could not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The README's head could not be read.
    #[error("the README's head cannot be read")]
    Readme(#[from] ReadmeError),
    /// A pattern for names of files is malformed.
    #[error("the pattern `{pattern}` is malformed")]
    Pattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// There is no configuration of that name.
    #[error("there is no configuration `{wanted}`; there are {}", crate::error::listed(there_are))]
    NoConfig {
        /// What was asked for.
        wanted: String,
        /// What there is.
        there_are: Vec<String>,
    },
    /// There are several, none of them is the default, and none was named.
    #[error("one of several configurations has to be named; there are {}", crate::error::listed(.0))]
    WhichConfig(Vec<String>),
    /// There is no split of that name.
    #[error("there is no split `{wanted}`; there are {}", crate::error::listed(there_are))]
    NoSplit {
        /// What was asked for.
        wanted: String,
        /// What there is.
        there_are: Vec<String>,
    },
    /// No file is of a known format, or matches what was asked for.
    #[error("no data file is found{}", if .0.is_empty() { String::new() } else { format!(" for {}", crate::error::listed(.0)) })]
    NoFiles(Vec<String>),
    /// A split expression is malformed.
    #[error("`{expression}` is no split: {why}")]
    Expression {
        /// As given.
        expression: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ResolveError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoConfig { .. } | Self::WhichConfig(_) => Some("name one of them with `--hf-subset`"),
            Self::NoSplit { .. } => Some("name one of them with `--split`"),
            Self::NoFiles(_) => Some("name the files with `--data-files`, for example `--data-files 'data/*.jsonl'`"),
            Self::Expression { .. } => Some("examples: `train`, `train[:1%]`, `train[10:20]+test`"),
            _ => None,
        }
    }
}

/// A configuration of a dataset: its splits and their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `default` where it has no name.
    pub name: String,
    /// Files of each split in order, by their paths in the dataset. Splits are in the order in which they are declared, or
    /// train, validation, test.
    pub splits: Vec<(String, Vec<String>)>,
    /// What the README says about columns.
    pub features: Features,
}

impl Config {
    /// The files of the split `name`.
    ///
    /// # Errors
    ///
    /// Fails when there is no such split, and says which there are.
    pub fn split(&self, name: &str) -> Result<&[String], ResolveError> {
        let found = self.splits.iter().find(|(split, _)| split == name).map(|(_, files)| files.as_slice());
        found.ok_or_else(|| ResolveError::NoSplit {
            wanted: name.to_owned(),
            there_are: self.splits.iter().map(|(split, _)| split.clone()).collect(),
        })
    }
}

/// The names of the configurations that the README declares; none where it declares none.
///
/// # Errors
///
/// Fails when the README's head is not readable.
pub fn config_names(readme: &str) -> Result<Vec<String>, ResolveError> {
    let head = readme::front_matter(readme)?;
    Ok(declared(&head).map(|config| name_of(config).to_owned()).collect())
}

/// Finds the configuration `wanted`, or the default one, among `paths`, all files of the dataset.
///
/// First what the README's `configs` say counts; then names like `data/train-00000-of-00003.parquet`; then folders called like
/// splits; then files called like splits; and otherwise all files are `train`.
///
/// # Errors
///
/// Fails when the configuration does not exist or has no files, or the README's head is not readable.
pub fn resolve(paths: &[String], readme: &str, wanted: Option<&str>) -> Result<Config, ResolveError> {
    let head = readme::front_matter(readme)?;
    let configs: Vec<&Value> = declared(&head).collect();
    let names = || configs.iter().map(|config| name_of(config).to_owned()).collect::<Vec<_>>();
    let config = match wanted {
        Some(wanted) => configs.iter().find(|config| name_of(config) == wanted).copied(),
        None => {
            let is_default = |config: &&&Value| config["default"] == true || name_of(config) == "default";
            let only = if configs.len() == 1 { configs.first() } else { None };
            configs.iter().find(is_default).or(only).copied()
        }
    };
    let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    paths.sort_unstable();
    let Some(config) = config else {
        return match wanted {
            None if configs.is_empty() => by_names(&paths, "default", &head),
            None => Err(ResolveError::WhichConfig(names())),
            Some("default") if configs.is_empty() => by_names(&paths, "default", &head),
            Some(wanted) => Err(ResolveError::NoConfig {
                wanted: wanted.to_owned(),
                there_are: if configs.is_empty() { vec!["default".to_owned()] } else { names() },
            }),
        };
    };
    let name = name_of(config);
    let folder = config["data_dir"].as_str().unwrap_or_default().trim_matches('/');
    let inside = |pattern: &str| if folder.is_empty() { pattern.to_owned() } else { format!("{folder}/{pattern}") };
    let Some(data_files) = config.get("data_files").filter(|files| !files.is_null()) else {
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let paths: Vec<&str> = paths.into_iter().filter(|path| path.starts_with(&below)).collect();
        return by_names(&paths, name, &head);
    };
    let mut splits = Vec::new();
    for (split, patterns) in patterns_of_splits(data_files) {
        let patterns: Vec<String> = patterns.iter().map(|pattern| inside(pattern)).collect();
        splits.push((split, matching(&paths, &patterns)?));
    }
    finish(name, splits, &head)
}

/// Takes the files that match `patterns`, each a pattern or `split=pattern`; without a split they are `train`.
///
/// # Errors
///
/// Fails when a pattern is malformed or matches nothing.
pub fn resolve_data_files(paths: &[String], readme: &str, patterns: &[String]) -> Result<Config, ResolveError> {
    let head = readme::front_matter(readme)?;
    let mut sorted: Vec<&str> = paths.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut by_split: Vec<(String, Vec<String>)> = Vec::new();
    for pattern in patterns {
        let (split, pattern) = pattern.split_once('=').unwrap_or(("train", pattern));
        match by_split.iter_mut().find(|(known, _)| known == split) {
            Some((_, patterns)) => patterns.push(pattern.to_owned()),
            None => by_split.push((split.to_owned(), vec![pattern.to_owned()])),
        }
    }
    let mut splits = Vec::new();
    for (split, patterns) in by_split {
        splits.push((split, matching(&sorted, &patterns)?));
    }
    finish("default", splits, &head)
}

/// Finds a configuration among the files of the revision `refs/convert/parquet`: `config/split/0000.parquet`.
///
/// # Errors
///
/// Fails when the configuration does not exist, or when none is named and there are several without a default.
pub fn resolve_converted(paths: &[String], wanted: Option<&str>) -> Result<Config, ResolveError> {
    let mut configs: BTreeMap<&str, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for path in paths {
        let parts: Vec<&str> = path.split('/').collect();
        if let [config, split, file] = parts[..]
            && file.ends_with(".parquet")
        {
            // A split that was converted in part only is what it is called without this.
            let split = split.strip_prefix("partial-").unwrap_or(split);
            configs.entry(config).or_default().entry(split).or_default().push(path.clone());
        }
    }
    let there_are = || configs.keys().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let name = match wanted {
        Some(wanted) => wanted,
        None if configs.contains_key("default") => "default",
        None if configs.len() == 1 => configs.keys().next().copied().unwrap_or_default(),
        None if configs.is_empty() => return Err(ResolveError::NoFiles(Vec::new())),
        None => return Err(ResolveError::WhichConfig(there_are())),
    };
    let splits =
        configs.get(name).ok_or_else(|| ResolveError::NoConfig { wanted: name.to_owned(), there_are: there_are() })?;
    let mut splits: Vec<(String, Vec<String>)> = splits
        .iter()
        .map(|(split, files)| {
            let mut files = files.clone();
            files.sort_unstable();
            ((*split).to_owned(), files)
        })
        .collect();
    splits.sort_by_key(|(split, _)| order_of(split));
    Ok(Config { name: name.to_owned(), splits, features: Features::default() })
}

fn declared(head: &Value) -> impl Iterator<Item = &Value> {
    head["configs"].as_array().into_iter().flatten()
}

fn name_of(config: &Value) -> &str {
    config["config_name"].as_str().unwrap_or("default")
}

/// `data_files`: a pattern, a list of patterns, a map from splits to either, or a list of `{split, path}`.
fn patterns_of_splits(data_files: &Value) -> Vec<(String, Vec<String>)> {
    let texts = |value: &Value| match value {
        Value::String(pattern) => vec![pattern.clone()],
        Value::Array(patterns) => patterns.iter().filter_map(|pattern| Some(pattern.as_str()?.to_owned())).collect(),
        _ => Vec::new(),
    };
    match data_files {
        Value::Object(splits) => splits.iter().map(|(split, patterns)| (split.clone(), texts(patterns))).collect(),
        Value::Array(entries) if entries.iter().any(Value::is_object) => entries
            .iter()
            .filter_map(|entry| {
                Some((entry["split"].as_str().unwrap_or("train").to_owned(), texts(entry.get("path")?)))
            })
            .collect(),
        patterns => vec![("train".to_owned(), texts(patterns))],
    }
}

/// The paths that match one of the patterns, pattern by pattern, each once.
fn matching(paths: &[&str], patterns: &[String]) -> Result<Vec<String>, ResolveError> {
    let mut found: Vec<String> = Vec::new();
    for pattern in patterns {
        let matcher = glob(pattern)?;
        for path in paths {
            let is_named = path == pattern || matcher.is_match(path);
            if is_named && (!is_passed_over(path) || path == pattern) && !found.iter().any(|known| known == path) {
                found.push((*path).to_owned());
            }
        }
    }
    if found.is_empty() { Err(ResolveError::NoFiles(patterns.to_vec())) } else { Ok(found) }
}

fn glob(pattern: &str) -> Result<GlobMatcher, ResolveError> {
    let pattern = pattern.trim_start_matches("./");
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(false).build();
    let glob = glob.map_err(|source| ResolveError::Pattern { pattern: pattern.to_owned(), source })?;
    Ok(glob.compile_matcher())
}

/// Hidden files, and those that describe a dataset.
fn is_passed_over(path: &str) -> bool {
    const DESCRIPTIONS: &[&str] =
        &["README.md", "config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"];
    let is_hidden = path.split('/').any(|name| name.starts_with('.') || name.starts_with("__"));
    is_hidden || path.rsplit('/').next().is_some_and(|name| DESCRIPTIONS.contains(&name))
}

/// Splits by words that stand for them, in the library's order.
const SPLIT_WORDS: &[(&str, &[&str])] = &[
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "dev", "val"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

fn order_of(split: &str) -> usize {
    SPLIT_WORDS.iter().position(|(known, _)| *known == split).unwrap_or(SPLIT_WORDS.len())
}

fn by_names(paths: &[&str], name: &str, head: &Value) -> Result<Config, ResolveError> {
    let paths: Vec<&str> = paths.iter().copied().filter(|path| !is_passed_over(path)).collect();
    let paths = of_one_format(&paths);
    let mut splits: Vec<(String, Vec<String>)> = Vec::new();
    for path in &paths {
        if let Some(split) = split_of_shard(path) {
            match splits.iter_mut().find(|(known, _)| known == split) {
                Some((_, files)) => files.push((*path).to_owned()),
                None => splits.push((split.to_owned(), vec![(*path).to_owned()])),
            }
        }
    }
    splits.sort_by_key(|(split, _)| order_of(split));
    let by_words = |says: &dyn Fn(&str, &str) -> bool| -> Vec<(String, Vec<String>)> {
        let files = |words: &[&str]| {
            let matches = paths.iter().filter(|path| words.iter().any(|word| says(path, word)));
            matches.map(|path| (*path).to_owned()).collect::<Vec<_>>()
        };
        let splits = SPLIT_WORDS.iter().map(|(split, words)| ((*split).to_owned(), files(words)));
        splits.filter(|(_, files)| !files.is_empty()).collect()
    };
    if splits.is_empty() {
        splits = by_words(&|path, word| {
            path.rsplit_once('/')
                .is_some_and(|(folders, _)| folders.split('/').any(|folder| is_word_of(folder, word, false)))
        });
    }
    if splits.is_empty() {
        splits = by_words(&|path, word| path.rsplit('/').next().is_some_and(|file| is_word_of(file, word, true)));
    }
    if splits.is_empty() && !paths.is_empty() {
        splits.push(("train".to_owned(), paths.iter().map(|path| (*path).to_owned()).collect()));
    }
    finish(name, splits, head)
}

/// The files of the format that most of them have; the others are notes, or pictures that rows name.
fn of_one_format<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let family = |path: &str| match Format::of_name(path)?.0 {
        Format::JsonLines => Some(Format::JsonArray),
        Format::Tsv => Some(Format::Csv),
        format => Some(format),
    };
    let mut counts: BTreeMap<Format, usize> = BTreeMap::new();
    paths.iter().filter_map(|path| family(path)).for_each(|format| *counts.entry(format).or_default() += 1);
    // The first of equals: text files beside tables are licences.
    let most = counts.iter().rev().max_by_key(|(_, n)| **n).map(|(format, _)| *format);
    paths.iter().copied().filter(|path| most.is_some() && family(path) == most).collect()
}

/// `train` of `data/train-00000-of-00003.parquet`.
fn split_of_shard(path: &str) -> Option<&str> {
    let name = path.strip_prefix("data/")?;
    let at = name.find("-of-")?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (split, shard) = name[..at].rsplit_once('-')?;
    let is_shard = is_number(shard) && name.get(at + 4..at + 9).is_some_and(is_number) && name[at + 9..].contains('.');
    (is_shard && !split.is_empty() && !split.contains('/')).then_some(split)
}

/// Whether `name` has `word` in it, with the name's ends or one of `-._ 0-9` around it. A file's name has to go on behind it.
fn is_word_of(name: &str, word: &str, goes_on: bool) -> bool {
    let parts = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.' | '_' | ' ');
    name.match_indices(word).any(|(start, _)| {
        let before = name[..start].chars().next_back();
        let behind = name[start + word.len()..].chars().next();
        before.is_none_or(parts) && behind.map_or(!goes_on, parts)
    })
}

fn finish(name: &str, splits: Vec<(String, Vec<String>)>, head: &Value) -> Result<Config, ResolveError> {
    if splits.iter().all(|(_, files)| files.is_empty()) {
        return Err(ResolveError::NoFiles(Vec::new()));
    }
    let info = match &head["dataset_info"] {
        Value::Array(infos) => infos.iter().find(|info| name_of(info) == name),
        info => Some(info),
    };
    let features = info.map(|info| Features::of_dataset_info(&info["features"])).unwrap_or_default();
    Ok(Config { name: name.to_owned(), splits, features })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(paths: &[&str], readme: &str, wanted: Option<&str>, splits: &[(&str, &[&str])]) {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let config = resolve(&paths, readme, wanted).unwrap();
        let found: Vec<(&str, Vec<&str>)> = config
            .splits
            .iter()
            .map(|(split, files)| (split.as_str(), files.iter().map(String::as_str).collect()))
            .collect();
        let expected: Vec<(&str, Vec<&str>)> = splits.iter().map(|(split, files)| (*split, files.to_vec())).collect();
        assert_eq!(found, expected);
    }

    /// As `datasets.data_files.get_data_patterns` of 5.2.0 has them, but for files in no known format.
    #[test]
    fn shards_then_folders_then_names_tell_the_split() {
        check(
            &[
                "data/test-00000-of-00001.parquet",
                "data/train-00001-of-00002.parquet",
                "data/train-00000-of-00002.parquet",
                "x.csv",
            ],
            "",
            None,
            &[
                ("train", &["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
                ("test", &["data/test-00000-of-00001.parquet"]),
            ],
        );
        check(
            &["a/dev/x.jsonl", "training_2/y.jsonl"],
            "",
            None,
            &[("train", &["training_2/y.jsonl"]), ("validation", &["a/dev/x.jsonl"])],
        );
        check(
            &["my.val.csv", "train1.csv", "LICENSE.txt"],
            "",
            None,
            &[("train", &["train1.csv"]), ("validation", &["my.val.csv"])],
        );
        check(&["train_x/test.csv", "other/b.csv"], "", None, &[("train", &["train_x/test.csv"])]);
        check(
            &["x-train/a.csv", "1test2/b.csv"],
            "",
            None,
            &[("train", &["x-train/a.csv"]), ("test", &["1test2/b.csv"])],
        );
        check(&["constraint.csv", "testing"], "", None, &[("train", &["constraint.csv"])]);
        check(&["b.txt", "a.txt", ".hidden.txt", "__x/y.txt"], "", None, &[("train", &["a.txt", "b.txt"])]);
    }

    const README: &str = "---
configs:
- config_name: sample-10BT
  data_files:
  - split: train
    path: sample/10BT/*
- config_name: default
  data_files: {train: [\"data/*/*\"]}
- config_name: bare
  data_dir: more
dataset_info:
- config_name: sample-10BT
  features:
  - name: image
    dtype: image
---
# A dataset
";

    #[test]
    fn the_readme_comes_first() {
        let paths = ["data/a/0.parquet", "sample/10BT/0.parquet", "sample/10BT/sub/1.parquet", "more/test.csv"];
        check(&paths, README, None, &[("train", &["data/a/0.parquet"])]);
        check(&paths, README, Some("sample-10BT"), &[("train", &["sample/10BT/0.parquet"])]);
        check(&paths, README, Some("bare"), &[("test", &["more/test.csv"])]);
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let config = resolve(&paths, README, Some("sample-10BT")).unwrap();
        assert_eq!(config.features.medium("image"), Some(crate::Medium::Image));
        let error = resolve(&paths, README, Some("x")).unwrap_err().to_string();
        assert_eq!(error, "there is no configuration `x`; there are `sample-10BT`, `default`, `bare`");
        assert_eq!(config.split("dev").unwrap_err().to_string(), "there is no split `dev`; there are `train`");
        assert_eq!(config_names(README).unwrap(), ["sample-10BT", "default", "bare"]);
    }

    #[test]
    fn converted_files_and_named_ones() {
        let paths = ["en/partial-train/0001.parquet", "en/partial-train/0000.parquet", "de/test/0000.parquet"]
            .map(str::to_owned);
        assert!(matches!(resolve_converted(&paths, None), Err(ResolveError::WhichConfig(_))));
        let config = resolve_converted(&paths, Some("en")).unwrap();
        assert_eq!(config.split("train").unwrap(), ["en/partial-train/0000.parquet", "en/partial-train/0001.parquet"]);
        let named = resolve_data_files(&paths, "", &["test=de/**".to_owned(), "en/*/0001.parquet".to_owned()]).unwrap();
        assert_eq!(named.split("test").unwrap(), ["de/test/0000.parquet"]);
        assert_eq!(named.split("train").unwrap(), ["en/partial-train/0001.parquet"]);
        assert!(resolve_data_files(&paths, "", &["nothing".to_owned()]).is_err());
    }
}
