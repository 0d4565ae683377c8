"""`make bench`: how fast Modelgate is, beside the usual ways of serving the same models on the same two cores."""
