"""Metrics of the whole system: their table, what each process counts, what Redis holds, and the traffic."""
