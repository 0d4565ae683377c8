"""Whether requests need a key. Once they do, they always will."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from broker.access.key_store import Keys
from gateway.serving.marker import Marker
from runtime.outages import repeat_in_thread

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks for a marker or a key."""


class ClosedState:
    """Decides whether requests need a key: they do with `CLOSED`, or if there is a marker, an `ADMIN_KEY`, or a key in
    Redis. Without a marker the gateway then makes one. Until a process has learnt from Redis that there is no key, it
    is neither open nor closed."""

    def __init__(self, keys: Keys, marker: Marker, *, always: bool, admin_key: bool) -> None:
        """`always`: they do from the beginning. `admin_key`: there is an `ADMIN_KEY`."""
        self._admin_key = admin_key
        self._keys = keys
        self._marker = marker
        self._always = always
        self._closed = always
        self._known = always
        self._warned = False
        self._stopped = threading.Event()

    def is_closed(self) -> bool:
        """Return whether requests need a key. Raises `RedisError` while neither Redis nor a marker has answered
        that."""
        if not self._known:
            self.look()
        elif not self._closed:
            self._closed = self._marker.is_seen()
        return self._closed

    @property
    def is_open(self) -> bool:
        """Whether it is known that requests need no key. Never asks Redis."""
        return self._known and not self._closed and not self._marker.is_seen()

    @property
    def needs_stored_key(self) -> bool:
        """Whether only keys in Redis open anything: requests need one, and there is no `ADMIN_KEY`. Never asks
        Redis."""
        return not self._admin_key and (self._closed or self._marker.is_seen())

    def look(self) -> None:
        """Look for a marker, else for a key, and make the marker if there is a key. Raises `RedisError`."""
        if self._marker.exists():
            self._closed = True
        elif self._always or self._keys.exist():
            self._closed = True
            self._make_marker()
        self._known = True

    def watch(self, each_second: Callable[[], object]) -> None:
        """Start a thread that looks every second and also calls `each_second`. In an outage the state stays."""

        def step() -> None:
            each_second()
            self.look()

        repeat_in_thread("keys", step, LOOK_EVERY, log, self._stopped)

    def stop(self) -> None:
        """End the thread of `watch`."""
        self._stopped.set()

    def _make_marker(self) -> None:
        try:
            self._marker.make()
        except OSError as error:
            if not self._warned:
                log.error(
                    "%s cannot be written (%s): after a restart this gateway would be open if ADMIN_KEY and"
                    " the keys in Redis were lost; make STATE_DIR writable for the gateway",
                    self._marker.path,
                    error.strerror,
                )
            self._warned = True
