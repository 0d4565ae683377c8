"""How the client repeats requests: against a server that answers as proxies and restarting gateways do."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import modelgate
import pytest
from modelgate import Client
from modelgate.command.saving import save
from modelgate.connection import PIECE, Connection
from modelgate.files import replacing
from modelgate.jobs import job_of
from sklearn.linear_model import LinearRegression

from tests.client.certificates import with_own_certificate
from tests.support import DEADLINE, InThreads

Answer = tuple[int, dict[str, str], bytes]


class Scripted:
    """A server that gives prepared answers, and remembers what was asked. An answer of None breaks the connection, one
    with a `Content-Length` of its own ends with it, and an event is waited for."""

    def __init__(self) -> None:
        self.answers: list[Answer | threading.Event | None] = []
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                script.asked.append((self.command, dict(self.headers), self._body()))
                answer = script.answers.pop(0)
                if answer is None or isinstance(answer, threading.Event):
                    if answer:
                        answer.wait(DEADLINE)
                    self.close_connection = True
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = "Content-Length" in headers

            do_GET = do_DELETE = do_POST  # noqa: N815

            def _body(self) -> bytes:
                """Read all of it: a connection that is closed with some of it unread takes the answer with it."""
                if "Transfer-Encoding" not in self.headers:
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size + 2)[:-2]
                self.rfile.readline()
                return body

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def script() -> Iterator[Scripted]:
    scripted = Scripted()
    with scripted.server, InThreads(lambda: scripted.server.serve_forever(0.01)):
        yield scripted
        scripted.server.shutdown()


def problem(status: int, code: str, **headers: str) -> Answer:
    return status, headers, json.dumps({"code": code, "detail": f"it is {code}", "status": status}).encode()


ENDED = {"id": "j", "status": "succeeded", "completed_at": "2026-01-02T03:04:05Z", "output": {"format": "text/csv"}}
OK: Answer = (200, {}, b'{"ok": true}')


def test_a_lost_answer_and_a_passing_refusal_are_repeated_under_the_same_key(script: Scripted) -> None:
    connection = Connection(script.url)
    script.answers = [OK, None, problem(503, "queue_full", **{"Retry-After": "0"}), (502, {}, b"<html>"), OK]
    connection.request("GET", "/")
    assert connection.request("POST", "/", data=lambda: b"rows") == {"ok": True}
    posts = script.asked[1:]
    assert len(posts) == 4 and {body for _, _, body in posts} == {b"rows"}
    assert len({headers["Idempotency-Key"] for _, headers, _ in posts}) == 1


def test_a_last_try_without_the_time_to_be_answered_hides_no_reason(script: Scripted) -> None:
    at_the_end, soon = threading.Event(), {"Retry-After": "0"}
    script.answers = [problem(503, "no_observer", **soon), problem(503, "no_observer", **soon), at_the_end]
    try:
        with pytest.raises(modelgate.Unavailable, match="it is no_observer"):
            Connection(script.url, timeout=3).request("GET", "/")
    finally:
        at_the_end.set()


def test_a_connection_that_ends_within_its_tls_handshake_is_repeated(script: Scripted, tmp_path: Path) -> None:
    context, whole = with_own_certificate(tmp_path / "own.pem"), iter([True, False, True, True])

    def get_request() -> tuple[socket.socket, Any]:
        plain, address = script.server.socket.accept()
        if next(whole):
            return context.wrap_socket(plain, server_side=True), address
        plain.recv(PIECE)
        plain.close()
        raise ConnectionError("a proxy goes away")

    script.server.get_request = get_request  # type: ignore[method-assign]
    url = script.url.replace("http://127.0.0.1", "https://localhost")
    connection = Connection(url, verify=str(tmp_path / "own.pem"))
    script.answers = [(200, {"Content-Length": "2"}, b"{}"), OK]
    assert [connection.request("GET", "/") for _ in range(2)] == [{}, {"ok": True}]
    with pytest.raises(modelgate.Unreachable, match="has a certificate that is not trusted"):
        Connection(url).request("GET", "/")


def test_a_server_without_tls_is_not_said_to_have_a_certificate(script: Scripted) -> None:
    with pytest.raises(modelgate.Unreachable, match=r"^TLS with https://\S+ fails: WRONG_VERSION_NUMBER$"):
        Connection(script.url.replace("http:", "https:")).request("GET", "/")


def test_what_will_not_pass_is_not_repeated(script: Scripted) -> None:
    connection = Connection(script.url, timeout=5)
    script.answers = [
        problem(503, "manifest_invalid"),
        problem(503, "queue_full", **{"Retry-After": "600"}),
        problem(409, "not_loaded"),
        problem(422, "not_published"),
    ]
    for kind in (modelgate.Unavailable, modelgate.Unavailable, modelgate.Conflict, modelgate.Invalid):
        with pytest.raises(kind, match="it is "):
            connection.request("POST", "/", json={})
    assert len(script.asked) == 4


UPLOADS: dict[str, Callable[[modelgate.Client, Path], object]] = {
    "a file of rows": lambda mg, file: mg.model("iris").submit(file),
    "a model": lambda mg, file: mg.publish("iris", file),
    "a training": lambda mg, file: mg.train("iris", file),
}


@pytest.mark.parametrize("send", UPLOADS.values(), ids=UPLOADS)
def test_a_file_is_sent_again_for_as_long_as_other_requests(
    script: Scripted, tmp_path: Path, send: Callable[[modelgate.Client, Path], object]
) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    script.answers = [problem(403, "missing_scope")] if send is UPLOADS["a file of rows"] else []
    now, later = ({"Retry-After": seconds} for seconds in ("0", "90"))
    script.answers += [problem(503, "no_trainer", **now), problem(503, "no_trainer", **later)]
    with pytest.raises(modelgate.Unavailable, match="it is no_trainer"):
        send(modelgate.Client(script.url, timeout=60), tmp_path / "rows.csv")
    assert script.answers == [] and [b"a\n1\n" in body for _, _, body in script.asked][-2:] == [True, True]


def test_a_server_that_has_never_answered_is_not_waited_for() -> None:
    with pytest.raises(modelgate.Unreachable, match=r"no Modelgate answers at .* is it running"):
        Connection("http://127.0.0.1:9", timeout=60).request("GET", "/v1/models")
    with pytest.raises(modelgate.ModelgateError, match="not the address of a Modelgate"):
        Connection("localhost:8080")


def test_a_password_in_an_address_is_not_in_messages_and_representations() -> None:
    client = modelgate.Client("http://user:secret@127.0.0.1:9")
    with pytest.raises(modelgate.Unreachable) as raised:
        client.models()
    profile = modelgate.profiles.Profile("https://user:sec@ret@models.example.org/a@b")
    assert "//…@127.0.0.1:9" in str(raised.value) and "//…@models.example.org/a@b" in repr(profile)
    for text in (str(raised.value), repr(client), repr(profile)):
        assert "sec" not in text and "user" not in text


def test_a_job_is_deleted_even_if_the_answer_is_lost(script: Scripted) -> None:
    job = job_of(Connection(script.url), {**ENDED, "kind": "prediction", "model": {"name": "sum", "version": 1}})
    script.answers = [OK, None, problem(404, "unknown_job")]
    job._connection.request("GET", "/")
    job.delete()
    assert [method for method, _, _ in script.asked] == ["GET", "DELETE", "DELETE"]


def test_a_job_that_runs_is_cancelled_and_not_deleted_if_the_answer_is_lost(script: Scripted) -> None:
    facts = {"id": "a", "kind": "prediction", "completed_at": None, "model": {"name": "sum", "version": 1}}
    job = job_of(Connection(script.url), {**facts, "status": "running"})
    canceled = json.dumps({**facts, "status": "canceled", "completed_at": "2026-01-02T03:04:05Z"}).encode()
    script.answers = [OK, None, (200, {"Content-Type": "application/json"}, canceled)]
    job._connection.request("GET", "/")
    job.delete()
    assert [method for method, _, _ in script.asked] == ["GET", "POST", "POST"] and job.status == "canceled"


def test_a_download_that_breaks_off_goes_on_where_it_was(script: Scripted) -> None:
    whole = os.urandom(3 * PIECE)
    tagged = {"ETag": '"one"'}
    script.answers = [
        (200, {**tagged, "Content-Length": str(len(whole))}, whole[: PIECE + 10]),
        (206, {**tagged, "Content-Length": str(len(whole) - PIECE)}, whole[PIECE : 2 * PIECE + 10]),
        (206, tagged, whole[2 * PIECE :]),
    ]
    assert b"".join(Connection(script.url).stream("/output")) == whole
    ranges = [(headers.get("Range"), headers.get("If-Range")) for _, headers, _ in script.asked]
    assert ranges == [(None, None), (f"bytes={PIECE}-", '"one"'), (f"bytes={2 * PIECE}-", '"one"')]


@pytest.mark.parametrize(
    ("tag", "then", "words"), [({}, [], "broke off"), ({"ETag": '"one"'}, [(200, {}, b"other")], "has changed")]
)
def test_a_download_that_cannot_go_on_is_an_error(
    script: Scripted, tag: dict[str, str], then: list[Answer | None], words: str
) -> None:
    script.answers = [(200, {**tag, "Content-Length": str(2 * PIECE)}, bytes(PIECE + 1)), *then]
    with pytest.raises(modelgate.Unreachable, match=words):
        list(Connection(script.url).stream("/output"))


def test_an_incomplete_export_leaves_nothing_and_no_member_leads_out_of_its_folder(
    script: Scripted, tmp_path: Path
) -> None:
    archive, folder = io.BytesIO(), tmp_path / "here/out"
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("../../outside", "x")
        members.writestr("/absolute", "x")
    folder.parent.mkdir()
    script.answers = [(200, {}, archive.getvalue()[:-30]), (200, {}, archive.getvalue())]
    with pytest.raises(modelgate.Unreachable, match="the export of sum arrived incomplete"):
        Client(script.url).export("sum", folder)
    assert list(folder.parent.iterdir()) == []
    Client(script.url).export("sum", folder)
    assert sorted(path.name for path in folder.iterdir()) == ["absolute", "outside"]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_another_server_and_a_redirect_are_named(script: Scripted) -> None:
    connection = Connection(script.url)
    script.answers = [(200, {}, b"<html>hello"), (302, {"Location": "https://login"}, b""), (404, {}, b"<html>")]
    with pytest.raises(modelgate.ModelgateError, match="did not answer with JSON; is it the address of a Modelgate"):
        connection.request("GET", "/")
    with pytest.raises(modelgate.ModelgateError, match="redirects to https://login"):
        connection.request("GET", "/")
    with pytest.raises(modelgate.NotFound, match="is it the right address"):
        connection.request("GET", "/")


def test_the_key_goes_with_each_request_and_netrc_does_not_replace_it(
    script: Scripted, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    script.answers = [OK]
    Connection(script.url, "mg_secret").request("GET", "/")
    assert script.asked[0][1]["Authorization"] == "Bearer mg_secret"


@pytest.mark.parametrize("end", ["\n", "\r\n", " "])
def test_a_key_may_end_as_the_line_of_a_file_does(script: Scripted, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script.answers = [OK, OK]
    modelgate.Client(script.url, f"mg_secret{end}").request("GET", "/")
    monkeypatch.setenv("MODELGATE_API_KEY", f"mg_secret{end}")
    modelgate.Client(script.url).request("GET", "/")
    assert [headers["Authorization"] for _, headers, _ in script.asked] == ["Bearer mg_secret"] * 2


@pytest.mark.parametrize("key", ["mg_sec\r\nret", "mg_sec\x00ret", "mg_sec→ret"])
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(modelgate.ModelgateError) as raised:
        modelgate.Client("http://127.0.0.1:9", key)
    assert str(raised.value) == "the API key has characters that no key has"


def test_an_address_that_cannot_be_asked_is_an_error_of_ours_without_its_password() -> None:
    with pytest.raises(modelgate.ModelgateError, match=r"the request to http://…@h:80800 cannot be sent") as raised:
        modelgate.Client("http://user:secret@h:80800").models()
    assert "secret" not in str(raised.value)


def test_certificates_that_are_not_there_are_named() -> None:
    connection = Connection("https://127.0.0.1:1", verify="/no/such.pem")
    with pytest.raises(modelgate.ModelgateError, match=r"cannot be sent: .*/no/such\.pem"):
        connection.request("GET", "/")


def test_an_open_file_that_cannot_be_sent_is_refused_with_what_to_do(script: Scripted) -> None:
    script.answers = [problem(403, "missing_scope")]
    model = modelgate.Client(script.url).model("iris")
    with pytest.raises(modelgate.Invalid, match="open it with 'rb', or give its name"):
        model.submit(io.StringIO("a\n1\n"), format="csv")
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, pytest.raises(modelgate.Invalid, match="save it, and give its name"):
        model.submit(pipe, format="csv")
    os.close(writing)
    assert len(script.asked) == 1


def test_threads_and_a_forked_process_share_a_connection(script: Scripted) -> None:
    connection = Connection(script.url)
    script.answers = [OK] * 41
    with InThreads(*[lambda: connection.request("GET", "/")] * 40):
        pass
    adapter = connection._adapter
    child = os.fork()
    if child == 0:
        os._exit(connection._adapter is adapter)  # it would write to the sockets of its parent
    assert os.waitpid(child, 0)[1] == 0
    assert connection.request("GET", "/") == {"ok": True}


def test_a_pickled_client_has_its_key_and_connections_of_its_own(script: Scripted) -> None:
    mg = modelgate.Client(script.url, "mg_secret", timeout=7)
    copied: modelgate.Client = pickle.loads(pickle.dumps(mg))
    script.answers = [OK]
    assert copied.request("GET", "/") == {"ok": True} and copied.timeout == 7
    assert script.asked[0][1]["Authorization"] == "Bearer mg_secret"
    adapter = copied._adapter
    child = os.fork()
    if child == 0:
        os._exit(copied._adapter is adapter)
    assert os.waitpid(child, 0)[1] == 0 and adapter is not mg._adapter


def test_a_download_into_a_device_or_a_pipe_leaves_it_what_it_is(script: Scripted, tmp_path: Path) -> None:
    pipe = tmp_path / "out.csv"
    os.mkfifo(pipe)
    script.answers = [(200, {}, b"a\n1\n")]
    job = modelgate.FileJob(Connection(script.url), ENDED)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert job.download(pipe) == pipe
        assert os.read(end, 100) == b"a\n1\n" and pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]
    finally:
        os.close(end)


def test_a_download_does_not_follow_a_link_beside_its_target(script: Scripted, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / ".out.csv.part").symlink_to(tmp_path / "other")
    script.answers = [(200, {}, b"a\n1\n")]
    job = modelgate.FileJob(Connection(script.url), ENDED)
    job.download(tmp_path / "out.csv")
    assert ((tmp_path / "other").read_text(), (tmp_path / "out.csv").read_bytes()) == ("mine", b"a\n1\n")


def interrupted() -> Iterator[bytes]:
    yield b"half"
    raise KeyboardInterrupt


def test_a_file_stays_what_it_was_if_what_replaces_it_breaks_off(script: Scripted, tmp_path: Path) -> None:
    (tmp_path / "out.errors.csv").write_text("of yesterday")
    job = modelgate.FileJob(Connection(script.url), {**ENDED, "output": {"format": "text/csv", "rows": 9, "errors": 9}})
    script.answers = [(200, {}, b"a\n1\n"), (200, {"Content-Length": "100"}, b'{"row": 1}\n')]
    with pytest.raises(modelgate.Unreachable, match="broke off"):
        save(job, tmp_path / "out.csv")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "out.csv") as file:
        file.writelines(interrupted())
    files = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert files == {"out.csv": "a\n1\n", "out.errors.csv": "of yesterday"}


def test_a_model_that_cannot_be_pickled_is_refused_with_what_to_do() -> None:
    model = LinearRegression()
    model.lock_ = threading.Lock()
    with pytest.raises(modelgate.ModelgateError, match=r"cannot be pickled \(.*lock.*\); remove what it holds besides"):
        modelgate.Client("http://127.0.0.1:9").publish("locked", model)
