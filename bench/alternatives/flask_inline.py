"""Plain Flask: the models in memory, `predict` inside the request."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

from bench.alternatives import inline

app = Flask(__name__)
models = {name: inline.load(name) for name in inline.names()}


@app.post("/predict/<name>")
def predict(name: str) -> Response:
    return jsonify(inline.predict(models[name], name, request.get_json()))
