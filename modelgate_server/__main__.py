"""`python -m modelgate_server launcher` runs a service of Modelgate, or any of its commands, such as `gateway key`."""

from __future__ import annotations

import os
import runpy
import sys

from modelgate_server import HOUSE


def main() -> None:
    """Run the module that the first argument names, and have the processes that it starts find the rooms, too.

    What lies in the current folder is never imported: a user's `worker.py` there is none of ours.
    """
    if len(sys.argv) < 2:
        sys.exit(
            "modelgate: name a service: python -m modelgate_server gateway|worker|trainer|observer|events|launcher"
        )
    module = sys.argv.pop(1)
    before = os.environ.get("PYTHONPATH")
    os.environ |= {"PYTHONPATH": f"{HOUSE}{os.pathsep}{before}" if before else str(HOUSE), "PYTHONSAFEPATH": "1"}
    sys.path[:1] = [str(HOUSE)]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
