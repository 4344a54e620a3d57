"""Readers of the formats of Keeper's own packages."""
