"""What Modelgate keeps in files: `models` writes the model repository, `spool` has the files of users."""
