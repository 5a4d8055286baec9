"""Normalization of embeddings, on float32 rows in native byte order."""

from __future__ import annotations

import array
import math
import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paddler.messages.embeddings import Normalization


def normalize(vector: bytes, method: Normalization, *, dimensions: int | None = None) -> bytes:
    """Scales each row of `dimensions` floats (all of them if None) by itself.

    L2 gives rows of length 1, RMS norm rows whose root mean square is 1 but
    for epsilon. A row of zeros stays as it is.
    """
    if method == "None":
        return vector
    values = array.array("f")
    values.frombytes(vector)
    width = dimensions or len(values)
    scaled = array.array("f")
    for start in range(0, len(values), max(width, 1)):
        row = values[start : start + width]
        scale = _scale(sum(map(operator.mul, row, row)), len(row), method)
        scaled.extend([value * scale for value in row])
    return scaled.tobytes()


def _scale(sum_of_squares: float, n_values: int, method: Normalization) -> float:
    if isinstance(method, str):
        divisor = math.sqrt(sum_of_squares)
    else:
        divisor = math.sqrt(sum_of_squares / n_values + method.RmsNorm.epsilon)
    return 1.0 / divisor if divisor > 0.0 else 1.0
