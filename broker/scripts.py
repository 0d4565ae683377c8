"""Sends the Lua scripts, in one round trip even when Redis has lost them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

from broker.job_kinds import lua_table

_FOLDER = Path(__file__).with_name("lua")

Arguments = Sequence[str | bytes | int | float]


class FencedError(Exception):
    """The incarnation has lost its lease or was given back; it owns no jobs any more."""


class Call:
    """A script with its arguments, for `Scripts.send`."""

    __slots__ = ("args", "name")

    def __init__(self, name: str, args: Arguments) -> None:
        self.name = name
        self.args = args


Step = Call | Arguments
"""A script, or a plain command with its arguments."""


class Scripts:
    """Sends scripts over one connection.

    Every script may run twice with the same arguments, because redis-py sends it again when the reply was lost. The
    methods raise `FencedError` and `redis.exceptions.RedisError`: `OutOfMemoryError` from a full Redis of any release,
    `ConnectionError` also while Redis loads its data.
    """

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection

    def run(self, name: str, *args: str | bytes | int | float) -> Any:
        """Run the script `name` and return its answer. One round trip."""
        text, sha = source(name)
        try:
            try:
                return self._redis.execute_command("EVALSHA", sha, 0, *args)
            except NoScriptError:
                return self._redis.execute_command("EVAL", text, 0, *args)
        except ResponseError as error:
            raise self._specific_error(error) from None

    def send(self, steps: Sequence[Step]) -> list[Any]:
        """Run `steps` and return the answer of each. One round trip for all, and no transaction.

        The first error is raised once all have run. Plain commands must be harmless to repeat, as scripts are.
        """
        if len(steps) == 1 and isinstance(steps[0], Call):
            return [self.run(steps[0].name, *steps[0].args)]
        answers = self._pipeline(steps, by_text=False)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # SCRIPT FLUSH or a restart. Sent as text, no script can be missing, not even a moment later.
            answers = self._pipeline(steps, by_text=True)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise self._specific_error(answer)
        return answers

    def _pipeline(self, steps: Sequence[Step], *, by_text: bool) -> list[Any]:
        # redis-py's own script objects send SCRIPT EXISTS before each pipeline, which is another round trip.
        with self._redis.pipeline(transaction=False) as pipeline:
            for step in steps:
                if isinstance(step, Call):
                    text, sha = source(step.name)
                    pipeline.execute_command("EVAL" if by_text else "EVALSHA", text if by_text else sha, 0, *step.args)
                else:
                    pipeline.execute_command(*step)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers

    def _specific_error(self, error: ResponseError) -> Exception:
        if str(error).startswith("FENCED"):
            return FencedError(str(error))
        if isinstance(error, ReadOnlyError) or "-READONLY " in str(error):
            self._forget_connections()
        # Redis 6 wraps an error within a script into one of its own.
        if not isinstance(error, OutOfMemoryError) and "-OOM " in str(error):
            return OutOfMemoryError(str(error))
        return error

    def _forget_connections(self) -> None:
        """Close all connections after a failover, because they still lead to the former primary."""
        self._redis.connection_pool.disconnect(inuse_connections=False)
        if self._redis.connection:
            self._redis.connection.disconnect()


@functools.cache
def source(name: str) -> tuple[str, str]:
    """Return the text of the script `name`, with the table of job kinds and the shared parts, and its SHA-1."""
    text = "\n".join([lua_table(), *parts(name).values()])
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def parts(name: str) -> dict[str, str]:
    """Return the texts of the script `name`: by file, the shared ones first."""
    script = _text(name)
    # A script pays for every function that is defined before it, each time it runs.
    shared = ("prelude", "endings") if "close()" in script else ("prelude",)
    return {**{part: _text(part) for part in shared}, name: script}


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text()
