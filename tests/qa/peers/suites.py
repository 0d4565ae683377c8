"""All suites."""

from tests.qa.peers import kserve, mlflow_scoring, mlserver, sagemaker, triton_grpc, triton_infer
from tests.qa.peers.suite import Suite

SUITES: tuple[Suite, ...] = (
    triton_infer.SUITE,
    triton_grpc.SUITE,
    mlserver.SUITE,
    kserve.SUITE,
    mlflow_scoring.SUITE,
    sagemaker.SUITE,
)
