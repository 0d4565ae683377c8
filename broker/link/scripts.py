"""Sends the Lua scripts by their SHA-1, and their texts when Redis has lost them. What they write counts once Redis has
written it to its disk and its replicas have it.
"""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hiredis import pack_command
from redis import Redis
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from broker.link.faults import SlowDiskError, TooFewReplicas, specific
from broker.records.job_kinds import lua_table
from contract.retention import Retention
from contract.work.api_keys import PER_FREE

_FOLDER = Path(__file__).parents[1] / "lua"
_FIXED = {f"KEEP_{name.upper()}": age for name, age in Retention.fixed().items()} | {"PER_FREE": PER_FREE}
_NUMBERS = "".join(f"local {name} = {value}\n" for name, value in _FIXED.items())
_SHARED = ("prelude", "failures", "endings", "earlier", "deliveries", "streams")

_DEFINITION = re.compile(r"^(?=local |function )", re.MULTILINE)
_NAMES = re.compile(r"(?:local )?(?:function )?([\w, ]+)")
_COMMENT = re.compile(r"--.*")
_WORD = re.compile(r"\w+")

Arguments = Sequence[str | bytes | int | float]


class FencedError(Exception):
    """The incarnation has lost its lease or was given back; it no longer owns jobs."""


class Call:
    """A script with its arguments, for `Scripts.send`."""

    __slots__ = ("args", "name")

    def __init__(self, name: str, args: Arguments) -> None:
        self.name = name
        self.args = args


class NumberedCalls:
    """The calls of a script that takes each number of a process once, so a batch that is sent again counts once."""

    def __init__(self, script: str) -> None:
        self._script, self._process, self._number = script, secrets.token_hex(8), 0

    def next(self, args: Iterable[str | int]) -> Call:
        self._number += 1
        return Call(self._script, [self._process, self._number, *args])


Step = Call | Arguments
"""A script, or a plain command with its arguments."""


def _command(step: Step, by_text: bool) -> Any:
    """Return the command of a step, whose script goes by its SHA-1 or `by_text`."""
    if not isinstance(step, Call):
        return tuple(step)
    text, sha = source(step.name)
    return ("EVAL", text, 0, *step.args) if by_text else ("EVALSHA", sha, 0, *step.args)


class Scripts:
    """Sends scripts over one connection.

    Every script may run twice with the same arguments, because redis-py sends it again when the reply was lost. The
    methods raise `FencedError` and `redis.exceptions.RedisError`: `OutOfMemoryError` from a full Redis of any release,
    `broker.link.faults.DiskError` from one whose disk is full, `ConnectionError` also while Redis loads its data.
    """

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection

    def run(self, name: str, *args: str | bytes | int | float) -> Any:
        """Run the script `name` and return its answer. One round trip."""
        return self.send([Call(name, args)])[0]

    def send(self, steps: Sequence[Step]) -> list[Any]:
        """Run `steps` and return the answer of each. One round trip for all, and no transaction.

        The first error is raised once all have run. Plain commands must be harmless to repeat, as scripts are.
        """
        return self.checked(self.attempt(steps))

    def attempt(self, steps: Sequence[Step]) -> list[Any]:
        """Run `steps` as `send` does, and return an error as the answer of its step."""
        answers = self._answers(steps, by_text=False)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # SCRIPT FLUSH or a restart. Sent as text, no script can be missing, not even a moment later.
            answers = self._answers(steps, by_text=True)
        return answers

    def checked(self, answers: list[Any]) -> list[Any]:
        """Return the answers. Raises the first error among them."""
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise self._specific_error(answer)
        return answers

    def _answers(self, steps: Sequence[Step], *, by_text: bool) -> list[Any]:
        """Write all steps at once and read their answers, over a connection of redis-py: its own commands and pipelines
        cost a process that waits for one answer twice as much."""
        packed = b"".join([pack_command(_command(step, by_text)) for step in steps])
        own, pool = self._redis.connection, self._redis.connection_pool
        connection = own or pool.get_connection()

        def exchange() -> list[Any]:
            connection.send_packed_command((packed,), check_health=False)
            return [self._read(connection, step) for step in steps]

        try:
            answers: list[Any] = connection.retry.call_with_retry(exchange, lambda _: connection.disconnect())
        except BaseException:
            connection.disconnect()  # it may hold answers that nobody has read
            raise
        finally:
            if own is None:
                pool.release(connection)
        return answers

    def _read(self, connection: Any, step: Step) -> Any:
        try:
            answer = connection.read_response()
        except ResponseError as error:
            return error
        convert = None if isinstance(step, Call) else self._redis.response_callbacks.get(step[0])
        return convert(answer) if convert else answer

    def _specific_error(self, error: ResponseError) -> Exception:
        if str(error).startswith("FENCED"):
            return FencedError(str(error))
        error = specific(error)
        if isinstance(error, ReadOnlyError):
            self._forget_connections()
        return error

    def _forget_connections(self) -> None:
        """Close all connections after a failover, because they still lead to the former primary."""
        self._redis.connection_pool.disconnect(inuse_connections=False)
        if self._redis.connection:
            self._redis.connection.disconnect()


class Connected:
    """Sends commands and scripts over one connection."""

    def __init__(self, connection: Redis) -> None:
        self._redis: Any = connection
        self._scripts = Scripts(connection)


_CHANNEL = "mg:reply:"
"""A channel without subscribers."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two tries while the disk of Redis is busy."""


class Durability:
    """Waits at most `timeout` seconds until Redis has written the commands to its append-only file, and as long until
    `replicas` of its replicas have them. Takes no further round trip unless it has to wait."""

    def __init__(self, replicas: int = 0, timeout: float = 5.0) -> None:
        self._replicas = replicas
        self._timeout = timeout

    def send(self, send: Callable[[Sequence[Step]], list[Any]], steps: Sequence[Step]) -> list[Any]:
        """Send `steps` with `send` in one round trip, and repeat that until they are written. Returns their answers.

        Each script among them returns `syncing()` (broker/lua/prelude.lua) and its answer. Raises `SlowDiskError` if
        Redis has not written them in time, and `TooFewReplicas` if not enough replicas have confirmed them. The steps
        may have taken effect even then; send them again to find out.
        """
        deadline, pause = time.monotonic() + self._timeout, _FIRST_PAUSE
        while True:
            answers = self._replicated(send, steps)
            scripts = [position for position, step in enumerate(steps) if isinstance(step, Call)]
            # It is not enough to ask whether the sync has ended: a Redis that was killed has lost the jobs.
            if not any(answers[position][0] for position in scripts):
                for position in scripts:
                    answers[position] = answers[position][1]
                return answers
            if time.monotonic() >= deadline:
                raise SlowDiskError("its disk has not finished a sync in time")
            time.sleep(pause)
            pause = min(1.25 * pause, _LONGEST_PAUSE)  # most syncs take a few ms, and the client waits for the next try

    def _replicated(self, send: Callable[[Sequence[Step]], list[Any]], steps: Sequence[Step]) -> list[Any]:
        if not self._replicas:
            return send(steps)
        # WAIT waits for the last write of its connection. A repeated script writes nothing, and the connection may be
        # new, so a message goes first: Redis replicates it as it does a write.
        milliseconds = max(1, round(self._timeout * 1000))
        *answers, _, confirmed = send([*steps, ("PUBLISH", _CHANNEL, ""), ("WAIT", self._replicas, milliseconds)])
        if confirmed < self._replicas:
            raise TooFewReplicas(f"{confirmed} of {self._replicas} replicas have confirmed in time")
        return answers


class Durable(Connected):
    """Sends scripts that count once they are written."""

    def __init__(self, connection: Redis, durability: Durability | None = None) -> None:
        """`durability` says when something counts as written."""
        super().__init__(connection)
        self._durability = durability or Durability()

    def _write(self, name: str, args: Arguments) -> Any:
        """Run a script and return its answer, once what it has written counts."""
        (answer,) = self._durability.send(self._scripts.send, [Call(name, args)])
        return answer


@functools.cache
def source(name: str) -> tuple[str, str]:
    """Return the text of the script `name`, with what it needs of the shared parts, and its SHA-1."""
    text = linked(parts(name))
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def linked(texts: Mapping[str, str]) -> str:
    """Return the last of `texts`, a script, after the definitions of the others that it needs.

    Redis runs every definition of a script each time it runs the script. With all of them, it would spend a tenth of
    its time for a prediction on definitions.
    """
    *shared, script = texts.values()
    definitions = [
        definition for text in (lua_table(), _NUMBERS, *shared) for definition in _DEFINITION.split(text)[1:]
    ]
    defined = [_words(_NAMES.match(definition)[1]) for definition in definitions]  # type: ignore[index]
    needed, new = set[int](), _words(script)
    while new:
        added = {at for at, names in enumerate(defined) if names & new} - needed
        needed |= added
        new = set().union(*(_words(definitions[at]) for at in added))
    return "\n".join([*(definition for at, definition in enumerate(definitions) if at in needed), script])


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_COMMENT.sub("", text)))


def parts(name: str) -> dict[str, str]:
    """Return the texts of the script `name`: by file, the shared ones first."""
    return {part: (_FOLDER / f"{part}.lua").read_text() for part in (*_SHARED, name)}
