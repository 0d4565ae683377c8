"""Who may import whom, and what the gateway's environment holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.support import PROJECT

OURS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
FORBIDDEN = ["numpy", "pandas", "sklearn", "joblib", "cloudpickle", "scipy"]


def test_the_import_contracts_are_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([linter, "--no-cache"], cwd=PROJECT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.slow
def test_the_gateway_runs_in_an_environment_that_holds_only_its_own_group(tmp_path: Path) -> None:
    venv.create(tmp_path, with_pip=True)
    python = tmp_path / "bin" / "python"
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    subprocess.run([python, *install, "-r", PROJECT / "requirements" / "gateway.txt"], check=True)
    program = f"""
import importlib.util
from contract.settings import Settings
from gateway.server.wsgi import application
import gunicorn, gevent
print([name for name in {FORBIDDEN} if importlib.util.find_spec(name)])
print(application().test_client().get("/health/live").status_code)
"""
    environment = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1", "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run([python, "-c", program], env=environment, capture_output=True, text=True)
    assert ended.stdout.split("\n")[:2] == ["[]", "200"], ended.stderr


def test_processes_of_the_trainer_that_load_no_model_do_not_import_scikit_learn() -> None:
    """It takes over a second and a hundred megabytes, which each of them would have."""
    imports = "import sys, trainer.__main__, trainer.importing.inbox.inbox, trainer.jobs.runner, trainer.jobs.scheduler"
    code = f"{imports}; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("service", ["worker", "trainer"])
def test_an_image_holds_the_packages_that_its_service_imports(service: str, tmp_path: Path) -> None:
    """Without Docker: what the Dockerfile copies is copied here."""
    sent = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY ([\w/]+) ([\w.]+)$", (PROJECT / service / "Dockerfile").read_text(), re.M)
    assert {source for source, _ in copied} <= sent
    for source, target in copied:
        shutil.copytree(PROJECT / source, tmp_path / target, dirs_exist_ok=True)
    modules = {"worker": "worker.scorer, worker.template", "trainer": "trainer.__main__, trainer.training.fitting"}
    code = f"import sys, {modules[service]}; print(sys.modules['modelgate_kernels'].__file__)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout.startswith(str(tmp_path)), ended.stderr


@pytest.mark.parametrize("package", [*OURS, "modelgate"])
def test_modules_import_each_other_in_no_circle(package: str) -> None:
    graph = grimp.build_graph(package, cache_dir=None)
    imported = {module: graph.find_modules_directly_imported_by(module) - {module} for module in graph.modules}
    TopologicalSorter(imported).prepare()  # raises CycleError, which names a circle


def test_only_the_reader_and_the_writer_of_the_model_repository_know_where_its_files_are() -> None:
    """So that a mirror of an object store can stand behind these two."""
    knowing = [
        "contract/model/repository.py",
        "contract/model/version_files.py",
        *(f"storage/models/{name}.py" for name in ("bucket", "heads", "mirrored", "repository_writer")),
    ]
    rooms = (
        "broker",
        "contract",
        "events",
        "gateway",
        "launcher",
        "mirror",
        "observer",
        "runtime",
        "scoring",
        "storage",
        "trainer",
        "worker",
    )
    layout = re.compile(
        r"\b(ALIASES_FILE|VERSIONS_DIR|SETTINGS_FILE|MANIFEST_FILE|SIGNATURE_FILE|REPORT_DIR|REMOVED|STAGING)\b"
        r"|\.removed/|\.staging/|aliases\.json|settings\.json|manifest\.json"
        r"|(models_dir|repository\.root|files\.folder) /"
    )
    inside = {
        str(path.relative_to(PROJECT))
        for room in rooms
        for path in (PROJECT / room).rglob("*.py")
        if layout.search(path.read_text())
    }
    assert inside - set(knowing) == {"trainer/importing/inbox/inbox.py"}, "the inbox is a folder of this machine"
