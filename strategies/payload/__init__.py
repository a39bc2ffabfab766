"""A net as few bytes."""
