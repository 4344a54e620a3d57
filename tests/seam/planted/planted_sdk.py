"""Stands for a service's SDK that is slow to import."""
