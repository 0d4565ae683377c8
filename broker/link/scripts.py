"""Sends the Lua scripts by their SHA-1, and their texts when Redis has lost them."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from broker.link.faults import specific
from broker.records.job_kinds import lua_table
from contract.retention import Retention

_FOLDER = Path(__file__).parents[1] / "lua"
_AGES = "".join(f"local KEEP_{name.upper()} = {age}\n" for name, age in Retention.fixed().items())
_SHARED = ("prelude", "endings", "earlier", "deliveries")

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


Step = Call | Arguments
"""A script, or a plain command with its arguments."""


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
        return self.checked(self.attempt(steps))

    def attempt(self, steps: Sequence[Step]) -> list[Any]:
        """Run `steps` as `send` does, and return an error as the answer of its step."""
        answers = self._pipeline(steps, by_text=False)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # SCRIPT FLUSH or a restart. Sent as text, no script can be missing, not even a moment later.
            answers = self._pipeline(steps, by_text=True)
        return answers

    def checked(self, answers: list[Any]) -> list[Any]:
        """Return the answers. Raises the first error among them."""
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
    definitions = [definition for text in (lua_table(), _AGES, *shared) for definition in _DEFINITION.split(text)[1:]]
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
