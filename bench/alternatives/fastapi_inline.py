"""FastAPI with the models in memory. `predict` runs on the event loop: for so short a call the thread pool,
which a plain `def` would use, costs more than it gains."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from bench.alternatives import inline

app = FastAPI()
models = {name: inline.load(name) for name in inline.names()}


@app.post("/predict/{name}")
async def predict(name: str, request: Request) -> JSONResponse:
    return JSONResponse(inline.predict(models[name], name, await request.json()))
