"""Statistics of predictions whose outcomes are known. Takes and returns arrays; reads and writes nothing."""
