"""Nets as graphs of layers: read from torch, computed, taken apart."""
