"""Signed versions in containers, as docs/how-to/sign-models.md says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import requests

from tests.qa.system.stack import Stack
from trainer.publishing.signing import make_keys


@pytest.fixture
def keys(tmp_path: Path, stack: Stack) -> tuple[Path, Path]:
    """A private and a public key that the services' user can read."""
    pair = make_keys(tmp_path / "keys")
    for path in (tmp_path / "keys", *pair) if os.getuid() == 0 else ():
        os.chown(path, stack.owner, stack.owner)
    return pair


def test_signed_models_are_served_and_unsigned_files_are_refused(stack: Stack, keys: tuple[Path, Path]) -> None:
    private, public = keys
    rows = [[5.1, 3.5, 1.4, 0.2]]
    with stack.settings(SIGNING_KEY=private, VERIFY_KEY=public, ALLOW_UPLOAD=1):
        stack.compose("run", "--rm", "trainer", "python", "-m", "trainer", "sign", "--unsigned")
        stack.up()
        assert stack.prediction("iris", rows)["predictions"] == [0]
        response = requests.post(f"{stack.url}/v1/models/stranger/versions", files={"file": b"a pickle"}, timeout=60)
        assert (response.status_code, response.json()["code"]) == (403, "not_signed"), response.text
        signature = stack.models_dir / "iris/versions/1/manifest.json.sig"
        content = signature.read_bytes()
        signature.write_bytes(bytes(len(content)))
        stack.compose("restart", "worker")
        (job,) = stack.finished(stack.post_many("iris@1", [rows]))
        assert job["error"]["code"] == "not_trusted", job
        signature.write_bytes(content)
        (job,) = stack.finished(stack.post_many("iris@1", [rows]))
        assert job["status"] == "succeeded", job
        (worker,) = stack.containers("worker")
        assert stack.execute(worker["Id"], "ls", "/keys").split() == ["verify.pem"]
    assert stack.prediction("iris", rows)["predictions"] == [0]
