"""The way out of an old release: a version's artifact is asked in newer environments, and published in one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from contract.errors import Code
from contract.model.environments import SUPPORT_ENDED, TODAY
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.row import Row
from contract.settings import Settings
from contract.wording import counted, shown
from runtime.environments import Environments
from scoring.trust import Trust
from trainer.forks import Forks
from trainer.importing.edits.signature_edits import publish_again
from trainer.importing.inbox.imports import RECIPE
from trainer.publishing.asking import Answered, NotAnswered, ask

if TYPE_CHECKING:
    from scoring.predict import Prediction  # it brings numpy, which the trainer's long-lived processes do not need


class Outcome(StrEnum):
    """What the artifact answers in another environment."""

    IDENTICAL = "identical"
    DIFFERS = "differs"
    DOES_NOT_ANSWER = "does_not_answer"


@dataclass(frozen=True)
class Trial:
    """How the artifact fares in `environment`, in which `different` rows get other answers. `detail` is a sentence."""

    environment: str
    outcome: Outcome
    detail: str
    different: int = 0
    libraries: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        entries = {"environment": self.environment or None, "outcome": self.outcome, "detail": self.detail}
        return {**entries, "different": self.different, "scikit_learn": self.libraries.get("scikit-learn")}


@dataclass(frozen=True)
class Migration:
    """A version that is tried on `rows` (without any: its golden rows) in newer environments of this machine."""

    settings: Settings
    manifest: ModelManifest
    forks: Forks
    rows: Sequence[Row] = ()

    @property
    def tried_rows(self) -> Sequence[Row]:
        return self.rows or self.manifest.golden.rows

    def newer(self) -> list[str]:
        """Return the environments of newer releases that are here, oldest first; today's is the last."""
        order, here = list(SUPPORT_ENDED), Environments(self.settings.environments_dir).names()
        home = self.manifest.environment
        start = order.index(home) + 1 if home in order else len(order)
        return [*(name for name in order[start:] if name in here), *([TODAY] if home != TODAY else [])]

    def trials(self, names: Sequence[str]) -> list[Trial]:
        """Try the version in each of these. Raises `ModelgateError` if it does not answer at home."""
        try:
            wanted = self._asked(self.manifest.environment).prediction
        except NotAnswered as error:
            raise self.manifest.error(Code.NOT_PUBLISHED, f"does not answer where it lives: {error}") from None
        return [self._trial(name, wanted) for name in names]

    def publish(self, trial: Trial, *, accept_differences: bool) -> ModelManifest:
        """Publish the version again where it was tried. Raises `ModelgateError` (`not_published`)."""
        accepted = trial.outcome is Outcome.DIFFERS and accept_differences
        if trial.outcome is not Outcome.IDENTICAL and not accepted:
            raise self.manifest.error(Code.NOT_PUBLISHED, f"cannot live there: it {trial.detail}; {self.other_way}")
        return publish_again(self.settings, self.manifest, trial.environment, trial.libraries)

    @property
    def other_way(self) -> str:
        """What to do where no newer environment gives the same answers."""
        if self.manifest.recipe == RECIPE:
            return "fit it again where it was made, and publish it"
        return f"train it again: modelgate train {self.manifest.name} --recipe {self.manifest.recipe}"

    def _trial(self, name: str, wanted: Prediction) -> Trial:
        try:
            answered = self._asked(name)
        except NotAnswered as error:
            return Trial(name, Outcome.DOES_NOT_ANSWER, f"does not answer: {error}")
        other = _different_rows(wanted, answered.prediction)
        rows = counted(len(self.tried_rows), "row")
        if not other:
            detail = f"answers {rows} identically"
            return Trial(name, Outcome.IDENTICAL, detail, libraries=answered.libraries)
        before, now = (shown(prediction.values[other[0]]) for prediction in (wanted, answered.prediction))
        what = f"{now} instead of {before}" if now != before else "other probabilities or scores"
        detail = f"differs on {len(other)} of {rows}: row {other[0] + 1} gets {what}"
        return Trial(name, Outcome.DIFFERS, detail, len(other), answered.libraries)

    def _asked(self, environment: str) -> Answered:
        settings, manifest = self.settings, self.manifest
        files = Repository(settings.models_dir).files(manifest.name, manifest.version)
        forks = self.forks.of(Environments(settings.environments_dir), environment)
        return ask(files, self.tried_rows, Trust.from_settings(settings), forks)


def _different_rows(wanted: Prediction, answered: Prediction) -> list[int]:
    """Return the rows whose answers are not equal to the last bit."""
    old_and_new = [(getattr(wanted, name), getattr(answered, name)) for name in ("values", "probabilities", "scores")]
    parts: list[tuple[Any, Any]] = [(old, new) for old, new in old_and_new if old is not None and new is not None]
    return [row for row in range(len(wanted.values)) if any(old[row] != new[row] for old, new in parts)]
