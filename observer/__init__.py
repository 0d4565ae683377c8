"""Keeps the prediction log and says what it shows: what was predicted, and whether it came true."""
