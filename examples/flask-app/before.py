"""The app before: each request loads the pickle."""

import os

import joblib
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.post("/predict")
def predict():
    model = joblib.load(os.environ["MODEL"])
    return jsonify(prediction=model.predict(request.get_json()).tolist())
