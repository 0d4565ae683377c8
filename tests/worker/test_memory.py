"""A worker forks another scorer only where its container has the memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.memory import allows_another, private_bytes

VERSIONS = {
    2: ("memory.max", "memory.current", "memory.stat"),
    1: ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_limit_of_a_container_counts(tmp_path: Path, version: int) -> None:
    needed, used, cached = private_bytes(os.getpid()), 10**9, 10**6

    def allows(limit: object) -> bool:
        for name, value in zip(VERSIONS[version], (limit, used, f"cache 1\ninactive_file {cached}\n"), strict=True):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(f"{value}\n")
        return allows_another([os.getpid()], tmp_path)

    assert allows(used - cached + 2 * needed)
    assert not allows(used - cached + needed // 2)
    assert allows("max")
