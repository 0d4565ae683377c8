"""A job of a version that this machine's mirror has not fetched goes to another worker, or waits."""

from __future__ import annotations

import shutil
from pathlib import Path

from broker.sides.gateway.job_client import Jobs
from contract.model.repository import Repository
from storage.models.mirror_notes import MirrorNotes
from tests.support import Clock, Sum, numbers, write_version
from tests.worker.conftest import MakeScorer, drain, job, read
from worker.awaited import LOOK_AGAIN, AwaitedVersions


def test_only_versions_younger_than_the_mirrors_last_note_are_awaited(models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a"), version=2)
    clock = Clock()
    awaited = AwaitedVersions(Repository(models), mirrored=True, clock=clock)
    assert awaited.awaits("sum", 1), "nothing is known of the model yet"
    MirrorNotes(models).set_head("sum", ("tag", None), 3)
    assert [version for version in range(1, 6) if awaited.awaits("sum", version)] == [4, 5]
    assert awaited.models() == {"sum"}
    clock.now += LOOK_AGAIN
    assert awaited.models() == frozenset()
    assert not AwaitedVersions(Repository(models), mirrored=False).awaits("sum", 9)


def test_awaited_jobs_go_back_to_their_place_and_are_answered_where_the_version_is(
    make_scorer: MakeScorer, models: Path, tmp_path: Path, jobs: Jobs
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    shutil.copytree(models, tmp_path / "behind")
    MirrorNotes(tmp_path / "behind").set_head("sum", ("tag", None), 1)
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    awaited = AwaitedVersions(Repository(tmp_path / "behind"), mirrored=True)
    for name in ("x", "y", "z"):
        jobs.submit([job(name, version=2)])
    behind = make_scorer("w-0-a", awaits=awaited.awaits)
    assert behind.step() and read(jobs, "x").status == "queued"
    assert awaited.models() == {"sum"}
    assert drain(make_scorer("w-1-a"))
    ended = [read(jobs, name) for name in ("x", "y", "z")]
    assert [end.status for end in ended] == ["succeeded"] * 3
    assert ended[0].output and ended[0].output["predictions"] == [3.0]
    times = [end.started_at for end in ended]
    assert times == sorted(times), "in their order"
