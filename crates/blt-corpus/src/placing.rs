//! From patch arrays to places.

use std::collections::HashMap;

use blt_sphere::{FillError, FillOptions, Flaw, Patches, Placement, Zone, fill};

use crate::edges::EdgeOptions;
use crate::patches::{Document, PatchArrays};

/// How patches are placed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlaceOptions {
    /// The mathematics.
    pub fill: FillOptions,
    /// The edges, for placement by energy.
    pub edges: EdgeOptions,
}

/// A patch that has no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its document.
    pub document: String,
    /// Its place in the document's file.
    pub patch_idx: i32,
    /// Why.
    pub flaw: Flaw,
}

/// Takes out of `patches` those that cannot be placed and places the rest. A patch's zone is, unless the options say otherwise,
/// that of its document's role, or of the columns of the row that the document is from: of a row in several columns,
/// `item_7~question` and `item_7~answer`, every column counts for every document.
///
/// # Errors
///
/// Fails for options out of range, and when the method needs entropies that there are not.
pub fn place(patches: &mut PatchArrays, options: &PlaceOptions) -> Result<(Placement, Vec<LeftOut>), FillError> {
    let left_out = take_flawed(patches);
    let zones: Vec<Zone> = zones(&patches.documents)
        .into_iter()
        .zip(&patches.documents)
        .flat_map(|(zone, document)| std::iter::repeat_n(zone, document.n_patches))
        .collect();
    let edges = if options.fill.ebm.is_some() { patches.edges(&options.edges) } else { Vec::new() };
    let to_place = Patches {
        entropies: patches.entropies.as_deref(),
        zones: Some(&zones),
        edges: &edges,
        ..Patches::new(patches.rows(), &patches.prominence)
    };
    fill(&to_place, &options.fill).map(|placement| (placement, left_out))
}

/// The zone of each document.
fn zones(documents: &[Document]) -> Vec<Zone> {
    let row_and_column = |id: &'_ str| -> Option<(String, String)> {
        let (row, column) = id.strip_prefix("item_")?.split_once('~')?;
        Some((row.to_owned(), column.to_owned()))
    };
    let mut columns: HashMap<String, Vec<String>> = HashMap::new();
    for (row, column) in documents.iter().filter_map(|document| row_and_column(&document.id)) {
        columns.entry(row).or_default().push(column);
    }
    let zone = |document: &Document| match (&document.role, row_and_column(&document.id)) {
        (Some(role), _) => Zone::of_columns([role.as_str()]),
        (None, Some((row, _))) => Zone::of_columns(columns[&row].iter().map(String::as_str)),
        (None, None) => Zone::default(),
    };
    documents.iter().map(zone).collect()
}

fn take_flawed(patches: &mut PatchArrays) -> Vec<LeftOut> {
    let to_check =
        Patches { entropies: patches.entropies.as_deref(), ..Patches::new(patches.rows(), &patches.prominence) };
    let flaws = to_check.flaws();
    let document_of = |place: usize| {
        patches.ranges().find(|(_, range)| range.contains(&place)).map(|(document, _)| document.id.clone())
    };
    let left_out = flaws
        .iter()
        .map(|&(place, flaw)| LeftOut {
            document: document_of(place).unwrap_or_default(),
            patch_idx: patches.patch_idx[place],
            flaw,
        })
        .collect();
    patches.remove(&flaws.iter().map(|&(place, _)| place).collect::<Vec<_>>());
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_go_by_roles_and_by_all_columns_of_a_row() {
        let document = |id: &str, role: Option<&str>| Document {
            id: id.to_owned(),
            role: role.map(str::to_owned),
            n_patches: 1,
            n_bytes: 0,
            views: vec![1],
        };
        let documents = [
            document("item_1~question", None),
            document("item_1~answer", None),
            document("item_2~question", None),
            document("item_3~system_prompt", None),
            document("item_4", None),
            document("prompt~question.txt", None),
            document("x", Some("instruction")),
        ];
        let expected =
            [Zone::Qa, Zone::Qa, Zone::Content, Zone::Instruction, Zone::Content, Zone::Content, Zone::Instruction];
        assert_eq!(zones(&documents), expected);
    }
}
