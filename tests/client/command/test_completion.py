"""The completion of the command, in a real shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import PROJECT


def test_the_shell_completes_a_verb(tmp_path: Path) -> None:
    command = tmp_path / "modelgate"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m modelgate.command "$@"\n')
    command.chmod(0o755)
    script = """
        eval "$(modelgate --show-completion bash)" && complete -p modelgate
        COMP_WORDS=(modelgate rollb) COMP_CWORD=1
        _modelgate_completion modelgate && echo "${COMPREPLY[@]}"
    """
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT / "client/src"),
        "HOME": str(tmp_path),
    }
    ended = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.splitlines() == ["complete -o default -F _modelgate_completion modelgate", "rollback"], ended
