"""What crosses a process border: standard library only, imports no other part of Modelgate."""
