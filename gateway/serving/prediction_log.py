"""The prediction log of a model: what it keeps, and what it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from broker.state.trainer_jobs import TooManyWaiting
from contract.errors import FieldError, ModelgateError
from contract.model.model_settings import LOGGING, Logging
from contract.model.repository import Repository, valid_name
from contract.work.api_keys import Key, Scope
from contract.work.observation import LARGEST_PAGE, Cursor, Observation, ObservationAction
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import did_you_mean
from gateway.serving.model_versions import CommandFailed, ModelChanges, check_model, resolve, settings_of

TO_ANSWER = 60.0
"""Seconds that the observer has for an answer: a log of months has gigabytes."""

Ask = Callable[[Observation, float], dict[str, Any]]
"""Has the observer answer within some seconds. Raises `ObserverUnavailable` and `ModelgateError`."""


@dataclass(frozen=True)
class LogAccess:
    """The log as the caller of the current request sees it: rows of its owner, of all owners for an admin. Methods
    raise `Problem`, `ObserverUnavailable`, and as `ModelChanges.run`."""

    changes: ModelChanges
    ask: Ask
    caller: Callable[[], Key]

    @property
    def repository(self) -> Repository:
        return self.changes.repository

    def logging(self, model: str) -> Logging:
        """Return what is kept of the predictions of a model."""
        return settings_of(self.repository, model).logging

    def change(self, model: str, logging: Logging) -> None:
        """Raises `Problem` for a name to leave out that no version has, which would be kept all the same."""
        check_model(self.repository, model)
        names = {name for signature in self._signatures(model) for name in signature}
        errors = [
            FieldError(
                None, "leave_out", "unknown_field", f"no version has an input {name!r}{did_you_mean(name, names)}"
            )
            for name in logging.leave_out
            if name not in names
        ]
        if errors:
            shown = [error.to_json() for error in errors]
            raise Problem(ProblemCode.INVALID_BODY, errors[0].message, errors=shown)
        edits = {LOGGING: logging.to_json()}
        self.changes.run(RepositoryCommand(RepositoryAction.CHANGE_SETTINGS, model, edits=edits))

    def read(self, wanted: Observation) -> dict[str, Any]:
        """Return a page of the rows that the caller may see: `{"items", "next_cursor"}`."""
        if not 1 <= wanted.limit <= LARGEST_PAGE:
            raise _invalid(f"limit={wanted.limit} is not between 1 and {LARGEST_PAGE}")
        if wanted.cursor is not None:
            try:
                Cursor.read(wanted.cursor)
            except ValueError:
                raise _invalid(f"cursor={wanted.cursor[:64]!r} is not the next_cursor of a page") from None
        return self._asked(wanted)

    def delete(self, model: str, identity: str) -> dict[str, Any]:
        """Delete the rows with this id that the caller may see, and return how many these were: `{"deleted"}`."""
        return self._asked(Observation(ObservationAction.DELETE_PREDICTIONS, model, id=identity))

    def health(self, model: str, version: str, seconds: float = TO_ANSWER) -> dict[str, Any]:
        """Return what the rows of a version show, or of the one that an alias names."""
        _, number = resolve(self.repository, f"{model}@{version}")
        health = self._asked(Observation(ObservationAction.HEALTH, model, version=number), seconds)
        return {"name": model, "version": number, **health}

    def add_outcomes(self, model: str, outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Keep what came true of the rows that the caller may see: `{"new", "corrected", "repeated"}`."""
        return self._asked(Observation(ObservationAction.ADD_OUTCOMES, model, outcomes=outcomes))

    def measure(self, model: str, version: str, seconds: float = TO_ANSWER) -> dict[str, Any]:
        """Return how good the answers of a version were, or of the one that an alias names."""
        _, number = resolve(self.repository, f"{model}@{version}")
        measured = self._asked(Observation(ObservationAction.MEASURE, model, version=number), seconds)
        return {"name": model, "version": number, **measured}

    def _asked(self, observation: Observation, seconds: float = TO_ANSWER) -> dict[str, Any]:
        if not (valid_name(observation.model) and self.repository.was_removed(observation.model)):
            check_model(self.repository, observation.model)
        caller = self.caller()
        owner = None if caller.allows(Scope.ADMIN) else caller.owner
        try:
            return self.ask(replace(observation, owner=owner), seconds)
        except ModelgateError as error:
            raise CommandFailed(error.failure) from error
        except TooManyWaiting as error:
            detail = "too many questions about the prediction log wait already; try again in a moment"
            raise Problem(ProblemCode.TOO_MANY_QUESTIONS, detail, retry_after=1) from error

    def _signatures(self, model: str) -> Iterator[Sequence[str]]:
        """Yield the names in the rows of each version."""
        for version in self.repository.versions(model):
            with suppress(ModelgateError):
                signature = self.repository.manifest(model, version).signature
                yield [*signature.names, *([signature.id_field] if signature.id_field else [])]


def _invalid(detail: str) -> Problem:
    return Problem(ProblemCode.INVALID_PARAMETER, detail)


def columns_of(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rows of a page as columns: those of inputs and probabilities are named `inputs.age` and
    `probabilities.1`."""
    rows = [dict(_cells(item)) for item in items]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _cells(item: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in item.items():
        if name == "model":
            yield from (("model", value["name"]), ("version", value["version"]), ("alias", value["alias"]))
        elif isinstance(value, dict) and name in ("inputs", "probabilities"):
            yield from ((f"{name}.{part}", inner) for part, inner in value.items())
        else:
            yield name, value
