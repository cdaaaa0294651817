"""A sphere as JAX arrays: attention of a query over patches, weighted by their share of the sphere.

    pip install jax numpy
    python sphere_jax.py spheres/all.sphere.npz 17
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np


@jax.jit
def attend(query: jax.Array, directions: jax.Array, shares: jax.Array, temperature: float) -> jax.Array:
    """Softmax over patches of `cosine / temperature + ln share`, `[n]`."""
    scores = directions @ (query / jnp.linalg.norm(query)) / temperature
    return jax.nn.softmax(scores + jnp.log(jnp.maximum(shares, 1e-30)))


def main(path: Path, patch: int) -> None:
    with np.load(path) as sphere:
        coordinates, radii, shares = (jnp.asarray(sphere[name]) for name in ("sphere_coords", "radii", "alloc"))
    directions = coordinates / radii[:, None]
    weights = attend(directions[patch], directions, shares, 0.1)
    top = jnp.argsort(-weights)[:5]
    for other in top.tolist():
        print(f"{float(weights[other]):.4f}  patch {other}")
    assert abs(float(weights.sum()) - 1) < 1e-5


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
