"""`python -m trainer.template CONTROL`, started by `trainer.forks`: the template of imports. CONTROL is the descriptor
of a socket."""

# A pickle can refer to names of this module as __main__, so there are as few as possible.
import trainer.template.file_tasks
import trainer.template.process

trainer.template.process.main(trainer.template.file_tasks.TASKS)
