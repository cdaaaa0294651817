"""The index and the harmonics of blt-sphere beside other libraries, on the same clustered rows, in one run.

    python -m venv VENV && VENV/bin/pip install numpy scipy scikit-learn healpy ducc0
    cargo build --release -p blt-sphere --example roots_times
    VENV/bin/python benches/peers/roots.py target/release/examples/roots_times --rows 1000000

Times are of the wall, with those of all processors in brackets, which say more on a busy machine. Trees of scipy and scikit-learn
hold rows in double precision; they are left out where that is more than --tree-rows. Threads: what RAYON_NUM_THREADS,
OMP_NUM_THREADS and OPENBLAS_NUM_THREADS say.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time

import ducc0
import healpy
import numpy as np
from scipy.spatial import cKDTree
from sklearn.neighbors import BallTree, NearestNeighbors

K = 10


def make_rows(path, rows, dim, clusters, spread):
    """Rows around random centres: two of one cluster have a cosine of about 1 / (1 + spread^2)."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((clusters, dim), dtype=np.float32)
    with open(path, "wb") as file:
        for start in range(0, rows, 10_000):
            n = min(10_000, rows - start)
            noise = rng.standard_normal((n, dim), dtype=np.float32)
            file.write((centres[rng.integers(0, clusters, n)] + spread * noise).astype("<f4").tobytes())


def timed(what, work):
    start, before = time.perf_counter(), time.process_time()
    result = work()
    show(what, time.perf_counter() - start, time.process_time() - before)
    return result


def show(what, seconds, processors):
    print(f"  {what:55} {seconds:9.3f} s  [{processors:8.2f} s]", flush=True)


def ours(program, path, arguments):
    output = subprocess.run([program, path, *map(str, arguments)], check=True, capture_output=True, text=True).stdout
    facts = {}
    for line in map(json.loads, output.splitlines()):
        if "seconds" in line:
            show("ours: " + line["what"], line["seconds"], line["processor_seconds"])
        else:
            what = line.pop("what")
            facts[what] = next(iter(line.values()))
            print(f"  ours: {what}: {facts[what]}")
    return facts


def nearest_neighbours(rows, n_brute, tree_rows):
    queries = rows[:n_brute]
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="cosine").fit(rows)
    timed(f"scikit-learn brute force, {n_brute} queries", lambda: brute.kneighbors(queries))
    if len(rows) > tree_rows:
        print(f"  trees of scikit-learn and scipy: not with more than {tree_rows} rows")
        return
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    tree = timed("scikit-learn BallTree, build", lambda: BallTree(unit, leaf_size=32))
    timed(f"scikit-learn BallTree, {n_brute} queries", lambda: tree.query(unit[:n_brute], k=K))
    tree = timed("scipy cKDTree, build", lambda: cKDTree(unit, leafsize=32))
    timed(f"scipy cKDTree, {n_brute} queries", lambda: tree.query(unit[:n_brute], k=K, workers=-1))


def on_the_sphere(n, n_queries, band_limit):
    i = np.arange(n)
    theta = np.arccos(1 - (2 * i + 1) / n)
    phi = np.mod(i * 2.399963229728653, 2 * np.pi)
    weights = 10.0 + i % 101

    def vectors(theta, phi):
        return np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)

    tree = timed("scipy cKDTree on the sphere, build", lambda: cKDTree(vectors(theta, phi)))
    axes = vectors(theta[i[:n_queries] * 7 % n], phi[:n_queries])
    chord = 2 * np.sin(0.02 / 2)
    found = timed("scipy cKDTree, cones on the sphere", lambda: tree.query_ball_point(axes, chord))
    print(f"  scipy: in those cones: {sum(map(len, found))}")

    def exact():
        points = np.stack([theta, phi], axis=1)
        return ducc0.sht.adjoint_synthesis_general(
            map=weights[None, :].astype(float), loc=points, lmax=band_limit, spin=0, epsilon=1e-12,
            nthreads=int(os.environ.get("OMP_NUM_THREADS", "0")),
        )[0]

    alm = timed(f"ducc0 harmonics of points, L={band_limit}, to 1e-12", exact)
    print(f"  ducc0: C_2: {healpy.alm2cl(alm)[2]}")

    def binned():
        n_side = 64
        map_ = np.bincount(healpy.ang2pix(n_side, theta, phi), weights, healpy.nside2npix(n_side))
        return healpy.anafast(map_ / healpy.nside2pixarea(n_side), lmax=band_limit, iter=0)

    spectrum = timed(f"healpy harmonics of 49,152 pixels, L={band_limit}", binned)
    print(f"  healpy: C_2, points moved to the centres of pixels: {spectrum[2]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the example roots_times of blt-sphere")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--spread", type=float, default=0.5)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--brute", type=int, default=256, help="queries that look at every row, and that trees of others get")
    parser.add_argument("--band-limit", type=int, default=32)
    parser.add_argument("--tree-rows", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.f32")
        make_rows(path, options.rows, options.dim, options.clusters, options.spread)
        print(f"{options.rows} rows of {options.dim} in {options.clusters} clusters; {K} neighbours; {options.queries} queries")
        ours(options.program, path, [options.dim, options.queries, options.brute, options.band_limit])
        rows = np.memmap(path, dtype="<f4", mode="r").reshape(-1, options.dim)
        on_the_sphere(options.rows, options.queries, options.band_limit)
        nearest_neighbours(rows, options.brute, options.tree_rows)


if __name__ == "__main__":
    main()
