//! What has been done in a corpus folder: one record a stage, in `pipeline.json`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::hash::sha256_of_bytes;
use crate::write::publish_with;

/// Name of the file in the corpus folder.
pub(crate) const FILE_NAME: &str = "pipeline.json";

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Sources become patches.
    Encode,
    /// Their hypergraphs become one.
    Hypergraph,
    /// Patches get their places.
    Sphere,
    /// Places get an index.
    Roots,
    /// And harmonics.
    Harmonics,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 5] = [Self::Encode, Self::Hypergraph, Self::Sphere, Self::Roots, Self::Harmonics];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Hypergraph => "hypergraph",
            Self::Sphere => "sphere",
            Self::Roots => "roots",
            Self::Harmonics => "harmonics",
        }
    }

    /// The stage of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// The stage whose output it works on.
    pub fn upstream(self) -> Option<Self> {
        match self {
            Self::Encode => None,
            Self::Hypergraph | Self::Sphere => Some(Self::Encode),
            Self::Roots | Self::Harmonics => Some(Self::Sphere),
        }
    }
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StageStatus {
    /// Not done, or done for what is no longer there.
    #[default]
    Pending,
    /// Being done, or interrupted.
    Running,
    /// Done.
    Complete,
    /// Not done, and why is in its error.
    Failed,
}

impl StageStatus {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Complete, Self::Failed].into_iter().find(|status| status.name() == name)
    }
}

/// What is known about a stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StageRecord {
    /// How far it is.
    pub status: StageStatus,
    /// Its options by name.
    pub config: BTreeMap<String, String>,
    /// Hash of what it worked on.
    pub input: String,
    /// Hash of what it made.
    pub output: String,
    /// The files it made, in the corpus folder.
    pub files: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
}

impl StageRecord {
    /// Its options, their hash and that of its input, as one JSON object; `None` before it was begun.
    pub fn config_json(&self) -> Option<String> {
        let config = json!(self.config);
        let hash = sha256_of_bytes(config.to_string().as_bytes());
        let object = json!({"config": config, "config_sha256": hash, "input_sha256": self.input});
        (self.status != StageStatus::Pending || !self.config.is_empty()).then(|| object.to_string())
    }

    fn to_json(&self) -> Value {
        let mut object = json!({
            "status": self.status.name(), "config": self.config, "input": self.input, "output": self.output,
            "files": self.files,
        });
        if let Some(error) = &self.error {
            object["error"] = json!(error);
        }
        object
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let config = value["config"].as_object()?.iter().map(|(key, value)| Some((key.clone(), text(value)?)));
        Some(Self {
            status: StageStatus::named(value["status"].as_str()?)?,
            config: config.collect::<Option<_>>()?,
            input: text(&value["input"])?,
            output: text(&value["output"])?,
            files: value["files"].as_array()?.iter().map(text).collect::<Option<_>>()?,
            error: text(&value["error"]),
        })
    }
}

/// The records of all stages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stages {
    records: BTreeMap<Stage, StageRecord>,
}

impl Stages {
    /// The record of a stage.
    pub fn get(&self, stage: Stage) -> StageRecord {
        self.records.get(&stage).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, stage: Stage, record: StageRecord) {
        self.records.insert(stage, record);
    }

    /// Whether a stage is done for what its upstream stage has made last.
    pub fn is_fresh(&self, stage: Stage) -> bool {
        let record = self.get(stage);
        let input = stage.upstream().map_or_else(String::new, |upstream| self.get(upstream).output);
        record.status == StageStatus::Complete
            && record.input == input
            && stage.upstream().is_none_or(|up| self.is_fresh(up))
    }

    /// The records in `folder`; none when it has no file of them.
    ///
    /// # Errors
    ///
    /// Fails when there is such a file and it cannot be read or is malformed.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let text = match std::fs::read(folder.join(FILE_NAME)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let value: Value = serde_json::from_slice(&text)?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("`{FILE_NAME}` is malformed"));
        let object = value["stages"].as_object().ok_or_else(malformed)?;
        let records = object.iter().map(|(name, value)| Some((Stage::named(name)?, StageRecord::from_json(value)?)));
        Ok(Self { records: records.collect::<Option<_>>().ok_or_else(malformed)? })
    }

    pub(crate) fn to_json(&self) -> Value {
        let stages: serde_json::Map<String, Value> =
            self.records.iter().map(|(stage, record)| (stage.name().to_owned(), record.to_json())).collect();
        json!({"format": "blt_pipeline_v1", "stages": stages})
    }

    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let text = format!("{:#}\n", self.to_json());
        publish_with(&folder.join(FILE_NAME), |partial| std::fs::write(partial, &text))
    }
}
