"""The app before: each process holds the pickle."""

import os

import joblib
from fastapi import FastAPI

app = FastAPI()
model = joblib.load(os.environ["MODEL"])


@app.post("/predict")
def predict(rows: list[list[float]]):
    return {"prediction": model.predict(rows).tolist()}
