//! When the tide turns: zero crossings of a sum of harmonics.

/// One harmonic constituent of a tide.
struct Constituent {
    amplitude_m: f64,
    speed_deg_per_hour: f64,
    phase_deg: f64,
}

/// Height above the datum at `hours`, in metres.
fn height_m(constituents: &[Constituent], hours: f64) -> f64 {
    constituents
        .iter()
        .map(|c| c.amplitude_m * (c.speed_deg_per_hour * hours - c.phase_deg).to_radians().cos())
        .sum()
}

fn main() {
    let garrow_point = [
        Constituent { amplitude_m: 1.92, speed_deg_per_hour: 28.984, phase_deg: 141.0 },
        Constituent { amplitude_m: 0.61, speed_deg_per_hour: 30.0, phase_deg: 187.0 },
        Constituent { amplitude_m: 0.08, speed_deg_per_hour: 15.041, phase_deg: 97.0 },
    ];
    for quarter in 0..=96 {
        let hours = f64::from(quarter) / 4.0;
        println!("{hours:5.2} h {:6.3} m", height_m(&garrow_point, hours));
    }
}
