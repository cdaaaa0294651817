"""`fill` next to NumPy, SciPy and scikit-learn, on patches of the same distribution. Prints one JSON object, of seconds.

    python benches/peers/sphere.py --ours target/release/examples/fill_speed --patches 1000000 --dim 768

Needs numpy, scipy and scikit-learn. Each peer computes what our method computes, with the library's own vectorised calls.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax
from sklearn.decomposition import PCA

R_MIN, R_MAX, SHELLS = 32.0, 512.0, 256


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True, help="the built example fill_speed")
    parser.add_argument("--patches", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--solvers", nargs="*", default=["covariance_eigh", "randomized"], help="of scikit-learn's PCA")
    args = parser.parse_args()

    ours = subprocess.run([args.ours, str(args.patches), str(args.dim)], stdout=subprocess.PIPE, check=True)
    peers = {}

    rng = np.random.default_rng(42)
    n = args.patches
    prominence = (10 + 50 * rng.random(n)).astype(np.float32)
    entropies = (0.05 + 3.95 * rng.random(n)).astype(np.float32)
    for name, compute in [
        ("radii entropy", lambda: own(entropy_shares(prominence, entropies, 1.0), prominence, entropies)),
        ("radii entropy, temperature auto", lambda: entropy_auto(prominence, entropies, 1.0)),
        ("radii classic", lambda: classic(prominence, entropies, 1.0)),
        ("radii osmotic", lambda: osmotic(prominence)),
        ("radii osmotic, dynamic", lambda: osmotic_dynamic(prominence)),
        ("radii thrml", lambda: thrml(prominence, 128, 1.0)),
    ]:
        peers[name] = seconds(compute)
        print(name, peers[name], file=sys.stderr)

    axes = rng.random((8, args.dim), dtype=np.float32) - 0.5
    parts = (rng.random((n, 8), dtype=np.float32) - 0.5) * 8 / np.arange(1, 9, dtype=np.float32)
    embeddings = np.empty((n, args.dim), np.float32)
    for start in range(0, n, 65536):
        part = embeddings[start : start + 65536]
        part[:] = parts[start : start + 65536] @ axes + rng.random(part.shape, dtype=np.float32) - 0.5
    for solver in args.solvers:
        begin = time.perf_counter()
        units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        pca = PCA(3, svd_solver=solver, copy=False, random_state=42).fit(units)
        peers[f"chart pca fit, scikit-learn {solver}"] = time.perf_counter() - begin
        del units
        begin = time.perf_counter()
        units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        y = pca.transform(units)
        y /= np.linalg.norm(y, axis=1, keepdims=True)
        theta, phi = np.arccos(y[:, 2]), np.arctan2(y[:, 1], y[:, 0]) % (2 * np.pi)
        peers[f"chart pca apply, scikit-learn {solver}"] = time.perf_counter() - begin
        assert len(theta) == len(phi) == n
        del units

    rounded = {name: round(value, 3) for name, value in peers.items()}
    print(json.dumps({"ours": json.loads(ours.stdout), "peers": rounded}, indent=1))


def seconds(compute):
    begin = time.perf_counter()
    radii = compute()
    elapsed = time.perf_counter() - begin
    assert np.isfinite(radii).all() and radii.min() >= R_MIN * 0.999 and radii.max() <= R_MAX * 1.001
    return elapsed


def radius(q):
    return np.cbrt(R_MIN**3 + q * (R_MAX**3 - R_MIN**3))


def log_gains(prominence, entropies, temperature):
    return 2 * np.log(prominence.astype(np.float64)) - entropies / temperature


def entropy_shares(prominence, entropies, temperature):
    return softmax(log_gains(prominence, entropies, temperature))


def own(shares, prominence, entropies, temperature=1.0):
    order = np.argsort(-log_gains(prominence, entropies, temperature), kind="stable")
    sorted_shares = shares[order]
    radii = np.empty(len(shares))
    radii[order] = radius(np.clip(np.cumsum(sorted_shares) - sorted_shares / 2, 0, 1))
    return radii


def entropy_auto(prominence, entropies, kappa):
    base = 2 * np.log(prominence.astype(np.float64))
    base -= logsumexp(base)

    def excess(log_temperature):
        logs = base - entropies / np.exp(log_temperature)
        logs -= logsumexp(logs)
        return float(np.exp(logs) @ (logs - base)) - kappa

    temperature = np.exp(brentq(excess, -6, 6))
    return own(entropy_shares(prominence, entropies, temperature), prominence, entropies, temperature)


def classic(prominence, entropies, temperature):
    noise = np.exp(-log_gains(prominence, entropies, temperature))
    budget = len(noise) * np.median(noise)
    ordered = np.sort(noise)
    levels = (budget + np.cumsum(ordered)) / np.arange(1, len(noise) + 1)
    level = levels[np.nonzero(levels > ordered)[0][-1]]
    shares = np.maximum(level - noise, 0) / budget
    dry = shares == 0
    shares *= 0.95
    shares[dry] = 0.05 / dry.sum()
    return own(shares / shares.sum(), prominence, entropies)


def osmotic(prominence):
    n = len(prominence)
    order = np.argsort(-prominence, kind="stable")
    radii = np.empty(n)
    counts = np.full(SHELLS, n // SHELLS)
    counts[: n % SHELLS] += 1
    shell = np.repeat(np.arange(SHELLS), counts)
    place = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    radii[order] = radius((shell + (place + 0.5) / counts[shell]) / SHELLS)
    return radii


def osmotic_dynamic(prominence):
    n = len(prominence)
    order = np.argsort(-prominence, kind="stable")
    low, high = prominence.min(), prominence.max()
    start = ((high - prominence) / (high - low + 1e-6) * (SHELLS - 1)).astype(int)
    fluid = np.bincount(start, minlength=SHELLS).astype(float)
    capacity = np.full(SHELLS, n / SHELLS)
    bounds = radius(np.arange(SHELLS + 1) / SHELLS)
    distance = np.diff((bounds[1:] + bounds[:-1]) / 2)
    conductance = 0.25 * np.exp(-np.minimum(distance / distance.mean(), 4)) * capacity[1:]
    while np.abs(fluid / capacity - 1).max() > 0.02:
        flow = -conductance * np.diff(fluid / capacity)
        fluid[:-1] -= flow
        fluid[1:] += flow
    counts = np.diff(np.round(np.cumsum(fluid)).astype(int), prepend=0)
    shell = np.repeat(np.arange(SHELLS), counts)
    place = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    radii = np.empty(n)
    radii[order] = radius((shell + (place + 0.5) / counts[shell]) / SHELLS)
    return radii


def thrml(prominence, shells, temperature, rows=65536):
    """Dense Sinkhorn, in blocks of rows as memory asks."""
    n = len(prominence)
    energies = prominence.max() - prominence
    levels = np.sqrt(np.arange(shells)) + np.arange(shells) ** 1.5
    levels = (levels * energies.max() / levels[-1]).astype(np.float32)
    capacity = n / shells
    potentials = np.zeros(shells, np.float32)
    blocks = range(0, n, rows)
    for _ in range(500):
        sums = np.zeros(shells)
        for begin in blocks:
            p = potentials - np.abs(energies[begin : begin + rows, None] - levels) / np.float32(temperature)
            sums += softmax(p, axis=1).sum(axis=0)
        if np.abs(sums / capacity - 1).max() < 1e-6 * 100:  # float32 gives no more
            break
        potentials += np.log(capacity / sums).astype(np.float32)
    shell = np.empty(n, int)
    rng = np.random.default_rng(42)
    for begin in blocks:
        p = potentials - np.abs(energies[begin : begin + rows, None] - levels) / np.float32(temperature)
        cumulative = np.cumsum(softmax(p, axis=1), axis=1)
        shell[begin : begin + rows] = (cumulative < rng.random((len(p), 1))).sum(axis=1).clip(max=shells - 1)
    order = np.lexsort((-prominence, shell))
    counts = np.bincount(shell, minlength=shells)
    place = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    ordered = shell[order]
    radii = np.empty(n)
    radii[order] = radius((ordered + (place + 0.5) / counts[ordered]) / shells)
    return radii


if __name__ == "__main__":
    main()
