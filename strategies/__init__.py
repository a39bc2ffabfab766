"""Decisions and mathematics: pure functions; no Flower, no disk, no clock."""
