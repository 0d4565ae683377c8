"""Runs in an image with Python and the wheels, and nothing else: five pickles, one command, and what it leaves behind.

Prints how long the first answer took, and fails if an answer differs from the estimator's.
"""

from __future__ import annotations

import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import numpy as np
from modelgate import Client
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

TEXTS = ["win money now", "cheap pills", "hello friend", "see you tomorrow"] * 5


class Own(LogisticRegression):
    """An estimator that no package has."""


def processes() -> set[str]:
    """Return the programs that run, but for the first and this one."""
    folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    names = {folder.name: folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode() for folder in folders}
    return {name for name in names.values() if name and "in_an_empty_image" not in name}


def main() -> None:
    X, y = load_iris(return_X_y=True, as_frame=True)
    table = LogisticRegression(max_iter=1000).fit(X, y)
    text = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, [1, 1, 0, 0] * 5)
    several = RandomForestRegressor(5, random_state=0).fit(X, np.c_[y, y * 2])
    own = Own(max_iter=1000).fit(X, y)  # of this script, so cloudpickle writes its code into the file
    for name, model in {"table": table, "text": text, "several": several, "own": own}.items():
        Path(f"{name}.pkl").write_bytes(cloudpickle.dumps(model))
    Path("bad.pkl").write_bytes(pickle.dumps(table)[:-10])
    before, files = processes(), set(Path("/tmp").iterdir())

    began = time.monotonic()
    command = ["modelgate", "serve", "table.pkl", "text.pkl", "several.pkl", "own.pkl", "bad.pkl"]
    serve = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    assert serve.stdout
    for line in serve.stdout:
        said += line
        if line.strip().endswith("/docs"):
            break
    mg = Client(re.findall(r"http://[\w.:]+", said)[0])
    assert (mg.model("table").predict(X) == table.predict(X)).all()
    seconds = time.monotonic() - began
    assert (mg.model("table").predict_proba(X) == table.predict_proba(X)).all()
    assert (mg.model("text").predict(TEXTS) == text.predict(TEXTS)).all()
    assert (mg.model("several").predict(X) == several.predict(X)).all()
    assert (mg.model("own").predict_proba(X) == own.predict_proba(X)).all()
    assert "bad.pkl" in said, said
    serve.send_signal(signal.SIGINT)
    assert serve.wait(60) == 0, said
    sys.stdout.write(f"{said}answered after {seconds:.1f} s\n")
    assert processes() == before, processes() - before
    assert set(Path("/tmp").iterdir()) == files


if __name__ == "__main__":
    main()
