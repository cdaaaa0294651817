"""Draws a sphere: where patches are, how shells are filled, and power by angular scale.

    pip install numpy matplotlib
    python sphere_plot.py spheres/all.sphere.npz all.harmonics.npz picture.png
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

ZONES = {0: "instruction", 1: "content", 2: "question and answer"}


def draw(sphere: dict, meta: dict, harmonics: dict, target: Path) -> None:
    figure = plt.figure(figsize=(13, 9), layout="constrained")
    place = figure.add_subplot(2, 2, 1, projection="mollweide")
    for zone, name in ZONES.items():
        chosen = sphere["zone"] == zone
        # The map's longitudes go from -pi to pi, its latitudes from south to north.
        longitude = (sphere["phi"][chosen] + np.pi) % (2 * np.pi) - np.pi
        place.scatter(longitude, np.pi / 2 - sphere["theta"][chosen], s=2, label=f"{name} ({chosen.sum()})")
    place.set_title("directions")
    place.legend(loc="lower right", markerscale=4, fontsize=8)

    shells = figure.add_subplot(2, 2, 2)
    bounds = sphere["shell_bounds"]
    shells.stairs(np.bincount(sphere["shells"], minlength=len(bounds) - 1), bounds, fill=True)
    shells.set(title="patches in each shell", xlabel="radius")

    radii = figure.add_subplot(2, 2, 3)
    colour = sphere.get("entropies", sphere["prominence"])
    points = radii.scatter(sphere["prominence"], sphere["r"], s=3, c=colour)
    figure.colorbar(points, label="entropy in nats" if "entropies" in sphere else "prominence")
    radii.set(title=f"radius by prominence, {meta['method']}", xlabel="prominence", ylabel="radius")

    power = figure.add_subplot(2, 2, 4)
    degrees = np.arange(harmonics["c_l"].shape[1])
    power.semilogy(degrees[1:], harmonics["c_l"][0, 1:], label="all patches")
    power.axhline(harmonics["shot_noise"][0], linestyle="--", label="points at random")
    power.set(title="power by degree", xlabel="l", ylabel="C_l")
    power.legend()
    figure.savefig(target, dpi=120)


def main(sphere_path: Path, harmonics_path: Path, target: Path) -> None:
    with np.load(sphere_path) as arrays:
        sphere = {name: arrays[name] for name in arrays.files}
    with np.load(harmonics_path) as arrays:
        harmonics = {name: arrays[name] for name in arrays.files}
    draw(sphere, json.loads(sphere["meta"].tobytes()), harmonics, target)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
