"""Scores files of any size: plans chunks, scores each by itself, and assembles the parts. Memory stays flat.

All three work in steps: generators that pause after each short piece of work and return their result at the end, so
that a scorer can answer single rows meanwhile.
"""
