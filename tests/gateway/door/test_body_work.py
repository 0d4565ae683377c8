"""What bodies cost their caller, and that their width is known before a value of them is made."""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.errors import InvalidInstances
from contract.model.signature import Field, Kind, Signature
from contract.settings import MB
from gateway.door.body_work import CREDIT, KB_PER_SECOND, MOST_BODIES, BodyWork
from gateway.problems import MalformedBody, Problem
from gateway.protocols import csv_rows, npy, open_inference, sagemaker

SIGNATURE = Signature(inputs=tuple(Field(name, Kind.NUMBER) for name in "abcd"), outputs=())
SIZE = MB // 2
PREDICT = "/v1/models/sum/predict"


def array(descr: str, shape: tuple[int, ...], *, fortran: bool = False) -> bytes:
    head = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode().ljust(118)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"\0" * SIZE


def tensor(datatype: str, shape: list[int]) -> tuple[bytes, str]:
    described = {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": SIZE}}
    text = json.dumps({"inputs": [described]}).encode()
    return text + b"\0" * SIZE, str(len(text))


def read_tensors(body: bytes, header_length: str | None = None) -> Any:
    request = open_inference.read(body, header_length, SIGNATURE)
    return request.most_rows > 1000 or request.instances(SIGNATURE)


def read_array(body: bytes) -> Any:
    return npy.read(body, SIGNATURE, 1000)


@pytest.mark.parametrize(
    ("read", "arguments"),
    [
        *((read_array, (array(descr, shape, fortran=fortran),))
          for descr, width in (("|b1", 1), ("<f2", 2), ("|S1", 1), ("<U1", 4))
          for shape in ((1, SIZE // width), (SIZE // width, 1), (SIZE // width,), (SIZE // width // 4, 4))
          for fortran in (False, True)),
        *((read_tensors, tensor(datatype, shape))
          for datatype, width in (("BOOL", 1), ("FP16", 2), ("BYTES", 4))
          for shape in ([1, SIZE // width], [SIZE // width, 1], [SIZE // width])),
        (lambda body: csv_rows.read(body), (b"," * 4 * SIZE + b"\n1\n",)),
        (lambda body: sagemaker.read_csv(body, SIGNATURE, 1000), (b"," * 4 * SIZE + b"\n1\n",)),
    ],
)  # fmt: skip
def test_what_has_too_many_values_is_refused_before_they_are_made(read: Any, arguments: Any) -> None:
    tracemalloc.start()
    try:
        rows = read(*arguments)
        assert rows is True or len(rows.rows) > 1000  # which is refused by its number of rows
    except (InvalidInstances, MalformedBody):
        pass
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 12 * len(arguments[0])


def test_a_caller_pays_for_refused_bodies_by_its_rate_and_no_other_caller_does() -> None:
    now = [0.0]
    work = BodyWork(MB, lambda: now[0])
    work.charge("key_1", int(CREDIT * KB_PER_SECOND * 1024), None)
    work.charge("key_2", int(CREDIT * 1024), 1)
    for caller in ("key_1", "key_2", "key_3"):
        work.check(caller)
    work.charge("key_1", 10 * KB_PER_SECOND * 1024, None)
    work.charge("key_2", 10 * 1024, 1)
    for caller in ("key_1", "key_2"):
        with pytest.raises(Problem) as refused:
            work.check(caller)
        assert refused.value.code == "rate_limit"
        assert refused.value.retry_after == 11
    work.check("key_3")
    now[0] = 10.0
    work.check("key_1")


def test_a_caller_has_so_many_bytes_in_work_until_its_requests_end() -> None:
    work = BodyWork(MB)
    for _ in range(MOST_BODIES):
        work.hold("key_1", MB)
    with pytest.raises(Problem, match="wait for some of their answers"):
        work.hold("key_1", 1)
    work.hold("key_2", MB)
    work.release("key_1", MB)
    work.hold("key_1", MB)


def test_bodies_that_are_refused_too_often_are_not_read_and_small_ones_are(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.door.body_work.KB_PER_SECOND", 1)
    large = gzip.compress(b"[" + b"1," * (MB // 2 - 8) + b"1]")

    def send(body: bytes, address: str, **headers: str) -> Any:
        headers = {"Content-Type": "application/json", **headers}
        return client.post(PREDICT, data=body, headers=headers, environ_base={"REMOTE_ADDR": address})

    assert send(large, "10.0.0.1", **{"Content-Encoding": "gzip"}).status_code == 422
    refused = send(large, "10.0.0.1", **{"Content-Encoding": "gzip"})
    assert refused.status_code == 429
    assert refused.json["code"] == "rate_limit"
    assert refused.json["limit"] == "refused_bodies"
    assert 900 < int(refused.headers["Retry-After"]) < 1024
    assert send(b" " * 2000, "10.0.0.1").status_code == 429
    assert send(b'{"a": 1, "b": 2}', "10.0.0.1").status_code == 202
    assert send(b" " * 2000, "10.0.0.2").status_code == 400
    bomb = gzip.compress(b" " * 2 * MB)
    assert [send(bomb, "10.0.0.3", **{"Content-Encoding": "gzip"}).status_code for _ in range(2)] == [413, 429]
