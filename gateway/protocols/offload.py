"""Large bodies are read in a thread, one after the other, so that a process goes on to answer small requests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, copy_context
from functools import cache, partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from gevent.monkey import is_module_patched
from gevent.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")

LARGE = 256 * 1024
"""Bytes of rows that may take some ten milliseconds to read. Fewer take less time than the change to a thread."""

FREELY: AbstractContextManager[Any] = nullcontext()
TURN: ContextVar[AbstractContextManager[Any] | None] = ContextVar("turn", default=FREELY)
"""Lets one large body of a caller at a time into the thread, so that callers take turns. None within such a turn."""


def offload(size: int, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Return what `function` returns, from the thread if it works on `LARGE` bytes or more. It must not need the
    context of the request."""
    turn = TURN.get()
    if size < LARGE or turn is None:
        return function(*arguments, **options)
    with turn:
        within = copy_context()
        within.run(TURN.set, None)
        work: Callable[[], T] = partial(within.run, function, *arguments, **options)
        if not is_module_patched("socket"):  # without gevent, each request has a thread of its own
            return work()
        result: T = _thread().apply(work)
        return result


def offload_large(read: Callable[Concatenate[bytes, P], T]) -> Callable[Concatenate[bytes, P], T]:
    """Let a reader of bodies read large ones in the thread."""

    @wraps(read)
    def reading(body: bytes, /, *arguments: P.args, **options: P.kwargs) -> T:
        return offload(len(body), read, body, *arguments, **options)

    return reading


@cache
def _thread() -> ThreadPool:
    """Return the only thread: several would share the interpreter's lock, and leave small requests less of it."""
    return ThreadPool(1)
