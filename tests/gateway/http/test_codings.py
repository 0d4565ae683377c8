"""Compressed bodies: read up to the limit of the route, and written for clients that ask for them."""

from __future__ import annotations

import gzip
import json
import random
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.settings import MB
from gateway.http.codings import LEAST, decoded, encoded
from gateway.problems import MalformedBody

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PREDICT = "/v1/models/sum/predict"
ROWS = [[1, 2], [3, 4]]
BODY = json.dumps(ROWS).encode()
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": zstd.decompress,
}


def post(client: FlaskClient, body: bytes, coding: str, path: str = PREDICT, **headers: str) -> Any:
    sent = {"Content-Type": "application/json", "Content-Encoding": coding, "Prefer": "wait=20", **headers}
    return client.post(path, data=body, headers=sent)


@pytest.mark.waits
@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize("coding", [*COMPRESS, "GZIP", "identity, gzip", "identity", ""])
def test_a_compressed_body_is_read(client: FlaskClient, coding: str) -> None:
    compress = COMPRESS.get(coding.lower().removeprefix("identity, "), bytes)
    answer = post(client, compress(BODY), coding)
    assert answer.json["output"]["predictions"] == [3.0, 7.0]


@pytest.mark.slow
@pytest.mark.parametrize("coding", COMPRESS)
@pytest.mark.parametrize(
    "path", [PREDICT, "/v2/models/sum/infer", "/v1/models/sum/invocations", "/endpoints/sum/invocations"]
)
def test_a_body_that_grows_over_the_limit_is_413(client: FlaskClient, coding: str, path: str) -> None:
    bomb = COMPRESS[coding](b" " * (200 * MB))
    assert len(bomb) < MB
    answer = post(client, bomb, coding, path)
    assert (answer.status_code, b"MAX_BODY_MB" in answer.data) == (413, True)


@pytest.mark.parametrize("coding", COMPRESS)
def test_a_body_of_exactly_the_limit_is_read(client: FlaskClient, coding: str) -> None:
    whole = BODY + b" " * (MB - len(BODY))
    assert post(client, COMPRESS[coding](whole), coding, Prefer="wait=0").status_code == 202
    assert post(client, COMPRESS[coding](whole + b" "), coding, Prefer="wait=0").status_code == 413


@pytest.mark.parametrize("coding", COMPRESS)
def test_a_broken_or_unfinished_coding_is_400(client: FlaskClient, coding: str) -> None:
    whole = COMPRESS[coding](BODY)
    for body, said in ((BODY, "as its Content-Encoding says"), (whole[:-3], "ends before"), (b"", "ends before")):
        answer = post(client, body, coding)
        assert (answer.status_code, said in answer.json["detail"]) == (400, True), answer.json


def test_members_of_a_gzip_file_follow_each_other(client: FlaskClient) -> None:
    parts = gzip.compress(BODY[:5]) + gzip.compress(BODY[5:])
    assert post(client, parts, "gzip", Prefer="wait=0").status_code == 202


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_members_of_any_size_are_read(coding: str) -> None:
    """Those that end with the bytes that are read at once, too."""
    chosen = random.Random(1)
    parts = [chosen.randbytes(chosen.choice((0, 1, 1_000, 65_000, 70_000, 200_000))) for _ in range(40)]
    body, content = b"".join(map(COMPRESS[coding], parts)), b"".join(parts)
    assert decoded(body, coding, len(content)) == content
    assert decoded(body, coding, 100_000) == content[:100_001]
    with pytest.raises(MalformedBody, match="ends before"):
        decoded(body[:-1], coding, len(content))


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_more_members_than_anybody_makes_are_refused(coding: str) -> None:
    with pytest.raises(MalformedBody, match=f"more than 10000 parts of {coding}"):
        decoded(COMPRESS[coding](b"") * 10_001, coding, MB)
    assert decoded(COMPRESS[coding](b"x") * 10_000, coding, MB) == b"x" * 10_000


def test_a_zstd_frame_with_a_window_of_more_than_8_mb_is_400(client: FlaskClient) -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(BODY) + compressor.flush()
    assert post(client, body, "zstd").status_code == 400


def test_a_form_may_be_compressed(client: FlaskClient) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert post(client, gzip.compress(b"a=1&b=2"), "gzip", Prefer="wait=0", **kind).status_code == 202


def test_the_same_request_compressed_or_not_is_one_request(client: FlaskClient) -> None:
    plain = post(client, BODY, "identity", Prefer="wait=0", **{"Idempotency-Key": "k"})
    packed = post(client, gzip.compress(BODY), "gzip", Prefer="wait=0", **{"Idempotency-Key": "k"})
    assert packed.json["id"] == plain.json["id"]


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("deflate", "deflate"),
        ("*", "zstd"),
        ("zstd;q=0, *;q=0.5", "gzip"),
        ("gzip;q=0.5, zstd;q=0.1", "gzip"),
        ("", None),
        ("br", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("gzip;q=0.5, identity", None),
    ],
)
def test_a_long_answer_is_compressed_as_the_client_asks(accept: str, coding: str | None) -> None:
    body = bytes(range(32, 127)) * 50
    found, used = encoded(body, accept)
    assert used == coding
    assert (DECOMPRESS[used](found) if used else found) == body


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/models", PREDICT])
def test_answers_from_1_kb_on_are_compressed_and_say_so(client: FlaskClient, path: str) -> None:
    def ask(**headers: str) -> Any:
        if path == PREDICT:
            return client.post(path, json=[["x" * 300, "y" * 300]] * 3, headers=headers)
        return client.get(path, headers=headers)

    plain, packed = ask(), ask(**{"Accept-Encoding": "gzip"})
    if len(plain.data) < LEAST:
        assert "Content-Encoding" not in packed.headers
        return
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"] and "Accept-Encoding" in plain.headers["Vary"]
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
    assert json.loads(gzip.decompress(packed.data)) == plain.json


@pytest.mark.waits
@pytest.mark.usefixtures("scoring")
def test_a_long_prediction_is_compressed(client: FlaskClient) -> None:
    rows = [{"a": 1, "b": 2, "key": "k" * 250}] * 5
    plain, packed = (
        client.post(PREDICT, json=rows, headers={"Prefer": "wait=20", "Accept-Encoding": coding})
        for coding in ("identity", "zstd")
    )
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("zstd", "Accept-Encoding")
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
    assert json.loads(zstd.decompress(packed.data))["output"] == plain.json["output"]


def test_pages_are_not_compressed(client: FlaskClient) -> None:
    page = client.get("/ui/", headers={"Accept-Encoding": "gzip", "Accept": "text/html"})
    assert (page.status_code, "Content-Encoding" in page.headers) == (200, False)
