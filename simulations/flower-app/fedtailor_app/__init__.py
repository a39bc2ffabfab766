"""The two apps of `flwr run`."""
