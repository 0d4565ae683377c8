"""`python plain_file.py MODEL INPUT OUTPUT`: what most people write to score a file. It prints what it took as JSON."""

import json
import sys
import time
from pathlib import Path

import joblib
import pandas as pd


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB. `ru_maxrss` would count its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    model_file, source, target = sys.argv[1:]
    model = joblib.load(model_file)
    began, used = time.perf_counter(), time.process_time()
    frame = pd.read_parquet(source) if source.endswith(".parquet") else pd.read_csv(source)
    rows = frame.to_numpy()
    frame["prediction"] = model.predict(rows)
    for label, column in zip(model.classes_, model.predict_proba(rows).T, strict=True):
        frame[f"probability_{label}"] = column
    if target.endswith(".parquet"):
        frame.to_parquet(target, index=False)
    else:
        frame.to_csv(target, index=False)
    took = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    print(json.dumps({**took, "mb": peak_mb()}))  # noqa: T201


if __name__ == "__main__":
    main()
