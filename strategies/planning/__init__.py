"""Which layer keeps how much, under a device's limits."""
