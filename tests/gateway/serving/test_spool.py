"""Uploads claim room as they arrive, and not by their announced length."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from contract.settings import MB
from gateway.http import forms
from gateway.http.forms import Upload
from gateway.problems.codes import ProblemCode
from gateway.problems.problem import Problem
from gateway.serving.spool import GatewaySpool
from storage.spool.store import Spool

HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
END = b"\r\n--x--\r\n"


class Slow:
    """A body; `meanwhile` is called when half of it has been read."""

    def __init__(self, content: bytes, meanwhile: Callable[[], object]) -> None:
        self._content, self._half, self._meanwhile = BytesIO(content), len(content) // 2, meanwhile

    def read(self, size: int) -> bytes:
        data = self._content.read(size)
        if self._content.tell() >= self._half:
            meanwhile, self._meanwhile = self._meanwhile, lambda: None
            meanwhile()
        return data


def receive(spool: GatewaySpool, size: int, meanwhile: Callable[[], object] = lambda: None) -> Upload:
    body = HEAD + b"y" * size + END
    return forms.receive(environ_of(Slow(body, meanwhile), len(body)), spool, MB)


def environ_of(body: Slow | BytesIO, length: int) -> dict[str, Any]:
    said = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "CONTENT_LENGTH": str(length)}
    return {**EnvironBuilder(method="POST").get_environ(), **said, "wsgi.input": body}


def taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_an_upload_claims_about_as_much_as_has_arrived(tmp_path: Path) -> None:
    spool, claimed = GatewaySpool(Spool(tmp_path, 100), 100), []
    form = receive(spool, 8 * MB, lambda: claimed.append(taken(tmp_path)))
    assert 3.9 * MB <= claimed[0] <= 5.1 * MB
    assert taken(tmp_path) == 8 * MB
    assert (tmp_path / form.files["file"]).read_bytes() == b"y" * 8 * MB


def test_the_announced_length_of_an_upload_takes_no_room_from_others(tmp_path: Path) -> None:
    spool = GatewaySpool(Spool(tmp_path, 10), 10)
    others: list[str] = []
    receive(spool, 6 * MB, lambda: others.extend(receive(spool, MB).files))
    assert others == ["file"]


def test_an_upload_that_fills_the_spool_is_refused_and_removed(tmp_path: Path) -> None:
    spool = GatewaySpool(Spool(tmp_path, 10), 10)
    with pytest.raises(Problem) as refused:
        receive(spool, 6 * MB, lambda: receive(spool, 5 * MB))
    assert refused.value.code is ProblemCode.SPOOL_FULL
    assert "of 10 MB (SPOOL_MB) are taken" in refused.value.detail
    assert [path.suffix for path in tmp_path.iterdir() if path.name != ".lock"] == [".upload"]
    assert taken(tmp_path) == 5 * MB


def test_the_last_byte_of_the_spool_can_be_taken(tmp_path: Path) -> None:
    spool = GatewaySpool(Spool(tmp_path, 1), 1)
    receive(spool, MB - len(HEAD + END))
    assert taken(tmp_path) == MB - len(HEAD + END)


def test_one_upload_may_not_be_larger_than_allowed(tmp_path: Path) -> None:
    with pytest.raises(Problem) as refused:
        receive(GatewaySpool(Spool(tmp_path, 10), 1), MB - len(HEAD + END) + 1)
    assert refused.value.code is ProblemCode.UPLOAD_TOO_LARGE
    assert "1 MB (an eighth of SPOOL_MB)" in refused.value.detail


def test_the_fields_beside_a_file_may_take_their_limit_together(tmp_path: Path) -> None:
    content = HEAD + b"y" * 4 * MB + field(MB // 2) + field(MB // 4) + END
    form = forms.receive(environ_of(BytesIO(content), len(content)), GatewaySpool(Spool(tmp_path, 10), 10), MB)
    assert sorted(map(len, form.fields.values())) == [MB // 4, MB // 2]
    assert taken(tmp_path) == 4 * MB


def test_a_part_with_very_many_parameters_is_refused(tmp_path: Path) -> None:
    content = HEAD.replace(b"\r\n\r\n", b";a=1" * 20_000 + b"\r\n\r\n") + END
    with pytest.raises(Problem) as refused:
        forms.receive(environ_of(BytesIO(content), len(content)), GatewaySpool(Spool(tmp_path, 10), 10), MB)
    assert refused.value.code is ProblemCode.FORM_TOO_LARGE


@pytest.mark.parametrize("before", [b"", HEAD + b"y" * MB], ids=["alone", "after a file"])
def test_many_fields_that_are_too_large_together_are_not_read_to_their_end(tmp_path: Path, before: bytes) -> None:
    content = before + b"".join(field(MB // 2 - number) for number in range(20)) + END
    body = BytesIO(content)
    with pytest.raises(Problem) as refused:
        forms.receive(environ_of(body, len(content)), GatewaySpool(Spool(tmp_path, 100), 100), MB)
    assert (refused.value.status, refused.value.code) == (413, "form_too_large")
    assert "fields of more than 1024 KB together" in refused.value.detail
    assert body.tell() <= len(before) + 1.5 * MB
    assert taken(tmp_path) == 0


def field(size: int) -> bytes:
    """Return a field whose name no other size has."""
    return f'\r\n--x\r\nContent-Disposition: form-data; name="f{size}"\r\n\r\n'.encode() + b"1" * size


def test_an_owner_leaves_room_for_the_uploads_of_others(tmp_path: Path) -> None:
    owner = "a"
    spool = GatewaySpool(Spool(tmp_path, 10), 10, owner=lambda: owner)
    with spool.receiving_for_job("f", None) as file:
        file.write(b"y" * 8 * MB)
    with pytest.raises(Problem, match="8 of them by your owner") as refused, spool.receiving_for_job("g", None) as file:
        file.write(b"y" * 2 * MB)
    assert refused.value.code is ProblemCode.SPOOL_FULL
    owner = "b"
    with spool.receiving_for_job("h", None) as file:
        file.write(b"y" * MB)
    assert spool.files.used() == 9 * MB
