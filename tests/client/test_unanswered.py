"""Ctrl-C while the server has a request, and the client no answer yet."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pandas as pd
import pytest
from modelgate import Client

from tests.client.conftest import interrupted
from tests.stacks.gateways import Gateway

CSV = b"a,b\n" + b"1,2\n" * 1000


class LosesAnswers:
    """Passes on what clients send and are answered, but for the answers to POST to a model, which never arrive."""

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        request_sent = threading.Event()
        with client, socket.create_connection(self._upstream) as server, suppress(OSError):
            threading.Thread(target=self._pass_answers, args=(server, client, request_sent), daemon=True).start()
            while data := client.recv(65_536):
                if data.startswith(b"POST /v1/models"):
                    request_sent.set()
                server.sendall(data)

    def _pass_answers(self, server: socket.socket, client: socket.socket, request_sent: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if not request_sent.is_set():
                    client.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # ends `accept`
        self._listener.close()


@pytest.fixture
def lossy(server: Gateway) -> Iterator[LosesAnswers]:
    proxy = LosesAnswers(server.port)
    yield proxy
    proxy.close()


REQUESTS: dict[str, Callable[[Client], object]] = {
    "a file": lambda mg: mg.model("sum").submit(io.BytesIO(CSV), format="csv"),
    "a DataFrame": lambda mg: mg.model("sum").submit(pd.DataFrame({"a": [1.0], "b": [2.0]})),
    "rows": lambda mg: mg.model("sum").predict([[1, 2]]),
}


@pytest.mark.slow
@pytest.mark.parametrize("ask", REQUESTS.values(), ids=REQUESTS)
def test_ctrl_c_cancels_a_job_whose_answer_is_outstanding(
    server: Gateway, lossy: LosesAnswers, ask: Callable[[Client], object]
) -> None:
    with Client(lossy.address, timeout=60) as mg, Client(server.address) as direct:
        with interrupted(lambda: next(direct.jobs(status="queued"), None), "a job whose answer is lost"):
            ask(mg)
        assert [job.status for job in direct.jobs()] == ["canceled"]


def test_ctrl_c_while_a_file_is_sent_ends_at_once_and_makes_no_job(server: Gateway) -> None:
    def interrupt(sent: int, total: int) -> None:
        raise KeyboardInterrupt

    mg = Client(server.address)
    canceled: list[str] = []
    mg.cancel_made_with = canceled.append  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        mg.model("sum").submit(io.BytesIO(CSV * 1000), format="csv", on_sent=interrupt)
    assert canceled == [] and list(mg.jobs()) == []
