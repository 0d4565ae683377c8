"""What a fitted estimator shows of its inputs and outputs, and what a sample adds."""
