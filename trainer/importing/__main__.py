"""The throwaway process: `python -m trainer.importing FOLDER`, started by `trainer.importing.import_process`."""

# A pickle can refer to names of this module as __main__, so there are as few as possible.
import trainer.importing.import_main

trainer.importing.import_main.main()
