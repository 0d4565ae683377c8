"""The trial of a model with rows, in the throwaway process."""
