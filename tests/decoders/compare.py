"""Comparisons of words and pictures, each in numbers that a table of tolerances can bound."""

import re
import unicodedata
from collections import Counter

import numpy


def words(text):
    """Words in lower case without punctuation, ligatures and the like taken apart."""
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())


def overlap(found, expected):
    """Recall and precision of the words `found`, as bags. Of nothing, nothing is missing and nothing is wrong."""
    found, expected = Counter(words(found)), Counter(words(expected))
    common = sum((found & expected).values())
    recall = common / sum(expected.values()) if expected else 1.0
    precision = common / sum(found.values()) if found else float(not expected)
    return recall, precision


def f1(found, expected):
    recall, precision = overlap(found, expected)
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def as_rgba(pixels):
    """Any picture as `[height, width, 4]` from 0 to 1; the colour below full transparency is black."""
    scale = {"u1": 255.0, "u2": 65535.0}.get(pixels.dtype.str[1:], 1.0)
    values = pixels.astype(numpy.float64) / scale
    if values.ndim == 2:
        values = values[..., None]
    colour = values[..., :3] if values.shape[-1] >= 3 else values[..., :1].repeat(3, axis=-1)
    alpha = values[..., -1:] if values.shape[-1] in (2, 4) else numpy.ones_like(colour[..., :1])
    return numpy.concatenate([numpy.where(alpha > 0, colour, 0.0), alpha], axis=-1)


def difference(found, expected):
    """Mean absolute difference of two pictures in steps of 8 bits, infinite for pictures of different sizes."""
    found, expected = as_rgba(found), as_rgba(expected)
    if found.shape != expected.shape:
        return float("inf")
    return float(numpy.abs(found - expected).mean() * 255)
