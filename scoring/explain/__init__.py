"""Explains answers: Shapley values of the inputs of a row, with respect to a background of other rows (ADR 79)."""
