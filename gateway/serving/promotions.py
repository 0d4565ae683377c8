"""Protected models: a second person is asked, and decides. The trainer checks who may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from contract.model.model_settings import PROTECTED, ModelSettings
from contract.model.promotions import Person, PromotionEnding
from contract.model.repository import Repository
from contract.work.api_keys import Key
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.problems import Problem, ProblemCode
from gateway.serving.model_versions import ModelChanges, settings_of


def person_of(key: Key) -> Person:
    return Person(key.owner, key.owner, key.id)


def asker(repository: Repository, model: str, key: Key) -> Mapping[str, str] | None:
    """Return who asks for the promotion that an import may need; None for a model that is not protected."""
    repository.aliases(model)
    return asdict(person_of(key)) if repository.settings(model).protected else None


@dataclass(frozen=True)
class Promotions:
    """The requests about models that the caller may use. Methods raise `Problem` without such a model, and as
    `ModelChanges.run`."""

    changes: ModelChanges
    caller: Callable[[], Key]

    def settings(self, model: str) -> ModelSettings:
        """Return the settings of a model, with its requests."""
        return settings_of(self.changes.repository, model)

    def change_settings(self, model: str, edits: Mapping[str, bool]) -> dict[str, Any]:
        """Change settings, and return the state of the model. Without a key, nobody can protect a model, because nobody
        is a second person then: raises `Problem`."""
        if edits.get(PROTECTED) and not self.caller().id:
            first, second = (f"modelgate keys create {name} --scope" for name in ("ann", "ben"))
            how = f"{first} admin; {second} read,approve; then send this with the key of ann"
            raise Problem(ProblemCode.SECOND_PERSON_NEEDED, f"a protected model needs two people with keys: {how}")
        return self.changes.run(RepositoryCommand(RepositoryAction.CHANGE_SETTINGS, model, edits=edits))

    def ask(self, model: str, version: int | None, note: str = "") -> dict[str, Any]:
        """Ask to promote a version, or without one to unprotect the model, and return the request as JSON."""
        return self._run(RepositoryAction.ASK_PROMOTION, model, version=version, promotion={"note": note})

    def approve(self, model: str, id: str, force: bool = False, before: int | None = None) -> dict[str, Any]:  # noqa: A002
        """Do what a request asks for, and return the state of the model, with the request."""
        wanted = {"id": id}
        return self._run(RepositoryAction.APPROVE_PROMOTION, model, promotion=wanted, force=force, before=before)

    def end(self, model: str, id: str, ending: PromotionEnding) -> dict[str, Any]:  # noqa: A002
        """Reject or withdraw a request, and return it as JSON."""
        return self._run(RepositoryAction.END_PROMOTION, model, promotion={"id": id, "ending": ending})

    def _run(self, action: RepositoryAction, model: str, **options: Any) -> dict[str, Any]:
        person = asdict(person_of(self.caller()))
        return self.changes.run(RepositoryCommand(action, model, person=person, **options))
