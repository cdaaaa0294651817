//! What the `datasets` library has written down about columns: which of them hold pictures, sounds, films or documents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of thing a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Medium {
    /// Text, or something that is read as text.
    Text,
    /// A picture.
    Image,
    /// A sound.
    Audio,
    /// A film.
    Video,
    /// A PDF document.
    Pdf,
    /// Anything; its bytes tell.
    Unknown,
}

/// Media of the columns that have one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    media: BTreeMap<String, Medium>,
}

impl Features {
    /// Reads the value of the key `huggingface` in the schema of a Parquet or Arrow file, JSON of the form
    /// `{"info": {"features": {"image": {"_type": "Image"}}}}`. What is not of this form says nothing.
    pub fn of_schema_metadata(json: &str) -> Self {
        let value: Value = serde_json::from_str(json).unwrap_or_default();
        let columns = value["info"]["features"].as_object();
        let media = columns.into_iter().flatten().filter_map(|(name, feature)| Some((name.clone(), typed(feature)?)));
        Self { media: media.collect() }
    }

    /// Reads the `features` of a README's `dataset_info`, a list of the form `[{"name": "image", "dtype": "image"}]`.
    pub fn of_dataset_info(features: &Value) -> Self {
        let columns = features.as_array().into_iter().flatten();
        let media = columns.filter_map(|column| Some((column["name"].as_str()?.to_owned(), declared(column)?)));
        Self { media: media.collect() }
    }

    /// What the column `name` holds, where something is said about it.
    pub fn medium(&self, name: &str) -> Option<Medium> {
        self.media.get(name).copied()
    }

    /// What these say, and of columns of which they say nothing what `others` say.
    #[must_use]
    pub fn or(mut self, others: &Self) -> Self {
        for (name, medium) in &others.media {
            self.media.entry(name.clone()).or_insert(*medium);
        }
        self
    }

    /// Whether nothing is said about any column.
    pub fn is_empty(&self) -> bool {
        self.media.is_empty()
    }
}

/// `{"_type": "Image"}`, or a list of such: `[{..}]`, `{"_type": "List", "feature": {..}}`.
fn typed(feature: &Value) -> Option<Medium> {
    if let Some(items) = feature.as_array() {
        return items.first().and_then(typed);
    }
    match feature["_type"].as_str()? {
        "List" | "Sequence" | "LargeList" => typed(&feature["feature"]),
        name => of_name(name),
    }
}

/// `dtype: image`, or a list of such: `list: image`, `sequence: image`, `list: {dtype: image}`.
fn declared(column: &Value) -> Option<Medium> {
    let of = |value: &Value| value.as_str().map_or_else(|| declared(value), of_name);
    ["dtype", "list", "sequence"].into_iter().filter_map(|key| column.get(key)).find_map(of)
}

fn of_name(name: &str) -> Option<Medium> {
    match name.to_ascii_lowercase().as_str() {
        "image" => Some(Medium::Image),
        "audio" => Some(Medium::Audio),
        "video" => Some(Medium::Video),
        "pdf" => Some(Medium::Pdf),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_ways_of_writing_features_are_read() {
        let schema = json!({"info": {"features": {
            "a": {"_type": "Image"}, "b": [{"_type": "Audio", "sampling_rate": 16000}],
            "c": {"_type": "List", "feature": {"_type": "Pdf"}}, "d": {"_type": "Value", "dtype": "string"},
        }}});
        let readme = json!([
            {"name": "a", "dtype": "image"}, {"name": "b", "sequence": {"dtype": {"audio": {}}, "list": "audio"}},
            {"name": "c", "list": "pdf"}, {"name": "d", "dtype": "string"},
        ]);
        for features in [Features::of_schema_metadata(&schema.to_string()), Features::of_dataset_info(&readme)] {
            let media = ["a", "b", "c", "d"].map(|name| features.medium(name));
            assert_eq!(media, [Some(Medium::Image), Some(Medium::Audio), Some(Medium::Pdf), None]);
        }
        assert!(Features::of_schema_metadata("no JSON").is_empty());
    }

    #[test]
    fn what_a_file_says_counts_before_what_others_say() {
        let file = Features::of_dataset_info(&json!([{"name": "a", "dtype": "image"}]));
        let readme =
            Features::of_dataset_info(&json!([{"name": "a", "dtype": "pdf"}, {"name": "b", "dtype": "audio"}]));
        let both = file.or(&readme);
        assert_eq!(["a", "b"].map(|name| both.medium(name)), [Some(Medium::Image), Some(Medium::Audio)]);
    }
}
