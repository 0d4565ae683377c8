"""Requests to one Modelgate: repeated where that is safe, with a time-out, and with typed errors."""

from __future__ import annotations

import json as json_module
import os
import random
import ssl
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from modelgate.errors import ModelgateError, TimedOut, Unreachable, error_of
from modelgate.text import without_password

CONNECT = 10.0
"""Seconds in which a connection has to be made."""
_UPLOAD = 3600.0
"""Seconds that sending a file may take."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds before the first retry, and the most before a later one: they double with each."""
_LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
PIECE = 1 << 16
_PARTIAL = 206
CONNECTIONS = 64
"""Connections that stay open, for as many threads."""
_MAKING = 10.0
"""Seconds in which the server makes a job whose request it has."""

Body = bytes | Callable[[], Any]
"""The bytes of a body, or a function that returns them anew for each try: bytes, a binary file or an iterator."""


class Connection:
    """Sends requests to the Modelgate at `url`. It may be used by many threads, and after a fork."""

    def __init__(self, url: str, api_key: str | None = None, timeout: float = 60, verify: bool | str = True) -> None:
        """`timeout`: seconds that a request may take with its retries. `verify`: a file with certificates to trust,
        or False to trust any."""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ModelgateError(
                f"{without_password(url)!r} is not the address of a Modelgate, such as http://127.0.0.1:8080"
            )
        self.url = url.rstrip("/")
        self.shown_url = without_password(self.url)
        self.timeout = timeout
        self._headers = {"User-Agent": "modelgate-client", "Accept": "application/json"}
        api_key = (api_key or "").strip()  # one that was read from a file ends with its line
        if not (api_key.isascii() and api_key.isprintable()):
            raise ModelgateError("the API key has characters that no key has")
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._verify: bool | str = verify
        if verify is True:
            self._verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._answered = False
        self._proxies = get_environ_proxies(self.url, no_proxy=None)
        self._connect()
        _CONNECTED.add(self)

    def _connect(self) -> None:
        # An adapter is a pool of connections and safe for threads; a session, with its cookies, is not.
        self._adapter = HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS)

    def _transmit(self, request: requests.Request, stream: bool, timeout: tuple[float, float]) -> requests.Response:
        """Send a request once. Without `stream` the body of the answer is read, too."""
        response = self._adapter.send(request.prepare(), stream, timeout, self._verify, proxies=self._proxies)
        if not stream:
            _ = response.content
        return response

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()
        _CONNECTED.add(self)

    def close(self) -> None:
        """Close the connections. Another request opens new ones."""
        self._adapter.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: Body | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        upload: bool = False,
    ) -> Any:
        """Return the JSON of any request of the HTTP interface; None if it answers without. `json` or `data`: the body.

        A request whose answer is lost, or that is refused for now, is repeated until `timeout` seconds are over, by
        default those of the connection. An `upload` may take an hour, and is repeated for `timeout` seconds after the
        first lost answer or refusal. A `POST` has an `Idempotency-Key`, so it makes nothing twice. Raises
        `ModelgateError`.
        """
        if json is not None:
            data = json_module.dumps(json, allow_nan=False).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        response = self.send(method, path, data=data, params=params, headers=headers, timeout=timeout, upload=upload)
        return _json(response) if response.content else None

    def start(
        self,
        path: str,
        *,
        json: Any = None,
        data: Body | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        upload: bool = False,
        key: str | None = None,
    ) -> Any:
        """Return the job that a `POST` makes, as `request` does. Ctrl-C cancels the job, also before the answer. `key`:
        its `Idempotency-Key`, by default a new one."""
        key, sent = key or str(uuid.uuid4()), data

        def opened(body: Callable[[], Any]) -> Any:
            nonlocal sent
            sent = body()
            return sent

        body = partial(opened, data) if callable(data) else data
        headers = {**(headers or {}), "Idempotency-Key": key}
        try:
            return self.request("POST", path, json=json, data=body, params=params, headers=headers, upload=upload)
        except KeyboardInterrupt:
            if getattr(sent, "is_read", True):  # otherwise the server has a part, and makes nothing of it
                self.cancel_made_with(key)
            raise

    def cancel_made_with(self, key: str) -> None:
        """Cancel the job of a request with this `Idempotency-Key`, whose answer has not come. Another Ctrl-C leaves it
        as it is."""
        end = time.monotonic() + _MAKING
        with suppress(ModelgateError, KeyboardInterrupt):
            while time.monotonic() < end:
                jobs = self.request("GET", "/v1/jobs", params={"idempotency_key": key}, timeout=5)["items"]
                if jobs:
                    self.request("POST", f"/v1/jobs/{jobs[0]['id']}/cancel", timeout=5)
                    return
                self._pause(_FIRST_PAUSE)

    def stream(self, path: str, *, headers: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """Yield the bytes of an answer as they arrive. One that breaks off goes on where it was, unless it has changed.
        Raises `ModelgateError`."""
        sent = {"Accept": "*/*", "Accept-Encoding": "identity", **(headers or {})}
        received, tag = 0, None
        while True:
            with self.send("GET", path, headers=sent, stream=True) as response:
                if received and response.status_code != _PARTIAL:
                    raise Unreachable(f"the answer of {self.shown_url} broke off, and has changed; ask for it again")
                tag, before = tag or response.headers.get("ETag"), received
                try:
                    for piece in response.iter_content(PIECE):
                        received += len(piece)
                        yield piece
                    return
                except requests.RequestException as error:
                    if tag is None or received == before:
                        raise Unreachable(f"the answer of {self.shown_url} broke off: {error}") from error
            sent |= {"Range": f"bytes={received}-", "If-Range": tag}

    def send(
        self,
        method: str,
        path: str,
        *,
        data: Body | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        stream: bool = False,
        upload: bool = False,
    ) -> requests.Response:
        """Return a successful answer, as `request` does; with `stream`, its body is not read yet."""
        patience = self.timeout if timeout is None else timeout
        deadline = last_try = time.monotonic() + (max(_UPLOAD, patience) if upload else patience)
        sent = {**self._headers, **(headers or {})}
        if method == "POST":
            sent.setdefault("Idempotency-Key", str(uuid.uuid4()))
        pause, said = _FIRST_PAUSE, None
        while True:
            body = data() if callable(data) else data
            request = requests.Request(method, self.url + path, sent, data=body, params=params)
            outcome, wait = self._send_once(request, max(1.0, deadline - time.monotonic()), stream)
            if isinstance(outcome, requests.Response):
                return outcome
            if isinstance(outcome, TimedOut) and said:  # it had only the seconds that the other tries have left
                outcome = said
            said = outcome
            if wait is None:
                raise outcome
            wait = max(wait, pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(2 * pause, _LONGEST_PAUSE)
            last_try = min(last_try, time.monotonic() + patience)
            if time.monotonic() + wait >= last_try:
                raise outcome
            self._pause(wait)

    def _send_once(
        self, request: requests.Request, left: float, stream: bool
    ) -> tuple[requests.Response | ModelgateError, float | None]:
        """Send a request. Return the answer if it succeeded, else the error; and the seconds after which it may be
        repeated, None if it may not."""
        try:
            response = self._transmit(request, stream, (min(CONNECT, left), left))
        except requests.ReadTimeout:
            return TimedOut(f"{self.shown_url} did not answer within {left:.0f} s"), 0
        except _LOST as error:
            return self._lost(error)
        except (OSError, ValueError) as error:
            shown = without_password(str(error))
            return ModelgateError(f"the request to {self.shown_url} cannot be sent: {shown}"), None
        self._answered = True
        if response.status_code < 300:
            return response, None
        refusal = self._refusal(response)
        may_pass = response.status_code in (408, 502, 503, 504) and not refusal.code
        return refusal, 0 if may_pass else refusal.retry_after

    def _lost(self, error: Exception) -> tuple[Unreachable, float | None]:
        """Return the error for a connection that cannot be made or that breaks, as `_send_once` does."""
        cause = _cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Unreachable(f"{self.shown_url} has a certificate that is not trusted: {error}"), None
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return Unreachable(f"TLS with {self.shown_url} fails: {cause.reason or cause}"), None
        why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        # One that has answered before is being restarted; another may not be there at all.
        again = 0 if self._answered else None
        return Unreachable(f"no Modelgate answers at {self.shown_url} ({why}); is it running?"), again

    def _refusal(self, response: requests.Response) -> ModelgateError:
        status, request_id = response.status_code, response.headers.get("X-Request-ID")
        if status < 400:
            where = response.headers.get("Location", "elsewhere")
            return ModelgateError(f"{self.shown_url} redirects to {where}; use that address", status=status)
        try:
            problem = json_module.loads(response.content)
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "detail" not in problem:
            answered = f"{self.shown_url} answered with the status {status}"
            problem = {"detail": f"{answered}, and not as Modelgate does; is it the right address?"}
        after = response.headers.get("Retry-After", "")
        return error_of(status, problem, float(after) if after.isascii() and after.isdigit() else None, request_id)


def _json(response: requests.Response) -> Any:
    try:
        return json_module.loads(response.content)
    except ValueError as error:
        shown = without_password(response.url)
        raise ModelgateError(f"{shown} did not answer with JSON; is it the address of a Modelgate?") from error


def _cause(error: BaseException) -> BaseException:
    """Return the innermost cause, such as "Connection refused", instead of all that urllib3 says about it."""
    while inner := (error.__cause__ or error.__context__):
        error = inner
    return error


_CONNECTED: weakref.WeakSet[Connection] = weakref.WeakSet()


def _after_fork() -> None:
    for connection in _CONNECTED:
        connection._connect()  # a child must not write to the sockets of its parent


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
