"""Tests. A package, because an installed one has that name too."""

import os

# Threads of OpenMP and OpenBLAS spin while they wait, which takes the processors from the tests that run beside.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
