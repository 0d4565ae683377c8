"""What worker and trainer do alike with a model: file → estimator, rows → matrix → predictions.

Golden rows mean something only when they are scored by the very code that serves.
"""
