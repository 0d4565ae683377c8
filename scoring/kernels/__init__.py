"""Kernels: our own NumPy code that answers as a fitted scikit-learn estimator does, bit for bit, in less time.

A kernel does the estimator's operations in the estimator's order, but does once what several methods share, and checks
nothing that the signature has checked. `table.py` maps exact types to kernels. A version uses its kernel only if
`comparison.py` finds no difference (docs/adr/0038).
"""
