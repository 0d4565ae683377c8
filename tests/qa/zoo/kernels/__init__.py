"""The soak of kernels: `make zoo KERNELS=1`."""
