"""One module a recipe: code that trains one kind of model."""
