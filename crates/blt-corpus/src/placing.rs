//! From patch arrays to places.

use blt_sphere::{FillError, FillOptions, Flaw, Patches, Placement, Zone, fill};

use crate::edges::EdgeOptions;
use crate::patches::PatchArrays;

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
/// that of its document's role.
///
/// # Errors
///
/// Fails for options out of range, and when the method needs entropies that there are not.
pub fn place(patches: &mut PatchArrays, options: &PlaceOptions) -> Result<(Placement, Vec<LeftOut>), FillError> {
    let left_out = take_flawed(patches);
    let zones: Vec<Zone> = patches
        .ranges()
        .flat_map(|(document, range)| {
            let zone = Zone::of_columns(document.role.as_deref());
            range.map(move |_| zone)
        })
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
