"""The app after: each request asks Modelgate."""

from flask import Flask, jsonify, request
from modelgate import Client, ModelgateError

app = Flask(__name__)
model = Client().model("iris")


@app.post("/predict")
def predict():
    return jsonify(prediction=model.predict(request.get_json()).tolist())


@app.errorhandler(ModelgateError)
def refused(error):
    return jsonify(error=str(error)), error.status or 503
