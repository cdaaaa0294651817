"""The speed of PyTorch on one NVIDIA card: transformers' BltPatcher, and the model written for speed. Prints one JSON object a line.

The fast one has the sizes of the 100M model, fused matrices, flex_attention with the exact window and the cut at end-of-text
tokens, and is compiled whole, entropies included. Both have random weights and read random bytes. Beside them the layers' matrix
products alone, by cuBLAS: no program that leaves those to it is faster. Needs torch and transformers.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

DIM, LAYERS, HEADS, FFN, WINDOW, VOCAB, EOS, ROW = 768, 14, 12, 2048, 512, 260, 2, 8192


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.RMSNorm(DIM, eps=1e-5), nn.RMSNorm(DIM, eps=1e-5)
        self.wqkv, self.wo = nn.Linear(DIM, 3 * DIM, bias=False), nn.Linear(DIM, DIM, bias=False)
        self.w13, self.w2 = nn.Linear(DIM, 2 * FFN, bias=False), nn.Linear(FFN, DIM, bias=False)

    def forward(self, x, cos, sin, mask):
        rows, length, _ = x.shape
        qkv = self.wqkv(self.attention_norm(x)).view(rows, length, 3, HEADS, DIM // HEADS)
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))

        def rotate(part):
            even, odd = part.float().unflatten(-1, (-1, 2)).unbind(-1)
            turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1)
            return turned.flatten(-2).to(part.dtype)

        attended = flex_attention(rotate(q), rotate(k), v, block_mask=mask)
        x = x + self.wo(attended.transpose(1, 2).reshape(rows, length, DIM))
        gate, up = self.w13(self.ffn_norm(x)).chunk(2, -1)
        return x + self.w2(functional.silu(gate) * up)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = nn.Embedding(VOCAB, DIM)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm, self.output = nn.RMSNorm(DIM, eps=1e-5), nn.Linear(DIM, VOCAB, bias=False)
        width = DIM // HEADS
        angles = torch.outer(torch.arange(ROW).float(), 10000.0 ** (-torch.arange(0, width, 2).float() / width))
        self.cos, self.sin = angles.cos().cuda(), angles.sin().cuda()

    def forward(self, tokens, mask):
        x = self.embeddings(tokens)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin, mask)
        log_probabilities = functional.log_softmax(self.output(self.norm(x)).float(), -1)
        return -(log_probabilities.exp() * log_probabilities).sum(-1), x.float().norm(dim=-1)


def document_mask(tokens):
    """Queries see their document, which ends with its EOS, at most WINDOW tokens back."""
    is_end = (tokens == EOS).int()
    document = is_end.cumsum(1) - is_end

    def sees(b, h, q, k):
        return (q >= k) & (q - k < WINDOW) & (document[b, q] == document[b, k])

    return create_block_mask(sees, tokens.shape[0], None, tokens.shape[1], tokens.shape[1], device="cuda")


def median_seconds(run, repetitions):
    for _ in range(3):
        run()
    times = []
    for _ in range(repetitions):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times)


def products_alone(rows, seconds):
    """Seconds of the products of all layers, for `rows` rows; repeated for so long that the card is at its power limit."""
    shapes = [(3 * DIM, DIM), (DIM, DIM), (2 * FFN, DIM), (DIM, FFN)]

    def random(*shape):
        return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)

    work = [(random(rows * ROW, k), random(n, k).T, random(rows * ROW, n)) for n, k in shapes]

    def run():
        for _ in range(LAYERS):
            for a, w, out in work:
                torch.mm(a, w, out=out)

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        run()
        torch.cuda.synchronize()
    return median_seconds(run, 12)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repetitions", type=int, default=12)
    args = parser.parse_args()
    torch.manual_seed(0)
    build_mask = torch.compile(document_mask)
    with torch.inference_mode():
        rows = max(args.rows)
        name = "cuBLAS, the layers' products alone"
        print(json.dumps({"peer": name, "rows": rows, "bytes_per_second": rows * ROW / products_alone(rows, 3)}), flush=True)
        for rows in args.rows:
            tokens = torch.randint(4, VOCAB, (rows, ROW), device="cuda")
            # A document of 4 kB on average.
            tokens[torch.rand(rows, ROW, device="cuda") < 1 / 4096] = EOS
            model = torch.compile(Model().to("cuda", torch.bfloat16).eval(), dynamic=False)
            seconds = median_seconds(lambda: model(tokens, build_mask(tokens)), args.repetitions)
            name = f"torch {torch.__version__} compiled, flex_attention with window and documents"
            print(json.dumps({"peer": name, "rows": rows, "bytes_per_second": rows * ROW / seconds}), flush=True)

            import transformers
            from transformers.models.blt.configuration_blt import BltPatcherConfig
            from transformers.models.blt.modeling_blt import BltPatcher

            config = BltPatcherConfig(
                vocab_size=VOCAB,
                hidden_size=DIM,
                num_hidden_layers=LAYERS,
                num_attention_heads=HEADS,
                intermediate_size=FFN,
                max_position_embeddings=ROW,
                attn_implementation="sdpa",
            )
            patcher = BltPatcher(config).to("cuda", torch.bfloat16).eval()
            seconds = median_seconds(lambda: patcher(tokens, patch_size=None, threshold=1.335), args.repetitions)
            name = f"transformers {transformers.__version__} BltPatcher"
            print(json.dumps({"peer": name, "rows": rows, "bytes_per_second": rows * ROW / seconds}), flush=True)


if __name__ == "__main__":
    main()
