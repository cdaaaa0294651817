//! What charts promise.

use blt_sphere::{Chart, ChartKind, ChartSource, FillOptions, Rows, ZoneOptions, ZoneTarget, fill, unit_vector};

use crate::synthetic::{Noise, Signals};

const KINDS: [ChartKind; 3] = [ChartKind::Pca, ChartKind::Random, ChartKind::Axes];

#[test]
fn axes_are_orthonormal() {
    let signals = Signals::new(300, 20);
    for kind in KINDS {
        let chart = Chart::fit(kind, signals.patches().embeddings, &signals.prominence, 42);
        assert!(chart.is_sound());
        for j in 0..3 {
            for k in 0..3 {
                let product: f64 = (0..20).map(|d| chart.axes[j * 20 + d] * chart.axes[k * 20 + d]).sum();
                assert!((product - f64::from(u8::from(j == k))).abs() < 1e-6);
            }
        }
    }
}

/// Against the covariance summed plainly in float64, of which the axes are eigenvectors with the largest eigenvalues.
#[test]
fn principal_axes_are_those_of_the_covariance() {
    let (n, dim) = (1500, 10);
    let signals = Signals::new(n, dim);
    let chart = Chart::fit(ChartKind::Pca, signals.patches().embeddings, &signals.prominence, 42);
    let unit: Vec<Vec<f64>> = signals
        .embeddings
        .chunks(dim)
        .map(|row| {
            let length = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            row.iter().map(|&x| f64::from(x) / length).collect()
        })
        .collect();
    let weights: Vec<f64> = signals.prominence.iter().map(|&p| f64::from(p)).collect();
    let total: f64 = weights.iter().sum();
    let mean: Vec<f64> = (0..dim).map(|d| (0..n).map(|i| weights[i] * unit[i][d]).sum::<f64>() / total).collect();
    let covariance = |a: usize, b: usize| -> f64 {
        (0..n).map(|i| weights[i] * (unit[i][a] - mean[a]) * (unit[i][b] - mean[b])).sum::<f64>() / total
    };
    assert!(mean.iter().zip(&chart.mean).all(|(plain, found)| (plain - found).abs() < 1e-12));
    let matrix: Vec<Vec<f64>> = (0..dim).map(|a| (0..dim).map(|b| covariance(a, b)).collect()).collect();
    let mut values = Vec::new();
    for axis in chart.axes.chunks(dim) {
        let image: Vec<f64> = matrix.iter().map(|row| row.iter().zip(axis).map(|(m, v)| m * v).sum()).collect();
        let value: f64 = image.iter().zip(axis).map(|(m, v)| m * v).sum();
        assert!(image.iter().zip(axis).all(|(m, v)| (m - value * v).abs() < 1e-6));
        let largest = axis.iter().copied().fold(0.0f64, |most, v| if v.abs() > most.abs() { v } else { most });
        assert!(largest > 0.0);
        values.push(value);
    }
    assert!(values[0] > values[1] && values[1] > values[2]);
    let trace: f64 = (0..dim).map(|d| matrix[d][d]).sum();
    let mut rest = trace - values.iter().sum::<f64>();
    rest /= (dim - 3) as f64;
    assert!(values[2] > rest);
}

#[test]
fn signed_permutations_keep_pairwise_angles() {
    let (n, dim) = (200, 12);
    let signals = Signals::new(n, dim);
    let moved: Vec<f32> = signals
        .embeddings
        .chunks(dim)
        .flat_map(|row| {
            (0..dim).map(|d| row[(d * 5 + 3) % dim] * if d % 3 == 0 { -1.0 } else { 1.0 }).collect::<Vec<f32>>()
        })
        .collect();
    let directions = |values: &[f32]| -> Vec<[f64; 3]> {
        let rows = Rows::new(values, dim);
        let chart = Chart::fit(ChartKind::Pca, rows, &signals.prominence, 42);
        chart.apply(rows, |i| i as u64).into_iter().map(|(theta, phi)| unit_vector(theta, phi)).collect()
    };
    let (a, b) = (directions(&signals.embeddings), directions(&moved));
    let angle = |u: [f64; 3], v: [f64; 3]| (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]).clamp(-1.0, 1.0).acos();
    for i in 0..n {
        let j = (i * 17 + 1) % n;
        assert!((angle(a[i], a[j]) - angle(b[i], b[j])).abs() < 1e-4);
    }
}

/// In many dimensions the first three numbers leave everybody at the equator, unless ranks spread them.
#[test]
fn ranks_fill_the_poles() {
    let mut noise = Noise(1);
    let n = 2000;
    let values: Vec<f32> = (0..n * 256).map(|_| (0..4).map(|_| noise.symmetric()).sum()).collect();
    let prominence = vec![1.0; n];
    let signals =
        Signals { dim: 256, embeddings: values, prominence, entropies: vec![1.0; n], ids: (0..n as u64).collect() };
    let natural = ZoneOptions { target: ZoneTarget::Natural, ..ZoneOptions::default() };
    for kind in KINDS {
        let chart = ChartSource::Fit { kind, equalize: true };
        let options = FillOptions { zones: natural, chart, ..FillOptions::default() };
        let mut cosines: Vec<f64> =
            fill(&signals.patches(), &options).unwrap().theta.iter().map(|theta| theta.cos()).collect();
        cosines.sort_by(f64::total_cmp);
        for (i, cos) in cosines.iter().enumerate() {
            assert!((cos - (2.0 * (i as f64 + 0.5) / n as f64 - 1.0)).abs() < 1e-12);
        }
    }
}

/// A chart put away and fetched again gives unseen rows their places.
#[test]
fn a_chart_is_a_value() {
    let (n, dim) = (6000, 6);
    let signals = Signals::new(n, dim);
    for kind in KINDS {
        let options = FillOptions { chart: ChartSource::Fit { kind, equalize: true }, ..FillOptions::default() };
        let fitted = fill(&signals.patches(), &options).unwrap();
        let Chart { kind, seed, mean, axes, equalizer } = fitted.chart.clone();
        let stored = Chart { kind, seed, mean, axes, equalizer };
        let with_stored = FillOptions { chart: ChartSource::Stored(stored), ..FillOptions::default() };
        let again = fill(&signals.patches(), &with_stored).unwrap();
        assert_eq!(again.chart, fitted.chart);
        for i in 0..n {
            assert!((again.theta[i].cos() - fitted.theta[i].cos()).abs() < 2.0 / 4095.0);
        }
        // A few rows, alone, are placed as they were among all.
        let few = Signals { dim, ..signals.reordered(&[17, 4000, 5]) };
        let places = fill(&few.patches(), &with_stored).unwrap();
        for (k, i) in [17, 4000, 5].into_iter().enumerate() {
            assert_eq!((places.theta[k], places.phi[k]), (again.theta[i], again.phi[i]));
        }
    }
}

#[test]
fn damaged_charts_are_noticed() {
    let signals = Signals::new(50, 4);
    let chart = fill(&signals.patches(), &FillOptions::default()).unwrap().chart;
    let damage: [fn(&mut Chart); 6] = [
        |chart| chart.axes.truncate(11),
        |chart| chart.mean[0] = f64::NAN,
        |chart| chart.mean.clear(),
        |chart| chart.equalizer.as_mut().unwrap().phi.reverse(),
        |chart| chart.equalizer.as_mut().unwrap().theta.truncate(49),
        |chart| chart.equalizer.as_mut().unwrap().n = u64::MAX,
    ];
    for damage in damage {
        let mut damaged = chart.clone();
        damage(&mut damaged);
        assert!(!damaged.is_sound());
    }
}
