"""Compares predictions with what came true: keeps both, and shows how good each version is now."""
