"""What pip calls the package of a module, and which libraries Modelgate does not serve."""

from __future__ import annotations

_PIP_NAMES = {
    "autosklearn": "auto-sklearn",
    "boruta": "Boruta",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "imblearn": "imbalanced-learn",
    "interpret": "interpret-core",
    "PIL": "pillow",
    "skfuzzy": "scikit-fuzzy",
    "skimage": "scikit-image",
    "sklearn_extra": "scikit-learn-extra",
    "sklearn_genetic": "sklearn-genetic-opt",
    "skmultilearn": "scikit-multilearn",
    "skopt": "scikit-optimize",
    "sksurv": "scikit-survival",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""The modules that pip calls otherwise."""

_SAME_NAMES = (
    *("bentoml", "catboost", "category_encoders", "dill", "econml", "feature_engine", "flaml", "gensim", "hdbscan"),
    *("hmmlearn", "kmodes", "lifelines", "lightgbm", "lime", "lz4", "mapie", "mlxtend", "ngboost", "nltk", "optuna"),
    *("patsy", "polars", "pyarrow", "pygam", "pyod", "scikeras", "sentence_transformers", "shap", "sklearn_crfsuite"),
    *("sklearn_pandas", "skorch", "spacy", "statsmodels", "textblob", "tpot", "tslearn", "xgboost", "yellowbrick"),
    "zstandard",
)
"""The modules of well-known packages that have the same name, with `-` for `_`."""

_NOT_SERVED = {
    "fastai": "fastai",
    "flax": "Flax",
    "h2o": "H2O",
    "jax": "JAX",
    "keras": "Keras",
    "mxnet": "MXNet",
    "onnxruntime": "ONNX Runtime",
    "paddle": "PaddlePaddle",
    "pyspark": "Spark",
    "tensorflow": "TensorFlow",
    "torch": "PyTorch",
    "torchvision": "PyTorch",
    "transformers": "Hugging Face Transformers",
}


_FORECASTING = ("prophet", "pmdarima", "sktime", "darts", "neuralprophet", "statsforecast", "statsmodels.tsa")


def forecasts(module: str) -> bool:
    """Return whether models of this module forecast a time series, and take no rows."""
    return any(module == name or module.startswith(f"{name}.") for name in _FORECASTING)


def pip_name(module: str) -> str | None:
    """Return what pip calls the package of a module; None for a module of no well-known package."""
    root = module.split(".")[0]
    return _PIP_NAMES.get(root, root.replace("_", "-") if root in _SAME_NAMES else None)


def not_served(module: str) -> str | None:
    """Return the name of the library, if Modelgate does not serve models of this module's library."""
    return _NOT_SERVED.get(module.split(".")[0])


def how_to_install(package: str) -> str:
    """Return what to do where `package` is missing."""
    return (
        f'add it to what trainer and workers have, EXTRA_PACKAGES="{package}", with make up or in .env for containers'
        " (docs/how-to/import-a-model.md)"
    )
