"""The front door: every request passes here once, whether Flask serves it or the fast path."""
