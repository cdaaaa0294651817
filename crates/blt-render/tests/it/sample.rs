//! Spheres to draw, made up: places all over the ball, texts that want to be markup.

use std::collections::BTreeMap;
use std::f64::consts::{PI, TAU};

use blt_corpus::Placed;
use blt_sphere::Zone;
use blt_testkit::{noise, prose};

/// What a page has to show as it is: markup, entities, ends of scripts, writing that turns, no text, half a letter, nothing.
pub(crate) const HOSTILE: [&[u8]; 10] = [
    b"</script><script>window.hacked = 1</script>",
    b"<img src=x onerror='window.hacked = 1'>",
    b"<!-- <script> --> ]]> &lt;b&gt; &amp;",
    b"\"'`${window.hacked = 1}`",
    b"{{data}} {{title}}",
    "\u{202e}turned\u{2066} \u{200b}\u{feff}".as_bytes(),
    b"\xff\xfe\x00\x80",
    b"\xe2\x82",
    b"",
    b"line\nline\ttab\r\x1b[2J\0",
];

/// `n` patches of `n_documents` documents: every seventh is hostile, and so are the documents' names.
pub(crate) fn sphere(n: usize, n_documents: usize) -> Placed {
    let (rim, core, n_shells) = (512.0f64, 32.0f64, 64);
    let uniform: Vec<[f64; 4]> = noise(8 * n, 7)
        .as_chunks::<8>()
        .0
        .iter()
        .map(|bytes| [0, 2, 4, 6].map(|at| f64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]])) / 65536.0))
        .collect();
    let radius = |q: f64| (core.powi(3) + q * (rim.powi(3) - core.powi(3))).cbrt();
    let shell_bounds: Vec<f64> = (0..=n_shells).map(|s| radius(f64::from(s) / f64::from(n_shells))).collect();
    let shells = uniform.iter().map(|u| (u[0] * f64::from(n_shells)) as i32).collect();
    // More of them in the north, so that there is something to see in the spectrum.
    let theta: Vec<f64> = uniform.iter().map(|u| (1.0 - 2.0 * u[1].powf(1.3)).acos().min(PI)).collect();
    let words: Vec<Vec<u8>> =
        prose(8 * n.max(1), 3).split_inclusive(|&byte| byte == b' ').map(<[u8]>::to_vec).collect();
    let mut bytes = Vec::new();
    let mut byte_starts = vec![0];
    for i in 0..n {
        bytes.extend(if i % 7 == 3 { HOSTILE[i / 7 % HOSTILE.len()] } else { words[i % words.len()].as_slice() });
        byte_starts.push(bytes.len());
    }
    let per_document = n.div_ceil(n_documents.max(1)).max(1);
    let names =
        ["notes <b>&amp;</b>.txt", "</title><script>window.hacked = 1</script>", "turned \u{202e}txt.exe", "中文 é.md"];
    let documents =
        (0..n_documents).map(|d| names.get(d).map_or_else(|| format!("{d}.txt"), |name| (*name).to_owned()));
    let metadata = [
        ("method", "entropy"),
        ("model", "made-up@0"),
        ("chart", "pca"),
        ("zone_angle", "15"),
        ("volume_exponent", "3"),
    ];
    let shares: Vec<f64> = uniform.iter().map(|u| (-3.0 * u[0] - u[3]).exp()).collect();
    let total: f64 = shares.iter().sum();
    Placed {
        radii: uniform.iter().map(|u| radius(u[0])).collect(),
        zones: theta.iter().map(|&theta| Zone::at(theta, PI / 12.0) as u8).collect(),
        theta,
        phi: uniform.iter().map(|u| TAU * u[2]).collect(),
        shells,
        shares: Some(shares.iter().map(|share| share / total).collect()),
        shell_bounds: Some(shell_bounds),
        prominence: uniform.iter().map(|u| (60.0 - 50.0 * u[0] + 6.0 * u[3]) as f32).collect(),
        entropies: Some(uniform.iter().map(|u| (4.0 * u[0] * u[3]) as f32).collect()),
        documents: documents.collect(),
        document: (0..n).map(|i| (i / per_document) as i32).collect(),
        patch_idx: (0..n).map(|i| (i % per_document) as i32).collect(),
        byte_starts,
        bytes,
        metadata: metadata
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    }
}
