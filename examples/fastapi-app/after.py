"""The app after: each request asks Modelgate."""

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from modelgate import Client, ModelgateError

app = FastAPI()
model = Client().model("iris")


@app.post("/predict")
def predict(rows: list[list[float]]):
    return {"prediction": model.predict(rows).tolist()}


@app.exception_handler(ModelgateError)
def refused(_, error):
    return JSONResponse({"error": str(error)}, error.status or 503)
