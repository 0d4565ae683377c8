from __future__ import annotations

import pytest

from trainer.importing.trial import trial


@pytest.fixture
def compares_kernels() -> None:
    """Compares the kernels of what is imported."""


@pytest.fixture(autouse=True)
def _without_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing the kernels of a version can take ten times as long as the rest of an import."""
    if "compares_kernels" not in request.fixturenames:
        monkeypatch.setattr(trial, "compared", lambda draft, _: draft)
