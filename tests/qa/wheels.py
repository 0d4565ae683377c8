"""`make wheels-test`: the wheels in empty environments, with the newest and the lowest versions of what they ask for.

Each environment answers the README's first request, under each Python that is here; then the client alone asks from
beside each pandas that its users have. Apart from CI, which must not fail because of what others release.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.release import VERSION
from tests.stacks.ports import free_port
from tests.stacks.wheels import build_wheels, metadata_of
from tests.support import PROJECT, until

PYTHONS, RESOLUTIONS = ("3.11", "3.12", "3.13", "3.14"), ("highest", "lowest-direct")
PANDAS = (("1.5.3", "numpy<2"), ("2.0.3", "numpy<2"), ("2.3.3", "numpy"), ("3.0.0", "numpy"))
SHOWN = ("numpy", "pandas", "scikit-learn", "flask", "gunicorn", "redis", "rq", "typer")
(REQUEST,) = re.findall(r"^\$ (curl .*iris/predict.*wait=5.*)$", (PROJECT / "README.md").read_text(), re.MULTILINE)
ASK = """
import pandas
from modelgate import Client
X = pandas.DataFrame([[5.1, 3.5, 1.4, 0.2], [5.9, 3.0, 5.1, 1.8]], index=[7, 8],
                     columns=["sepal_length", "sepal_width", "petal_length", "petal_width"])
iris = Client().model("iris")
assert iris.predict(X).tolist() == [0, 2]
job = iris.submit(X)
assert job.wait().rows == 2
frame = pandas.DataFrame({"x": [1.0, None, 3.0], "c": ["a", "b", None], "n": pandas.array([1, None, 3], dtype="Int64")})
from modelgate.publishing import nulls_of, sample_of
print(pandas.__version__, nulls_of(frame), len(sample_of(frame).splitlines()))
"""


def main() -> int:
    failed = 0
    with TemporaryDirectory(prefix="wheels-") as name:
        folder = Path(name)
        dist = folder / "dist"
        build_wheels(dist)
        for python in PYTHONS:
            if (interpreter := _interpreter(python)) is None:
                _say(f"Python {python}: not here")
                continue
            for resolution in RESOLUTIONS:
                failed += not _reported(f"Python {python}, {resolution}", folder, dist, interpreter, resolution)
    return 1 if failed else 0


def _interpreter(version: str) -> str | None:
    """Return the path of a Python that runs: a shim of pyenv may be on PATH without one behind it."""
    named = f"python{version}"
    for path in (shutil.which(named), *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{named}"))):
        if path and subprocess.run([path, "-V"], capture_output=True).returncode == 0:
            return str(path)
    return None


def _reported(title: str, folder: Path, dist: Path, python: str, resolution: str) -> bool:
    """Try one environment and print how that ended; return whether all went well."""
    try:
        began = time.monotonic()
        home = folder / title.replace(", ", "-")
        packages = [f"modelgate=={VERSION}", *(_asked(dist) if resolution == "lowest-direct" else [])]
        environment = _environment(home, dist, python, packages, resolution)
        installed = time.monotonic()
        with _serving(environment, home) as url:
            answer = _run("sh", "-c", REQUEST.replace("http://127.0.0.1:8080", url))
            assert '"predictions":[0]' in answer, answer
            answered = time.monotonic()
            if title == f"Python {PYTHONS[0]}, {RESOLUTIONS[0]}":
                for pandas, numpy in PANDAS:  # wheels of old pandas do not say that they need an old numpy
                    packages = ["modelgate-client", f"pandas=={pandas}", numpy]
                    client = _environment(home / pandas, dist, python, packages)
                    _say(f"  client beside pandas {_run(client / 'python', '-c', ASK, MODELGATE_URL=url).strip()}")
    except (AssertionError, subprocess.SubprocessError) as error:
        _say(f"{title}: FAILED: {getattr(error, 'stderr', None) or error}")
        return False
    seconds = f"installed in {installed - began:.0f} s, answered after {answered - installed:.0f} s more"
    _say(f"{title}: {seconds}; {_versions(environment)}")
    return True


def _asked(dist: Path) -> list[str]:
    """Return what the wheels ask for besides each other: the packages whose lowest versions count."""
    return [
        line
        for metadata in metadata_of(sorted(dist.glob("*.whl"))).values()
        for line in metadata.get_all("Requires-Dist") or ()
        if "extra ==" not in line and not line.startswith("modelgate")
    ]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _environment(folder: Path, dist: Path, python: str, packages: list[str], resolution: str = RESOLUTIONS[0]) -> Path:
    """Make an environment with these packages; return its `bin`."""
    _uv("venv", "--quiet", "--python", python, folder / "venv")
    options = ("--resolution", resolution, "--find-links", dist, "--only-binary", ":all:")
    _uv("pip", "install", "--quiet", "--python", folder / "venv/bin/python", *options, *packages)
    return folder / "venv" / "bin"


@contextmanager
def _serving(environment: Path, home: Path) -> Iterator[str]:
    """Start a server with the model iris; yields its address."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    modelgate = environment / "modelgate"
    _run(modelgate, "up", home, "--detach", "--port", str(port), TRAIN_ON_START="iris")
    try:
        until(lambda: "iris" in _run(modelgate, "models", "--url", url), "the model iris")
        yield url
    finally:
        _run(modelgate, "down", home)


def _versions(environment: Path) -> str:
    lines = _uv("pip", "list", "--python", environment / "python", "--format", "freeze").splitlines()
    return ", ".join(line.replace("==", " ") for line in lines if line.partition("==")[0] in SHOWN)


def _uv(*arguments: str | Path) -> str:
    return _run(sys.executable, "-m", "uv", *arguments)


def _run(*command: str | Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MODELGATE_")}
    ended = subprocess.run(
        command, env={**inherited, **environment}, cwd="/", check=True, capture_output=True, text=True, timeout=900
    )
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
