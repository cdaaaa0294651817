"""The entropy model in PyTorch, with the names of the original's checkpoint.

Source: Byte Latent Transformer, arXiv 2412.09871, and its reference code. Letters: `b` batch, `t` tokens, `d` width.
Matrices that read the same input are multiplied as one.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention

VOCABULARY, BOS, EOS, FIRST_BYTE = 260, 1, 2, 4
BLOCK = 128


class Norm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight).to(x.dtype)


def rotate(x, cos, sin):
    """Rotates the pairs `(2j, 2j + 1)` of `[b, heads, t, head_dim]`."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, d, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d, d, bias=False) for _ in range(4))

    def forward(self, x, cos, sin, mask):
        b, t, d = x.shape
        together = F.linear(x, torch.cat((self.wq.weight, self.wk.weight, self.wv.weight)))
        q, k, v = together.view(b, t, 3, self.n_heads, d // self.n_heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = flex_attention(rotate(q, cos, sin), rotate(k, cos, sin), v.contiguous(), block_mask=mask)
        return self.wo(mixed.transpose(1, 2).reshape(b, t, d))


class FeedForward(nn.Module):
    def __init__(self, d, width):
        super().__init__()
        self.w1, self.w3 = nn.Linear(d, width, bias=False), nn.Linear(d, width, bias=False)
        self.w2 = nn.Linear(width, d, bias=False)

    def forward(self, x):
        gate, value = F.linear(x, torch.cat((self.w1.weight, self.w3.weight))).chunk(2, -1)
        return self.w2(F.silu(gate) * value)


class Layer(nn.Module):
    def __init__(self, d, n_heads, width):
        super().__init__()
        self.attention, self.feed_forward = Attention(d, n_heads), FeedForward(d, width)
        self.attention_norm, self.ffn_norm = Norm(d), Norm(d)

    def forward(self, x, cos, sin, mask):
        x = x + self.attention(self.attention_norm(x), cos, sin, mask)
        return x + self.feed_forward(self.ffn_norm(x))


class EntropyModel(nn.Module):
    def __init__(self, dim, n_layers, n_heads, ffn_dim):
        super().__init__()
        self.tok_embeddings = nn.Embedding(VOCABULARY, dim)
        self.layers = nn.ModuleList(Layer(dim, n_heads, ffn_dim) for _ in range(n_layers))
        self.norm, self.output = Norm(dim), nn.Linear(dim, VOCABULARY, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02 if "tok_embeddings" in name else weight.shape[1] ** -0.5)
                if name.endswith(("wo.weight", "w2.weight")):
                    weight.data.mul_(0.5 / math.sqrt(n_layers))

    def forward(self, tokens, cos, sin, mask):
        # A product instead of a look-up, whose gradient would be added up in an order of its own each time.
        one_hot = tokens[..., None] == torch.arange(VOCABULARY, device=tokens.device)
        x = one_hot.to(torch.bfloat16) @ self.tok_embeddings.weight
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return self.output(self.norm(x))


def rotary_table(length, head_dim, device):
    angles = torch.outer(
        torch.arange(length, device=device).float(),
        10_000.0 ** -(torch.arange(0, head_dim, 2, device=device).float() / head_dim),
    )
    return angles.cos(), angles.sin()


def window_mask(tokens, window):
    """A token sees itself and the `window - 1` before it, as far as they are in its document, which begins at BOS."""
    document = (tokens == BOS).to(torch.int32).cumsum(1, dtype=torch.int32)
    b, t = tokens.shape
    blocks, near = t // BLOCK, min((window - 2) // BLOCK + 2, t // BLOCK)
    at = torch.arange(blocks, device=tokens.device)
    earlier = at[:, None] - torch.arange(near, device=tokens.device)[None]
    count = (earlier >= 0).sum(1).to(torch.int32)
    index = torch.zeros(blocks, blocks, dtype=torch.int32, device=tokens.device)
    index[:, :near] = earlier.clamp_min(0).to(torch.int32)

    def visible(row, head, query, key):
        return (query >= key) & (query - key < window) & (document[row, query] == document[row, key])

    return BlockMask.from_kv_blocks(
        count.view(1, 1, blocks).expand(b, 1, blocks).contiguous(),
        index.view(1, 1, blocks, blocks).expand(b, 1, blocks, blocks).contiguous(),
        BLOCK_SIZE=BLOCK,
        mask_mod=visible,
    )
