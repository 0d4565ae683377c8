"""`python -m tests.qa.machines.lake_rows`: what it takes to score millions of Parquet rows on one machine: as objects,
by the workers, where Dask has them, and with pandas and the estimator alone. Needs .venv-spark."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import duckdb
import joblib
import obstore
import psutil
from obstore.store import from_url
from sklearn.linear_model import LinearRegression

from tests.qa.machines.__main__ import say
from tests.stacks.gateways import start_site
from tests.stacks.object_store import s3_server
from tests.support import PROJECT, numbers, write_version

PYTHON = str(PROJECT / ".venv-spark" / "bin" / "python")
COLUMNS = ("a", "b", "c", "d")
PANDAS = """
import sys
from pathlib import Path
import joblib, pandas
model = joblib.load(sys.argv[1])
for file in sorted(Path(sys.argv[2]).glob("*.parquet")):
    rows = pandas.read_parquet(file)
    rows.assign(prediction=model.predict(rows)).to_parquet(Path(sys.argv[3]) / file.name)
"""
DASK = """
import sys, dask, dask.dataframe
from modelgate import Client

def score(rows, scorer):
    return rows.assign(prediction=scorer.predict(rows))

if __name__ == "__main__":
    scorer = Client().model("loan").scorer()
    rows = dask.dataframe.read_parquet(sys.argv[2])
    with dask.config.set(scheduler="processes", num_workers=2):
        rows.map_partitions(score, scorer, meta=score(rows._meta, scorer)).to_parquet(sys.argv[3])
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.qa.machines.lake_rows", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--objects", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rows-") as name, ExitStack() as stack:
        folder = Path(name)
        rows = folder / "rows"
        rows.mkdir()
        for number in range(arguments.objects):
            values = ", ".join(f"random() AS {column}" for column in COLUMNS)
            query = f"SELECT {values} FROM range({arguments.rows // arguments.objects})"
            duckdb.sql(f"COPY ({query}) TO '{rows}/{number}.parquet' (FORMAT parquet)")
        sample = duckdb.sql(f"SELECT * FROM '{rows}/0.parquet' LIMIT 1000").df()
        model = LinearRegression().fit(sample, sample.sum(axis=1))
        joblib.dump(model, folder / "model.joblib")
        write_version(folder / "models", "loan", model, numbers(*COLUMNS))
        s3 = stack.enter_context(s3_server(folder))
        bucket = s3.bucket()
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "aws_region": "us-east-1"}
        config = {**keys, "aws_endpoint": f"http://127.0.0.1:{s3.port}"}
        objects = from_url(bucket, config=config, client_options={"allow_http": True})
        for file in rows.iterdir():
            obstore.put(objects, f"rows/{file.name}", file)
        site = stack.enter_context(start_site(folder, folder / "models", spool_dir=folder / "spool", spool_mb=20_000))
        site.cluster.start(spool_dir=folder / "spool", predict_timeout=60).ready()
        environ = {**os.environ, "MODELGATE_URL": site.gateway.address, "STORE_OPTIONS_FILE": str(s3.options())}
        environ["PYTHONPATH"] = str(PROJECT / "client/src")
        where = (f"{bucket}/rows/*.parquet", "-o", f"{bucket}/scored/")
        command = [sys.executable, "-m", "modelgate.command", "predict", "loan", *where]
        told("objects, by the workers", lambda: run(command, environ))
        for kind, script in (("Dask, two processes", DASK), ("pandas, one process", PANDAS)):
            (folder / kind).mkdir()
            file = folder / f"with_{kind.partition(',')[0]}.py"
            file.write_text(script)
            command = [PYTHON, str(file), str(folder / "model.joblib"), str(rows), str(folder / kind)]
            told(kind, lambda command=command: run(command, environ))


def run(command: list[str], environ: dict[str, str]) -> None:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=3600, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout}{done.stderr}")


def told(what: str, work: Callable[[], None]) -> None:
    before, began = used(), time.monotonic()
    work()
    say(f"{what:25} {time.monotonic() - began:6.1f} s, {used() - before:6.1f} s of processors")


def used() -> float:
    """Return the processor seconds of all processes that this one has started, but the store's."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for process in psutil.Process().children(recursive=True):
        if not any("moto" in word for word in process.cmdline()):
            times = process.cpu_times()
            total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
