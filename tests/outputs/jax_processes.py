"""Two JAX processes of two devices each load shards with `examples/jax/load.py`: `jax_processes.py OUTPUTS`.

The sum over all devices of all processes is compared with that of the files the shards were cut from.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

N_PROCESSES, DEVICES_EACH = 2, 2
DTYPES = ["f32", "bf16", "f16", "int8"]


def process(outputs, address, number):
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES_EACH}"
    os.environ["JAX_PLATFORMS"] = "cpu"
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "jax"))
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, N_PROCESSES, number)
    import load

    mesh = jax.sharding.Mesh(np.array(jax.devices()), "data")
    assert mesh.size == N_PROCESSES * DEVICES_EACH
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    for dtype in DTYPES:
        folder, parts = outputs / dtype / "jax", sorted((outputs / dtype / "safetensors").iterdir())
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, array in load.load(folder, sharding).items():
            mine = sum(shard.data.shape[0] for shard in array.addressable_shards)
            assert mine * N_PROCESSES == array.shape[0], "a process holds its own rows alone"
            total = jax.jit(lambda array: jnp.sum(jnp.abs(array.astype(jnp.float32))))(array)
            expected = sum(np.abs(load.tensor_in(part, name).astype(np.float64)).sum() for part in parts)
            np.testing.assert_allclose(float(total), expected, rtol=1e-4, err_msg=f"{dtype} {name}")
        assert manifest["valid_rows"] == sum(len(load.tensor_in(part, "patch_lengths")) for part in parts)
        if number == 0:
            print(f"{dtype}: {N_PROCESSES} JAX processes hold {manifest['valid_rows']} patches, and their sums are right")


def main(outputs):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, __file__, outputs, address]
    processes = [subprocess.Popen([*command, str(number)]) for number in range(N_PROCESSES)]
    codes = [process.wait(timeout=300) for process in processes]
    assert codes == [0] * N_PROCESSES, codes


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        process(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
