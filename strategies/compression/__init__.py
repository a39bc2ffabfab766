"""Fewer channels, fewer bits: removal, rounding, and what makes up for them."""
