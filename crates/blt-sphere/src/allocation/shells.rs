//! Patches in shells: how many have room, and where in its shell each lies.

use crate::radial::{HollowBall, scatter};

/// How many of `n` patches each shell has room for, by its volume: whole numbers that sum to `n`.
pub(crate) fn capacities(ball: &HollowBall, bounds: &[f64], n: usize) -> Vec<u64> {
    let volumes: Vec<f64> = volumes(ball, bounds);
    largest_remainder(&volumes, n as u64)
}

/// The part of the volume in each shell.
pub(crate) fn volumes(ball: &HollowBall, bounds: &[f64]) -> Vec<f64> {
    bounds.windows(2).map(|pair| ball.volume_below(pair[1]) - ball.volume_below(pair[0])).collect()
}

/// `total` shared out in whole numbers, in proportion to `parts`, whose sum is a number above 0: each gets its quotient rounded
/// down, and those with the largest remainders one more. Ties go to the first.
pub(crate) fn largest_remainder(parts: &[f64], total: u64) -> Vec<u64> {
    let sum: f64 = parts.iter().sum();
    let quotas: Vec<f64> = parts.iter().map(|part| part / sum * total as f64).collect();
    let mut out: Vec<u64> = quotas.iter().map(|quota| quota.floor() as u64).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&i, &j| quotas[j].fract().total_cmp(&quotas[i].fract()).then(i.cmp(&j)));
    // Quotas of large totals are rounded, so that their floors can sum to more than the total or leave more than one each.
    let mut excess = out.iter().map(|&share| u128::from(share)).sum::<u128>().saturating_sub(u128::from(total));
    for &i in order.iter().rev() {
        let back = u64::try_from(excess).unwrap_or(u64::MAX).min(out[i]);
        out[i] -= back;
        excess -= u128::from(back);
    }
    let rest = total - out.iter().sum::<u64>();
    let n = out.len() as u64;
    for (place, &i) in (0..).zip(&order) {
        out[i] += rest / n + u64::from(place < rest % n);
    }
    out
}

/// Patches in their shells.
pub(crate) struct InShells {
    /// The shell of each patch.
    pub(crate) shells: Vec<i32>,
    /// Its radius: those of a shell spread over it evenly by volume.
    pub(crate) radii: Vec<f64>,
    /// Its part of the volume: the shell's, shared equally among those in it. Volume of empty shells is not counted.
    pub(crate) shares: Vec<f64>,
}

/// Puts the first `counts[0]` patches of `order` in the first shell, and so on.
pub(crate) fn place(ball: &HollowBall, bounds: &[f64], order: &[u32], counts: &[u64]) -> InShells {
    let n = order.len();
    let (mut shells, mut radii, mut shares) = (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
    let volumes = volumes(ball, bounds);
    let occupied: f64 = volumes.iter().zip(counts).filter(|(_, count)| **count > 0).map(|(volume, _)| volume).sum();
    for (shell, (&count, volume)) in counts.iter().zip(&volumes).enumerate() {
        let below = ball.volume_below(bounds[shell]);
        for place in 0..count {
            shells.push(shell as i32);
            let q = below + volume * (place as f64 + 0.5) / count as f64;
            radii.push(ball.radius(q).clamp(bounds[shell], bounds[shell + 1]));
            shares.push(volume / count as f64 / occupied);
        }
    }
    InShells { shells: scatter(&shells, order), radii: scatter(&radii, order), shares: scatter(&shares, order) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ShellSpacing;

    #[test]
    fn the_largest_remainders_get_the_rest() {
        assert_eq!(largest_remainder(&[1.0, 1.0, 1.0], 10), [4, 3, 3]);
        assert_eq!(largest_remainder(&[0.1, 0.26, 0.64], 5), [1, 1, 3]);
        assert_eq!(largest_remainder(&[1.0, 2.0], 0), [0, 0]);
        assert_eq!(largest_remainder(&[5.0, 3.0, 2.0], 11), [6, 3, 2]); // 5.5, 3.3, 2.2
        assert_eq!(largest_remainder(&[1.0, 1.0], u64::MAX), [u64::MAX / 2 + 1, u64::MAX / 2]);
        assert!(largest_remainder(&[], 10).is_empty());
    }

    proptest! {
        #[test]
        fn everyone_is_in_one_shell(n in 0usize..300, n_shells in 1u32..40, equal_width in any::<bool>()) {
            let ball = HollowBall::new(32.0, 512.0, 3.0).unwrap();
            let spacing = if equal_width { ShellSpacing::EqualWidth } else { ShellSpacing::EqualVolume };
            let bounds = ball.shell_bounds(n_shells, spacing);
            let counts = capacities(&ball, &bounds, n);
            prop_assert_eq!(counts.iter().sum::<u64>(), n as u64);
            let order: Vec<u32> = (0..n as u32).rev().collect();
            let placed = place(&ball, &bounds, &order, &counts);
            for i in 0..n {
                let shell = placed.shells[i] as usize;
                prop_assert!((bounds[shell]..=bounds[shell + 1]).contains(&placed.radii[i]));
            }
            prop_assert!(order.windows(2).all(|pair| placed.radii[pair[0] as usize] <= placed.radii[pair[1] as usize]));
            prop_assert!(n == 0 || (placed.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}
