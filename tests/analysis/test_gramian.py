"""The Gramian: equal to the products of whole rows, however they are cut, and read once."""

from __future__ import annotations

import numpy as np
import pytest

from xalign.analysis.gramian import gramian

GROUPS = {"first": slice(0, 300), "second": slice(300, 1000), "overlapping": slice(250, 350)}


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(9, 1000)).astype(np.float32)


def naive(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float64) @ rows.astype(np.float64).T


@pytest.mark.parametrize("chunk_columns", [1, 7, 300, 10_000])
def test_products_do_not_depend_on_the_chunks(rows: np.ndarray, chunk_columns: int) -> None:
    found = gramian(rows, GROUPS, chunk_columns=chunk_columns)
    for name, columns in GROUPS.items():
        assert found[name].dtype == np.float64
        np.testing.assert_allclose(found[name], naive(rows[:, columns]), rtol=1e-5, atol=1e-3)


def test_rows_in_double_precision_are_exact(rows: np.ndarray) -> None:
    found = gramian(rows.astype(np.float64), {"all": slice(0, 1000)}, chunk_columns=64)
    np.testing.assert_allclose(found["all"], naive(rows), rtol=1e-13, atol=1e-11)


def test_the_sum_over_many_chunks_does_not_lose_digits() -> None:
    rows = np.full((2, 1 << 20), 0.1, dtype=np.float32)
    expected = float(np.float32(0.1)) ** 2 * (1 << 20)
    found = gramian(rows, {"all": slice(0, rows.shape[1])}, chunk_columns=1 << 10)["all"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_inactive_rows_are_left_out_and_count_as_zero(rows: np.ndarray) -> None:
    rows[[1, 4], :300] = 0
    active = {"first": np.array([0, 2, 3, 5, 6, 7, 8]), "second": np.arange(9)}
    groups = {name: GROUPS[name] for name in active}
    found = gramian(rows, groups, active=active)
    for name, columns in groups.items():
        np.testing.assert_allclose(found[name], naive(rows[:, columns]), rtol=1e-5, atol=1e-3)
    assert not found["first"][1].any()


def test_nobody_active_gives_zeros(rows: np.ndarray) -> None:
    found = gramian(rows, {"first": slice(0, 300)}, active={"first": np.array([], dtype=np.int64)})
    assert found["first"].shape == (9, 9) and not found["first"].any()


def test_a_transform_sees_all_rows_of_its_columns(rows: np.ndarray) -> None:
    found = gramian(rows, {"all": slice(0, 1000)}, transform=lambda chunk: chunk - chunk.mean(axis=0), chunk_columns=33)
    np.testing.assert_allclose(found["all"], naive(rows - rows.mean(axis=0)), rtol=1e-4, atol=1e-2)
    with pytest.raises(ValueError, match="either active or transform"):
        gramian(rows, GROUPS, active={}, transform=lambda chunk: chunk)


def test_a_memory_mapped_file_is_read_like_an_array(rows: np.ndarray, tmp_path: object) -> None:
    path = f"{tmp_path}/rows.npy"
    np.save(path, rows)
    mapped = np.load(path, mmap_mode="r")
    np.testing.assert_array_equal(gramian(mapped, GROUPS)["second"], gramian(rows, GROUPS)["second"])
