"""A replay beside an old release of scikit-learn: equal there, different elsewhere, and impossible if it is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from modelgate import Client

from contract.model.environments import TODAY
from contract.model.model_settings import LOGGING, Logging
from storage.models.repository_writer import RepositoryWriter
from tests.client.command.conftest import Modelgate
from tests.flow.old_releases import OLD, Old, answer_of, old_site, write
from tests.stacks.observer_process import ObserverProcess
from tests.support import DEADLINE, until
from trainer.publishing.aliases import change_settings, delete_version


def publish_again(old: Old, environment: str) -> None:
    """Have version 2 answer in another environment, and a gateway that has not seen it before."""
    shutil.rmtree(old.cluster.models / "quick" / "versions" / "2")
    write(old.cluster.models, 2, environment)
    old.site.gateway.stop()
    old.site.gateway.start()


@pytest.mark.slow
def test_a_replay_says_what_differs_in_another_environment_and_which_version_is_gone(
    tmp_path: Path, modelgate: Modelgate
) -> None:
    with old_site(tmp_path) as old:
        models, address = RepositoryWriter(old.cluster.models), old.site.gateway.address
        observer = ObserverProcess(old.cluster.url, old.cluster.models, old.site.server.folder, tmp_path / "observer")
        observer.start()

        def replayed(*which: object) -> tuple[list[str], str]:
            """Return what is said of the row of version 2 and that of version 1, and the last line."""
            ended = modelgate("replay", "quick", *which, MODELGATE_URL=address)
            assert ended.code == (1 if ended.err else 0)
            return [line.partition(" version ")[2] for line in ended.out.splitlines()], ended.err

        try:
            change_settings(models, "quick", {LOGGING: Logging(1).to_json()})
            with Client(address) as client:
                for version in (1, 2):
                    client.model(f"quick@{version}").predict([[3.0]])
            change_settings(models, "quick", {LOGGING: Logging(0).to_json()})
            assert replayed() == (["2: equal to the bit", "1: equal to the bit"], "")

            publish_again(old, TODAY)
            there, here = answer_of(3.0, 2), answer_of(3.0, 2, TODAY)
            differs = f"2: differs: prediction: {there} was answered, and {here} is"
            assert replayed() == (
                [differs, "1: equal to the bit"],
                "modelgate: 1 of 2 rows differs or cannot be replayed\n",
            )
            assert replayed("--limit", 1)[1] == "modelgate: 1 of 1 row differs or cannot be replayed\n"

            publish_again(old, OLD)
            old.worker.process.terminate()
            old.worker.process.wait(DEADLINE)
            old.cluster.start("today").ready()
            until(lambda: not old.served(), "no worker serves the environment")
            (unserved, equal), _ = replayed()
            assert unserved.startswith(
                "2: cannot be replayed, because version 2 of the model 'quick' cannot be used now"
            )
            assert equal == "1: equal to the bit"

            delete_version(models, "quick", 2)
            gone = "2: cannot be replayed, because version 2 is removed"
            assert replayed()[0] == [gone, "1: equal to the bit"]
        finally:
            observer.stop()
