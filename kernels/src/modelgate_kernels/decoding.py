"""The kernel of estimators of one's own whose predictions are decoded. It knows no internals of scikit-learn, so it is
imported under any release."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelEncoder, MultiLabelBinarizer

from modelgate_kernels.kernel import Delegating, InnerKernels, Kernel, Transform


class DecodedTargetKernel(Delegating):
    def __init__(self, inner: Kernel, decode: Transform) -> None:
        super().__init__(inner)
        self._decode = decode

    def predict(self, raw: Any) -> Any:
        return self._decode(np.ravel(self._inner.predict(raw)))


def decoded_target(estimator: Any, inner: InnerKernels) -> Kernel | None:
    """Return the kernel of an estimator whose predictions are those of its `estimator`, after the `inverse_transform`
    of its `decoder`."""
    decoder = estimator.decoder
    if isinstance(decoder, MultiLabelBinarizer):
        return None
    return DecodedTargetKernel(inner.of_member(estimator.estimator), _decoder(decoder, estimator.estimator))


def _decoder(decoder: Any, classifier: Any) -> Transform:
    if type(decoder) is LabelEncoder and np.min(classifier.classes_) >= 0:
        return decoder.classes_.take  # type: ignore[no-any-return]
    if hasattr(decoder, "classes_"):
        return decoder.inverse_transform  # type: ignore[no-any-return]
    return lambda values: np.ravel(decoder.inverse_transform(values.reshape(-1, 1)))
