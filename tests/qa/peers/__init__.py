"""What the tests of other model servers, and of the clients made for them, ask of theirs, asked of Modelgate.

Each module is one suite, in our words: a case asks what one of theirs asks, of a model that Modelgate has, and expects
what their server answers. `python -m tests.qa.peers ADDRESS` asks a running Modelgate and prints how many pass.
"""
