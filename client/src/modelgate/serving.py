"""A server for this session: `modelgate.serve(model)` in a notebook or a script."""

from __future__ import annotations

import atexit
import html
import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from modelgate.client import Client
from modelgate.local import running_server

_lock = threading.Lock()
_client: SessionClient | None = None


def serve(
    model: Any, name: str = "model", *, X: Any = None, y: Any = None, port: int | None = None, **options: Any
) -> SessionClient:
    """Start a server for this session, publish `model` to it, and return its client. Another call publishes to the same
    server: another model, or the next version of this one.

    The server ends with the process, or with `close()`, and leaves nothing behind. `model`, `X`, `y` and `options` are
    those of `Client.publish`: a fitted estimator, or the name of a file. `port`: of a new server; by default a free
    one. Raises `ModelgateError`.

    >>> from modelgate import serve
    >>> from sklearn.linear_model import LinearRegression
    >>> mg = serve(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]), "line")
    >>> mg.model("line").predict([[2.0]])
    array([5.])
    >>> mg.close()
    """
    global _client
    with _lock:
        if _client is None or _client.is_closed:
            _client = SessionClient(port)
        client = _client
    is_file = isinstance(model, str | Path)
    client.publish(name, model, **({} if is_file else {"X": X, "y": y}), **options)
    return client


class SessionClient(Client):
    """The client of a server that it has started and that ends with it. A notebook shows where the server is."""

    def __init__(self, port: int | None = None) -> None:
        self._stack = ExitStack()
        server = self._stack.enter_context(running_server(port=port))
        self._process, self.is_closed = os.getpid(), False
        self._api_key = server.api_key or ""
        super().__init__(server.url, self._api_key)
        atexit.register(self.close)

    def close(self) -> None:
        """Stop the server. Harmless to repeat, and in a forked child nothing, since the server is its parent's."""
        super().close()
        if self._process == os.getpid():
            self.is_closed = True
            self._stack.close()

    def __reduce__(self) -> tuple[type[Client], tuple[str, str]]:
        """Other processes get a client that does not end the server."""
        return Client, (self.url, self._api_key)

    def _repr_html_(self) -> str:
        links = [(f"{self.url}/ui/models/{model['name']}", model["name"]) for model in self.models()]
        links += [(f"{self.url}/docs", "docs")]
        items = "".join(f'<li><a href="{url}" target="_blank">{html.escape(name)}</a></li>' for url, name in links)
        return (
            '<div style="border: 1px solid #ccc; border-radius: 6px; padding: 0.5em 1em; max-width: 30em">'
            f"<strong>Modelgate</strong> at {html.escape(self.url)}, until this session ends<ul>{items}</ul></div>"
        )
