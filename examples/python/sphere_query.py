"""Loads a sphere with NumPy, and finds patches by patch and by place, with nothing of blt-burn.

    pip install numpy
    python sphere_query.py spheres/all.sphere.npz 17
"""

import json
import sys
from pathlib import Path

import numpy as np


class Sphere:
    """The arrays of a `.sphere.npz`."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}
        self.meta = json.loads(self.arrays.pop("meta").tobytes())
        self.documents = [document["id"] for document in json.loads(self.meta["documents"])]
        lengths = np.linalg.norm(self.arrays["sphere_coords"], axis=1, keepdims=True)
        self.unit = self.arrays["sphere_coords"] / np.where(lengths > 0, lengths, 1)
        self.ends = np.cumsum(self.arrays["patch_lengths"], dtype=np.int64)

    def text(self, patch: int) -> bytes:
        """The bytes of a patch."""
        end = self.ends[patch]
        return self.arrays["bytes"][end - self.arrays["patch_lengths"][patch] : end].tobytes()

    def nearest(self, direction: np.ndarray, k: int) -> list[tuple[int, float]]:
        """The `k` patches with the largest cosines, ties by number."""
        cosines = self.unit @ (direction / np.linalg.norm(direction))
        order = np.lexsort((np.arange(len(cosines)), -cosines))[:k]
        return [(int(patch), float(cosines[patch])) for patch in order]

    def within(self, theta: float, phi: float, angle: float) -> np.ndarray:
        """The patches within `angle` of a point of the sphere; all in radians."""
        axis = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
        places = self.arrays["cartesian"] / self.arrays["r"][:, None]
        return np.flatnonzero(places @ axis >= np.cos(angle))

    def directions(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`theta` and `phi` that the sphere's chart gives new embeddings, `[n, dim]`."""
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        x, y, z = ((unit - self.arrays["chart_mean"]) @ self.arrays["chart_axes"].T).T
        theta, phi = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x) % (2 * np.pi)
        if "chart_phi" not in self.arrays:
            return theta, phi
        # Spread as the fitted directions were: by the part of them that lies below, between knots.
        n, knots = int(self.meta["chart_n"]), len(self.arrays["chart_phi"])
        part = (np.rint(np.arange(knots) * (n - 1) / max(knots - 1, 1)) + 0.5) / n
        below = np.interp(theta, self.arrays["chart_theta"], part)
        return np.arccos(1 - 2 * below), 2 * np.pi * np.interp(phi, self.arrays["chart_phi"], part)


def main(path: Path, patch: int) -> None:
    sphere = Sphere(path)
    arrays = sphere.arrays
    print(f"{len(arrays['r'])} patches of {len(sphere.documents)} document(s), placed by {sphere.meta['method']}")
    print(f"neighbours of patch {patch}, {sphere.text(patch)!r}:")
    for other, cosine in sphere.nearest(sphere.unit[patch], 6):
        print(f"  {cosine:.4f}  {other:>6}  r {arrays['r'][other]:.1f}  {sphere.text(other)!r}")
    near = sphere.within(arrays["theta"][patch], arrays["phi"][patch], np.radians(10))
    print(f"{len(near)} patches within 10 degrees of it on the sphere")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
