//! Who comes before whom.

use rayon::prelude::*;

/// `0..keys.len()` by descending key, equal ones by ascending id, those by their place. No key is NaN.
///
/// The order depends on keys and ids alone, so it is the same whatever the order of the patches, as long as ids differ.
pub(crate) fn descending(keys: &[f64], id: impl Fn(usize) -> u64 + Sync) -> Vec<u32> {
    sorted(keys.len(), |i| (!sortable(keys[i]), id(i)))
}

/// The same by ascending key; equal ones by ascending id, too.
pub(crate) fn ascending(keys: &[f64], id: impl Fn(usize) -> u64 + Sync) -> Vec<u32> {
    sorted(keys.len(), |i| (sortable(keys[i]), id(i)))
}

fn sorted(n: usize, key: impl Fn(usize) -> (u64, u64) + Sync) -> Vec<u32> {
    let item = |i: usize| {
        let (key, id) = key(i);
        (key, id, i as u32)
    };
    let mut items: Vec<(u64, u64, u32)> = (0..n).into_par_iter().map(item).collect();
    items.par_sort_unstable();
    items.into_par_iter().map(|(_, _, i)| i).collect()
}

/// Bits that, as whole numbers, are ordered as the numbers are; both zeros are one.
fn sortable(key: f64) -> u64 {
    debug_assert!(!key.is_nan(), "a key is no number");
    let bits = (key + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_go_by_id() {
        let keys = [1.0, f64::INFINITY, 0.0, -0.0, 1.0, f64::NEG_INFINITY];
        assert_eq!(descending(&keys, |i| 10 - i as u64), [1, 4, 0, 3, 2, 5]);
        assert_eq!(ascending(&keys, |i| 10 - i as u64), [5, 3, 2, 4, 0, 1]);
    }

    proptest! {
        #[test]
        fn keys_fall(keys in proptest::collection::vec(-1e3..1e3f64, 0..200)) {
            let order = descending(&keys, |i| i as u64);
            prop_assert!(order.windows(2).all(|pair| keys[pair[0] as usize] >= keys[pair[1] as usize]));
        }
    }
}
