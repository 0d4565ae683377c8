"""Kernels: NumPy code that answers as a fitted scikit-learn estimator does, bit for bit, in less time.

A kernel does the estimator's operations in the estimator's order, but does once what several methods share, and checks
nothing that the layout of the rows says. `table.py` maps exact types to kernels. Use a kernel only if `compare` finds
no difference.
"""

from modelgate_kernels.comparison import compare
from modelgate_kernels.layout import Column, Layout, layout_of
from modelgate_kernels.model_kernel import ModelKernel, find, own_answers, predict

__all__ = ["Column", "Layout", "ModelKernel", "compare", "find", "layout_of", "own_answers", "predict"]
