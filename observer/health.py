"""What is found about versions, in sentences, for all services (`broker.state.boards`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from broker.state.boards import HealthBoard
from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.model_health import HealthState, ModelHealth, joined
from contract.model.repository import RepositoryWithRemoved
from contract.wording import number, percent
from observer.drift.alarm import Alarm
from observer.drift.sizes import MINIMA
from observer.log.states import VersionKey
from observer.log.store import LogStore
from observer.quality import QualityWatch
from observer.refusals import RefusalWatches
from observer.refused import RefusedField
from observer.watch import Watch


@dataclass(frozen=True)
class HealthReports:
    """Says what has been found. Methods raise OSError and `redis.exceptions.RedisError`."""

    board: HealthBoard
    store: LogStore
    repository: RepositoryWithRemoved
    watch: Watch
    quality: QualityWatch
    refusals: RefusalWatches

    def publish(self) -> None:
        """Say what has changed since the last time. What fails is said the next time."""
        with self.store.lock:
            if not self.refusals.looked:
                self.refusals.look()
            changed = sorted(self.watch.changed | self.quality.changed | self.refusals.changed)
            said = self.board.read() if changed else {}
            for key in changed:
                for part in self._parts:  # first: other threads add what they find meanwhile
                    part.changed.discard(key)
                try:
                    self._say(key, said)
                except Exception:
                    self.watch.changed.add(key)
                    raise

    def remove_old(self) -> None:
        """Forget versions that were deleted, and models of which there is nothing any more."""
        with self.store.lock:
            logged = {partition.model for partition in self.store.partitions()}
            for part in self._parts:
                for key in part.states.versions():
                    model, version = key
                    versions = self.repository.versions(model)
                    if version not in versions and (versions or model not in logged):
                        part.remove(key)

    def summary(self, manifest: ModelManifest) -> dict[str, Any]:
        """Return the `state` of a version, the `findings` about it, and when it was found to be worse (`degraded`)."""
        key = manifest.name, manifest.version
        health = self._health(key) or ModelHealth(HealthState.OK, (), "")
        refused = [{**asdict(one), "since": one.since.isoformat()} for one in self.refusals.of(key)]
        degraded = self.quality.of(key).history
        return {"state": health.state, "findings": health.findings, "degraded": degraded, "refused": refused}

    def _say(self, key: VersionKey, said: Mapping[str, ModelHealth]) -> None:
        version = "{}@{}".format(*key)
        try:
            health = self._health(key)
        except ModelgateError:
            if any(part.states.read(key) for part in self._parts):
                self.watch.changed.add(key)  # the repository is away, or `remove_old` comes
                return
            health = None
        if said.get(version) != health:
            self.board.say(version, health)

    @property
    def _parts(self) -> tuple[Watch, QualityWatch, RefusalWatches]:
        return self.watch, self.quality, self.refusals

    def _health(self, key: VersionKey) -> ModelHealth | None:
        """Return what there is to say about a version. None: nothing was ever found. Raises `ModelgateError` if it is
        deleted, or cannot be read now."""
        manifest = self.repository.manifest(*key)
        alarms, alarmed = self.watch.alarms(manifest)
        looked, refused = self.quality.of(key), self.refusals.of(key)
        times = [
            looked.changed_at,
            *(ended or began for began, ended in alarmed),
            *(one.since.isoformat() for one in refused),
        ]
        if not any(times):
            return None
        moved = [sentence(alarm, "at training" if manifest.profile else "at first") for alarm in alarms]
        findings = [*filter(None, [looked.finding]), *moved, *map(_sentence_of_refused, refused)]
        state = HealthState.DEGRADED if looked.finding else HealthState.DRIFTED if findings else HealthState.OK
        worse = [(one["raised"], one["ended"]) for one in looked.history]
        spells = [*joined(HealthState.DRIFTED, alarmed), *joined(HealthState.DEGRADED, worse)]
        return ModelHealth(state, tuple(findings), max(times), tuple(spells))


def _sentence_of_refused(one: RefusedField) -> str:
    field, owner = one.field or "names that it does not have", f" of {one.owner}" if one.owner else ""
    since = f"since {one.since:%Y-%m-%d %H:%M} UTC"
    return f"{field}: {one.requests:,} requests{owner} were refused for it within an hour, {since}"


def sentence(alarm: Alarm, before: str) -> str:
    """Return in a few words what has moved: from what `before` to what, and since when."""
    column = "its answers" if alarm.is_output else alarm.column
    since = f"since {alarm.since.at:%Y-%m-%d %H:%M} UTC"
    if abs(alarm.sizes.nulls) >= MINIMA.nulls:
        return f"{column}: {percent(alarm.training[-1])} nulls {before}, {percent(alarm.stream[-1])} {since}"
    if alarm.before and alarm.after and alarm.before.median != alarm.after.median:
        return f"{column}: median {number(alarm.before.median)} {before}, {number(alarm.after.median)} {since}"
    shares = zip(alarm.labels, alarm.training, alarm.stream, strict=True)
    label, was, now = max(shares, key=lambda share: abs(share[2] - share[1]))
    return f"{column}: {label} in {percent(was)} of the rows {before}, in {percent(now)} {since}"
