"""Normalization of embeddings."""

from __future__ import annotations

import array
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddler.engine.normalization import normalize
from paddler.messages.embeddings import Normalization, RmsNorm, RmsNormSettings

vectors = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=50)


def packed(values: list[float]) -> bytes:
    return array.array("f", values).tobytes()


def unpacked(vector: bytes) -> list[float]:
    values = array.array("f")
    values.frombytes(vector)
    return list(values)


def rms(epsilon: float) -> RmsNorm:
    return RmsNorm(RmsNorm=RmsNormSettings(epsilon=epsilon))


@given(vectors)
def test_l2_gives_length_one(values: list[float]) -> None:
    length = math.hypot(*unpacked(normalize(packed(values), "L2")))
    assert length == pytest.approx(1.0, abs=1e-4) or math.hypot(*values) < 1e-30


@given(vectors)
def test_rms_gives_a_root_mean_square_of_one(values: list[float]) -> None:
    scaled = unpacked(normalize(packed(values), rms(0.0)))
    root = math.hypot(*scaled) / math.sqrt(len(scaled))
    assert root == pytest.approx(1.0, abs=1e-4) or math.hypot(*values) < 1e-30


def test_epsilon_is_added_to_the_mean_square() -> None:
    scaled = unpacked(normalize(packed([3.0, 4.0]), rms(3.5)))
    assert scaled == pytest.approx([3.0 / 4.0, 1.0])


@given(vectors)
def test_none_changes_nothing(values: list[float]) -> None:
    assert normalize(packed(values), "None") == packed(values)


@pytest.mark.parametrize("method", ["L2", rms(0.0)])
def test_zeros_stay_zeros(method: Normalization) -> None:
    assert unpacked(normalize(packed([0.0, 0.0]), method)) == [0.0, 0.0]


def test_rows_are_normalized_one_by_one() -> None:
    both = normalize(packed([3.0, 4.0, 0.0, 5.0]), "L2", dimensions=2)
    assert unpacked(both) == pytest.approx([0.6, 0.8, 0.0, 1.0])
    assert normalize(b"", "L2", dimensions=2) == b""
