"""A proxy in front of Redis that drops some replies of scripts together with the connection, or stops answering."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from broker.link import scripts

OF_TRAINERS = {
    *(
        "announce_model",
        "begin",
        "delete_schedule",
        "enqueue",
        "progress",
        "publish_recipes",
        "read_log",
        "request_load",
    )
}
OF_CALLERS = {
    *("audit", "change_keys", "change_webhooks", "count_upload", "delete_deliveries", "note_key_uses", "open_session")
}
OF_HUNG_PROCESSES = {"report_stuck"}
OF_EVENTS = {"claim_deliveries", "note_delivery", "plan_deliveries"}
OF_FILES = {"report_task", "take_task"}
OF_SEVERAL_MACHINES = {"release"}
OF_SLEEPING_POOLS = {"waiting_pools"}
OF_OBSERVERS = {"forget_logged"}
OF_EXPERIMENTS = {"end_shadow", "take_shadow"}
"""Scripts that neither gateway nor workers send for predictions with today's environment on one machine, without
experiments."""

NAMES = sorted(
    {path.stem for path in scripts._FOLDER.glob("*.lua")}
    - set(scripts._SHARED)
    - OF_TRAINERS
    - OF_CALLERS
    - OF_HUNG_PROCESSES
    - OF_SLEEPING_POOLS
    - OF_OBSERVERS
    - OF_EXPERIMENTS
    - OF_EVENTS
    - OF_FILES
    - OF_SEVERAL_MACHINES
)


def first_and_every_tenth(time: int) -> bool:
    return time % 10 == 1


class LossyProxy:
    """Listens on its own Unix socket; clients connect to `url`."""

    def __init__(
        self,
        folder: Path,
        upstream: Path,
        loses: Callable[[int], bool] = first_and_every_tenth,
        name: str = "p.sock",
    ) -> None:
        """`loses(n)` says whether the reply to the n-th call of a script is dropped, counted from 1 for each script."""
        self.url = f"unix://{folder / name}"
        self.lost: Counter[str] = Counter()
        self._upstream = str(upstream)
        self._loses = loses
        self._shas = {scripts.source(name)[1].encode(): name for name in NAMES}
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._cut = False
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(folder / name))
        self._server.listen(100)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop_losing(self) -> None:
        self._loses = lambda time: False

    def fall_silent(self) -> None:
        """Send nothing more over the open connections, without closing them."""
        for pair in self._pairs:
            pair.silent = True

    def cut(self) -> None:
        """Send nothing more over any connection, as when the network is partitioned."""
        self._cut = True
        self.fall_silent()

    def mend(self) -> None:
        """Connect again; the connections of the time before are lost."""
        self._cut = False
        for pair in self._pairs:
            if pair.silent:
                pair.close()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for pair in self._pairs:
            pair.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._pairs.append(_Pair(self, client, self._upstream, self._cut))

    def loses_one_of(self, request: bytes) -> bool:
        """Return whether to drop the reply to this request, and with it those of all scripts of its pipeline."""
        names = [name for sha, name in self._shas.items() if sha in request]
        with self._lock:
            self._seen.update(names)
            loses = any(self._loses(self._seen[name]) for name in names)
            if loses:
                self.lost.update(names)
        return loses


class _Pair:
    """A client's connection and its connection to Redis."""

    def __init__(self, proxy: LossyProxy, client: socket.socket, upstream: str, silent: bool) -> None:
        self._proxy = proxy
        self._client = client
        self._redis = socket.socket(socket.AF_UNIX)
        self._losing = False
        self.silent = silent
        try:
            self._redis.connect(upstream)
        except OSError:
            self.close()
            return
        for pump in (self._requests, self._replies):
            threading.Thread(target=pump, daemon=True).start()

    def _requests(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(1_000_000):
                self._losing = self._losing or self._proxy.loses_one_of(data)
                if not self.silent:
                    self._redis.sendall(data)
        self.close()

    def _replies(self) -> None:
        with suppress(OSError):
            # Once Redis sends the first byte of a reply, it has run the script.
            while (data := self._redis.recv(1_000_000)) and not self._losing:
                if not self.silent:
                    self._client.sendall(data)
        self.close()

    def close(self) -> None:
        for end in (self._client, self._redis):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
