"""The throwaway process: `python -m trainer.importing FOLDER`, started by `trainer.importing.import_process`."""

# Names of this module are those that a pickle finds in __main__: as few as can be.
import trainer.importing.import_main

trainer.importing.import_main.main()
