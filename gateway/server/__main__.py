"""`python -m gateway.server` is gunicorn, which imports nothing from the current folder before our own modules."""

import sys
from pathlib import Path

from gunicorn.app.wsgiapp import run

# Gunicorn puts this folder before all others unless it is in the list: a user's `contract.py` there is not ours.
sys.path.append(str(Path.cwd()))
run(prog="gunicorn")
