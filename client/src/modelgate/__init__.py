"""The client of Modelgate, which serves scikit-learn models over HTTP.

>>> from modelgate import Client
>>> mg = Client()
>>> iris = mg.model("iris")
>>> iris.predict([[5.1, 3.5, 1.4, 0.2]])
array([0])
"""

from modelgate.asynchronous import AsyncClient
from modelgate.client import Client
from modelgate.errors import (
    Conflict,
    Forbidden,
    Invalid,
    JobCanceled,
    JobFailed,
    ModelgateError,
    ModelgateWarning,
    ModelRaised,
    NotFound,
    TimedOut,
    Unauthorized,
    Unavailable,
    UnknownMethod,
    Unreachable,
)
from modelgate.jobs import FileJob, Job, TrainingRun
from modelgate.models import Model
from modelgate.profiles import Profile
from modelgate.reports import Report
from modelgate.scorer import Scorer
from modelgate.serving import SessionClient, serve

__all__ = [
    "AsyncClient",
    "Client",
    "Conflict",
    "FileJob",
    "Forbidden",
    "Invalid",
    "Job",
    "JobCanceled",
    "JobFailed",
    "Model",
    "ModelRaised",
    "ModelgateError",
    "ModelgateWarning",
    "NotFound",
    "Profile",
    "Report",
    "Scorer",
    "SessionClient",
    "TimedOut",
    "TrainingRun",
    "Unauthorized",
    "Unavailable",
    "UnknownMethod",
    "Unreachable",
    "serve",
]
