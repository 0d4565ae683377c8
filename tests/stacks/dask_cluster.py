"""A Dask cluster with TLS whose workers have the libraries, and nothing of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.client.certificates import with_own_certificate
from tests.stacks.ports import free_port
from tests.support import until

_WARM = ("--no-dashboard", "--preload", "sklearn.linear_model", "--preload", "sklearn.ensemble")
"""On a busy machine the first import takes longer than the fits."""


@dataclass
class DaskCluster:
    """A scheduler and workers of one thread each; `packages` is a folder with Dask."""

    folder: Path
    packages: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    scheduler: subprocess.Popen[bytes] = field(init=False)
    port: int = field(default_factory=free_port)

    @property
    def address(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """The file with the key and the certificate of all, which is signed by itself."""
        return self.folder / "certificate.pem"

    @property
    def client_settings(self) -> dict[str, str]:
        """The variables with which a trainer uses the cluster."""
        return {
            "TRAIN_CLUSTER": self.address,
            "PYTHONPATH": str(self.packages),
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(self.certificate),
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": str(self.certificate),
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": str(self.certificate),
        }

    def __enter__(self) -> Self:
        with_own_certificate(self.certificate)
        listen = ("--protocol", "tls", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        self.scheduler = self._start("scheduler", *listen)
        self.add_worker()
        self.add_worker()
        return self

    def add_worker(self) -> None:
        number = len(self.workers)
        self.workers.append(self._start(f"worker {number}", self.address, "--nthreads", "1", "--no-nanny", *_WARM))
        log = self.folder / f"worker {number}.log"
        until(lambda: "Registered to" in log.read_text(), f"worker {number} is part of the cluster")

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        part, libraries = name.split()[0], sysconfig.get_path("purelib")
        files = {
            f"DASK_DISTRIBUTED__COMM__TLS__{part.upper()}__CERT": str(self.certificate),
            f"DASK_DISTRIBUTED__COMM__TLS__{part.upper()}__KEY": str(self.certificate),
        }
        with (self.folder / f"{name}.log").open("wb") as log:
            # -S: without the .pth that names this checkout.
            return subprocess.Popen(
                [sys.executable, "-S", "-P", "-m", f"distributed.cli.dask_{part}", *arguments],
                cwd=self.folder,
                env={
                    **os.environ,
                    **self.client_settings,
                    **files,
                    "PYTHONPATH": f"{self.packages}:{libraries}",
                    "OMP_NUM_THREADS": "1",
                },
                stdout=log,
                stderr=log,
            )

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
