"""The writers of the model repository. Its reader is `contract.model.repository`."""
