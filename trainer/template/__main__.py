"""`python -m trainer.template CONTROL`, started by `trainer.forks`. CONTROL is the descriptor of a socket."""

# A pickle can refer to names of this module as __main__, so there are as few as possible.
import trainer.template.process

trainer.template.process.main()
