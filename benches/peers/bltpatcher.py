"""The speed of transformers' BltPatcher, the entropy model as most people have it, on a processor. Prints one JSON object.

The model has the sizes of a configuration of ours and random weights; it reads random bytes.
Needs torch and transformers; `cargo xtask bench --against torch` installs them when they are missing.
"""

import argparse
import json
import statistics
import time

import torch
import transformers
from transformers.models.blt.configuration_blt import BltPatcherConfig
from transformers.models.blt.modeling_blt import BltPatcher


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--heads", type=int, required=True)
    parser.add_argument("--ffn-dim", type=int, required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--dtype", choices=["f32", "bf16"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--bytes", type=int, required=True, help="of a document")
    parser.add_argument("--documents", type=int, default=1, help="rows of the batch")
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    config = BltPatcherConfig(
        vocab_size=260,
        hidden_size=args.dim,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        intermediate_size=args.ffn_dim,
        max_position_embeddings=8192,
        attn_implementation="sdpa",
    )
    # Older versions know no window and look at everything before.
    config.sliding_window = args.window
    model = BltPatcher(config).eval().to({"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype])
    tokens = torch.randint(4, 260, (args.documents, args.bytes))

    def read():
        with torch.inference_mode():
            model(tokens, patch_size=None, threshold=1.335)

    started = time.perf_counter()
    read()
    first = time.perf_counter() - started
    walls, processors = [], []
    for _ in range(args.repetitions):
        wall, processor = time.perf_counter(), time.process_time()
        read()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    n_bytes = tokens.numel()
    print(
        json.dumps(
            {
                "peer": f"transformers {transformers.__version__} BltPatcher, torch {torch.__version__}",
                "bytes_per_second": n_bytes / statistics.median(walls),
                "bytes_per_cpu_second": n_bytes / statistics.median(processors),
                "first_seconds": first,
            }
        )
    )


if __name__ == "__main__":
    main()
