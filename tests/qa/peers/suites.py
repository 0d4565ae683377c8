"""All suites."""

from tests.qa.peers import kserve, mlserver
from tests.qa.peers.suite import Suite

SUITES: tuple[Suite, ...] = (mlserver.SUITE, kserve.SUITE)
from tests.qa.peers import mlflow_scoring
from tests.qa.peers import mlflow_scoring, triton
from tests.qa.peers import mlflow_scoring, triton_infer
from tests.qa.peers import mlflow_scoring, triton_grpc, triton_infer
from tests.qa.peers import mlflow_scoring, sagemaker, triton_grpc, triton_infer
from tests.qa.peers.suite import Suite

SUITES: tuple[Suite, ...] = (mlflow_scoring.SUITE, triton_infer.SUITE, triton_grpc.SUITE, sagemaker.SUITE)
