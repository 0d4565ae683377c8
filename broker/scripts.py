"""The Lua scripts, sent in one round trip each time, whatever Redis has forgotten meanwhile."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

_FOLDER = Path(__file__).with_name("lua")

Arguments = Sequence[str | bytes | int | float]


class FencedError(Exception):
    """The incarnation has lost its lease or was given back: what it holds is not its own any more."""


class Call:
    """One script with its arguments, to be sent by `Scripts.send`."""

    __slots__ = ("args", "name")

    def __init__(self, name: str, args: Arguments) -> None:
        self.name = name
        self.args = args


Step = Call | Arguments
"""A script, or a plain command with its arguments."""


class Scripts:
    """Sends scripts over one connection.

    Every script may run twice with the same arguments: redis-py sends it again when the reply was lost.
    The methods raise `redis.exceptions.RedisError`: `OutOfMemoryError` from a full Redis whatever its
    release, `ConnectionError` also while Redis loads its data; and `FencedError`.
    """

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection

    def run(self, name: str, *args: str | bytes | int | float) -> Any:
        """What the script `name` answers; one round trip."""
        text, sha = source(name)
        try:
            try:
                return self._redis.execute_command("EVALSHA", sha, 0, *args)
            except NoScriptError:
                return self._redis.execute_command("EVAL", text, 0, *args)
        except ResponseError as error:
            raise self._meaning(error) from None

    def send(self, steps: Sequence[Step]) -> list[Any]:
        """What each of `steps` answers; one round trip for all, and no transaction.

        The first error is raised once all have run. Commands beside scripts have to be harmless to repeat too.
        """
        if len(steps) == 1 and isinstance(steps[0], Call):
            return [self.run(steps[0].name, *steps[0].args)]
        answers = self._pipeline(steps, by_text=False)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # SCRIPT FLUSH or a restart. By text no script can be missing, also not in the next moment.
            answers = self._pipeline(steps, by_text=True)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise self._meaning(answer)
        return answers

    def _pipeline(self, steps: Sequence[Step], *, by_text: bool) -> list[Any]:
        # redis-py's own script objects would ask SCRIPT EXISTS before each pipeline: a round trip more.
        with self._redis.pipeline(transaction=False) as pipeline:
            for step in steps:
                if isinstance(step, Call):
                    text, sha = source(step.name)
                    pipeline.execute_command("EVAL" if by_text else "EVALSHA", text if by_text else sha, 0, *step.args)
                else:
                    pipeline.execute_command(*step)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers

    def _meaning(self, error: ResponseError) -> Exception:
        if str(error).startswith("FENCED"):
            return FencedError(str(error))
        if isinstance(error, ReadOnlyError) or "-READONLY " in str(error):
            self._forget_connections()
        # Redis 6 wraps an error within a script into one of its own.
        if not isinstance(error, OutOfMemoryError) and "-OOM " in str(error):
            return OutOfMemoryError(str(error))
        return error

    def _forget_connections(self) -> None:
        """After a failover: a connection stays with the primary that was, while its name means another by now."""
        self._redis.connection_pool.disconnect(inuse_connections=False)
        if self._redis.connection:
            self._redis.connection.disconnect()


@functools.cache
def source(name: str) -> tuple[str, str]:
    """The text of the script `name` with what all share before it, and its SHA-1."""
    text = "\n".join((_FOLDER / f"{part}.lua").read_text() for part in ("prelude", name))
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
