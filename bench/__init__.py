"""`make bench`: compares Modelgate with the usual ways of serving the same models on the same two cores."""
