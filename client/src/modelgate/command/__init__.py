"""The command `modelgate`: the same verbs as the client and the HTTP interface, from a terminal."""
