"""Flask as in blog posts: each request loads the pickle."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

from bench.alternatives import inline

app = Flask(__name__)


@app.post("/predict/<name>")
def predict(name: str) -> Response:
    return jsonify(inline.predict(inline.load(name), name, request.get_json()))
