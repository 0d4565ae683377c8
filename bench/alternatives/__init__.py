"""The usual ways to serve a model, each as small as it is usually written and as fast as it honestly gets.

They import nothing of Modelgate: the batching servers live in an environment of their own.
"""
