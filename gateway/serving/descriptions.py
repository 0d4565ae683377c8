"""What people say of a model: its description, its owner and its tags, with the history of their edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.model.about import ABOUT, About, AboutEdit
from contract.work.api_keys import Key
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.serving.model_versions import ModelChanges, check_model, settings_of


@dataclass(frozen=True)
class Descriptions:
    """Methods raise `Problem` without such a model that the caller may use."""

    changes: ModelChanges
    caller: Callable[[], Key]

    def about(self, model: str) -> About:
        return settings_of(self.changes.repository, model).about

    def history(self, model: str) -> Sequence[AboutEdit]:
        """Return the edits, the newest first. Raises OSError."""
        check_model(self.changes.repository, model)
        return self.changes.repository.about_history(model)

    def edit(self, model: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Change these members of what is said; the others stay. Raises as `ModelChanges.run`."""
        edits, by = {ABOUT: dict(members)}, self.caller().name
        return self.changes.run(RepositoryCommand(RepositoryAction.CHANGE_SETTINGS, model, edits=edits, by=by))
