"""Decides from what is logged of two versions, and from what came true, whether a candidate takes over."""
