"""Nets in integers, exactly as a runtime computes them."""
