"""Chooses the environment in which a file is examined and its version will live, and makes it where that is allowed."""

from __future__ import annotations

import dataclasses
import logging
import platform
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from contract.model.environments import SUPPORT_ENDED, TODAY, environment_of, how_to_make
from contract.settings import Settings
from runtime.environments import Environment, Environments
from trainer.forks import Forks
from trainer.importing import LivesElsewhere, Refused
from trainer.importing.files.formats import holds_code
from trainer.importing.import_process import FILE, ImportResult, ImportTask, examine_in_process

log = logging.getLogger("trainer")

_MAKE_TIMEOUT = 300
"""Most seconds for making an environment."""

_MAKER = "modelgate_server"


@dataclass(frozen=True)
class Homes:
    """The environments of this machine. `auto`: those of older releases are made when a file needs one."""

    environments: Environments
    auto: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(Environments(settings.environments_dir), settings.environments == "auto")

    def examine(
        self, folder: Path, task: ImportTask, forks: Forks, made_with: Mapping[str, str], wanted: str | None
    ) -> tuple[ImportResult, str, Forks]:
        """Examine the file in `folder`, and return the result, its environment and the forks of that.

        That is `wanted`, if it is given; else the environment of the release with which the file was made, if that can
        be had here; else today's. `made_with`: the versions that the sender names. Raises as `examine_in_process`.
        """
        known = () if wanted == TODAY else self._known()
        name = wanted or environment_of(made_with.get("scikit-learn", ""))
        if name not in known and not wanted:
            _check_python(folder / FILE, made_with, platform.python_version())
            try:
                referring = dataclasses.replace(task, elsewhere=sorted(known))
                return examine_in_process(folder, referring, forks), TODAY, forks
            except LivesElsewhere as found:
                name = found.environment
        if name is None or name not in known:  # an artifact's process may have answered anything
            raise Refused(f"cannot live in the environment {name!r}, which is not here; {how_to_make(str(name))}")
        if (environment := self.environments.find(name) or self._made(name)) is None:
            raise Refused(f"needs the environment {name!r}, which is gone; {how_to_make(name)}")
        _check_python(folder / FILE, made_with, environment.python)
        there = forks.of(self.environments, name)
        return examine_in_process(folder, task, there), name, there

    def _known(self) -> Collection[str]:
        """Return the environments that are here or may be made."""
        return {*self.environments.names(), *(SUPPORT_ENDED if self.auto else ())}

    def _made(self, name: str) -> Environment | None:
        """Make an environment, log the steps, and return it. Raises `Refused`."""
        if find_spec(_MAKER) is None:  # an image has a part of the server
            raise Refused(
                f"needs the environment {name!r}, which a trainer in a container cannot make; {how_to_make(name)}"
            )
        command = [sys.executable, "-m", _MAKER, "launcher.environments", "make", name, "--plain"]
        last = "it takes too long"
        with subprocess.Popen(  # noqa: S603
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            timer = threading.Timer(_MAKE_TIMEOUT, process.kill)
            timer.start()
            for line in process.stdout or ():
                last = line.strip()
                log.info("%s", last)
            timer.cancel()
        if process.returncode:
            raise Refused(f"needs the environment {name!r}, which cannot be made: {last}")
        return self.environments.find(name)


def _check_python(file: Path, made_with: Mapping[str, str], here: str) -> None:
    """Raise `Refused` for byte code of another minor version of Python than `here`, which may end the process that runs
    it."""
    made = made_with.get("python", "")
    if made and made.split(".")[:2] != here.split(".")[:2] and holds_code(file.read_bytes()):
        raise Refused(
            f"holds code of Python {made}, and Modelgate runs {here}, which may not run it; publish it from Python"
            f" {'.'.join(here.split('.')[:2])}, or send the classes as a module (code) beside a plain pickle"
        )
