"""Runs the verbs of the client under asyncio: each in a greenlet, whose requests the event loop awaits.

So a verb is written once. What it calls may be any depth of functions and generators: `awaited` switches from there to
the coroutine of the verb, and back with the result.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from modelgate.errors import ModelgateError

P = ParamSpec("P")
T = TypeVar("T")
Made = TypeVar("Made")
Own = TypeVar("Own")

_INSTALL = "AsyncClient needs httpx and greenlet: pip install 'modelgate-client[async]'"


class Cancelled(KeyboardInterrupt):
    """The task of a verb was cancelled. A verb does what it does at Ctrl-C: it cancels its job."""


def check_installed() -> None:
    """Raise `ModelgateError` if a package is missing."""
    try:
        import greenlet  # noqa: F401
        import httpx  # noqa: F401
    except ImportError:
        raise ModelgateError(_INSTALL) from None


async def run(verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a verb returns. It may await things with `awaited`."""
    from asyncio import CancelledError

    from greenlet import getcurrent, greenlet

    fiber = greenlet(verb)
    fiber.driver = getcurrent()
    fiber.gr_context = contextvars.copy_context()
    cancelled: CancelledError | None = None
    try:
        step = fiber.switch(*args, **kwargs)
        while not fiber.dead:
            try:
                value = await step
            except CancelledError as error:
                cancelled = error
                step = fiber.throw(Cancelled())
            except BaseException as error:
                step = fiber.throw(error)
            else:
                step = fiber.switch(value)
    except Cancelled:
        pass
    if cancelled:
        raise cancelled
    result: T = step
    return result


def awaited(awaitable: Awaitable[T]) -> T:
    """Return the result of an awaitable, within a verb that `run` runs. Raises `ModelgateError` outside of one."""
    from greenlet import getcurrent

    driver = getattr(getcurrent(), "driver", None)
    if driver is None:
        if isinstance(awaitable, Coroutine):
            awaitable.close()
        raise ModelgateError("this asks the server; await it as a verb of an AsyncClient, or use a Client")
    result: T = driver.switch(awaitable)
    return result


# Methods of a class whose objects have the object that they stand for as `_blocking`.


def verb(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Return a method as a coroutine function."""

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await run(method, self._blocking, *args, **kwargs)

    return call


def making(
    kind: Callable[[Any], Made], method: Callable[Concatenate[Any, P], Any]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Made]]:
    """Return a method as a coroutine function that makes something of the result."""

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Made:
        return kind(await run(method, self._blocking, *args, **kwargs))

    return call


def chained(
    method: Callable[Concatenate[Any, P], Any],
) -> Callable[Concatenate[Own, P], Coroutine[Any, Any, Own]]:
    """Return a method that returns its object as a coroutine function that does so, too."""

    @functools.wraps(method)
    async def call(self: Own, /, *args: P.args, **kwargs: P.kwargs) -> Own:
        await run(method, self._blocking, *args, **kwargs)  # type: ignore[attr-defined]
        return self

    return call


def iterating(
    kind: Callable[[Any], Made], method: Callable[Concatenate[Any, P], Iterator[Any]]
) -> Callable[Concatenate[Any, P], AsyncIterator[Made]]:
    """Return a generator method as an asynchronous one that makes something of each item."""

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Made]:
        iterator, end = method(self._blocking, *args, **kwargs), object()
        while (item := await run(next, iterator, end)) is not end:
            yield kind(item)

    return call
