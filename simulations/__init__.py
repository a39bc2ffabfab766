"""Fleets on one machine or on Ray."""
