"""What the processes have in common that the trainer starts to fit, to load and to try a model."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
"""Where `python -m` finds the code. Not for what reads the settings: their paths are relative to where that started."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""In the environment before numpy is imported: such a process shares the machine with what serves."""
