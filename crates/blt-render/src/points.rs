//! Which patches are drawn, and what is known of each.

use blt_corpus::Placed;

/// Patches with a place and a weight: the others cannot be drawn.
pub(crate) fn drawable(placed: &Placed) -> Vec<u32> {
    let is_finite = |i: usize| {
        let place = [placed.radii[i], placed.theta[i], placed.phi[i], f64::from(placed.prominence[i])];
        place.iter().all(|x| x.is_finite())
    };
    // A sphere has at most 2^31 - 1 patches.
    (0..placed.len()).filter(|&i| is_finite(i)).map(|i| i as u32).collect()
}

/// At most `most` of the patches: one out of each of `most` stretches of equal length, which one by a hash, so that neither a
/// document nor a rhythm of the corpus is favoured. The same patches give the same choice.
pub(crate) fn spread(patches: Vec<u32>, most: usize) -> Vec<u32> {
    let n = patches.len();
    if n <= most {
        return patches;
    }
    let start = |stretch: usize| (stretch as u128 * n as u128 / most as u128) as usize;
    let pick = |stretch: usize| {
        let (first, end) = (start(stretch), start(stretch + 1));
        patches[first + (hash(stretch as u64) % (end - first) as u64) as usize]
    };
    (0..most).map(pick).collect()
}

/// Source: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn hash(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Where each patch begins in what the model read of its document; `None` where that cannot be told: the file holds no bytes, or
/// a patch before it is missing.
pub(crate) fn offsets(placed: &Placed) -> Vec<Option<u64>> {
    if placed.bytes.is_empty() {
        return vec![None; placed.len()];
    }
    // The place of each document's next patch and where it begins, as long as none was missing.
    let mut next = vec![(0i32, Some(0u64)); placed.documents.len().max(1)];
    (0..placed.len())
        .map(|i| {
            let (patch_idx, start) = &mut next[placed.document[i] as usize];
            if placed.patch_idx[i] != *patch_idx {
                *start = None;
            }
            let offset = *start;
            *patch_idx = placed.patch_idx[i].wrapping_add(1);
            *start = start.map(|start| start + placed.patch_bytes(i).len() as u64);
            offset
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_has_one_of_each_stretch_and_is_the_same_every_time() {
        let all: Vec<u32> = (0..1000).collect();
        let chosen = spread(all.clone(), 100);
        assert_eq!(chosen, spread(all.clone(), 100));
        assert!(chosen.iter().enumerate().all(|(stretch, &patch)| patch / 10 == stretch as u32));
        // It is no ruler.
        assert!(chosen.windows(2).any(|pair| pair[1] - pair[0] != 10));
        assert_eq!(spread(all.clone(), 1000), all);
        assert_eq!(spread(all.clone(), 999).len(), 999);
        assert!(spread(all, 0).is_empty());
    }
}
