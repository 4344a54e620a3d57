"""Vectors of the wrapped DEK of each provider, with the KEK."""
