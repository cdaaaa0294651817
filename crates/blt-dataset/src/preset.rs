//! Datasets whose peculiarities are known.

use crate::assets::{RepoFile, Repository};
use crate::columns::ColumnOptions;

/// What has to be said about one dataset so that nothing has to be said on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// The dataset on the Hub.
    pub dataset: &'static str,
    /// The configuration, where the default one is not meant.
    pub config: Option<&'static str>,
    /// The split expression.
    pub split: &'static str,
    /// The columns.
    pub columns: ColumnOptions,
    /// Archives with the files that rows name.
    pub archives: Vec<RepoFile>,
}

impl Preset {
    /// All presets.
    pub fn all() -> Vec<Self> {
        vec![Self::fineweb_edu(), Self::treevgr()]
    }

    /// The preset called `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|preset| preset.name == name)
    }

    /// Web pages of educational value. The sample of ten billion tokens: all of it is 130 times as much. Rows have ids of
    /// the form `<urn:uuid:..>`.
    fn fineweb_edu() -> Self {
        Self {
            name: "fineweb-edu",
            dataset: "HuggingFaceFW/fineweb-edu",
            config: Some("sample-10BT"),
            split: "train",
            columns: ColumnOptions {
                text: vec!["text".to_owned()],
                id: Some("id".to_owned()),
                ..ColumnOptions::default()
            },
            archives: Vec::new(),
        }
    }

    /// Questions about pictures. Rows name pictures as `images/coco/train2017/..jpg`; the pictures are those of
    /// LLaVA-NeXT, in eleven archives whose members are `coco/train2017/..jpg`.
    fn treevgr() -> Self {
        let archive = |i| RepoFile {
            repository: Some(Repository {
                kind: "datasets".to_owned(),
                name: "lmms-lab/LLaVA-NeXT-Data".to_owned(),
                revision: None,
            }),
            path: format!("llava_next_raw_format/llava_next_raw_format_images_{i}.tar.gz"),
        };
        Self {
            name: "treevgr",
            dataset: "HaochenWang/TreeVGR-SFT-35K",
            config: None,
            split: "train",
            columns: ColumnOptions::default(), // `images` and the conversation are found by their names
            archives: (1..=11).map(archive).collect(),
        }
    }
}
