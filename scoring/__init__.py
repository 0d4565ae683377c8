"""Loads estimators and predicts with them, in workers and in the trainer.

Golden rows prove something only because the code that checks them is the code that serves.
"""
