"""Threads for calls with many rows: trees of scikit-learn are asked without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

ROWS_A_THREAD = 2048
"""Rows for which another thread pays."""

_most = 1


@contextmanager
def use_threads(most: int) -> Iterator[None]:
    """Let the calls in this block use up to `most` threads each. A process may have one such block at a time."""
    global _most
    _most = most
    try:
        yield
    finally:
        _most = 1


def in_threads(call: Callable[[Any], Any], matrix: Any) -> Any:
    """Return the rows that `call` returns for those of `matrix`. It must answer each row alone."""
    threads = min(_most, matrix.shape[0] // ROWS_A_THREAD)
    if threads < 2:
        return call(matrix)
    bounds = [matrix.shape[0] * number // threads for number in range(threads + 1)]
    try:
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate([*pool.map(lambda start, end: call(matrix[start:end]), bounds, bounds[1:])])
    except (RuntimeError, MemoryError):  # a limit of the process leaves no room for another thread
        return call(matrix)
