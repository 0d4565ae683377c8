"""Files of models: their formats, the code beside them, their signatures, and why one cannot be used."""
