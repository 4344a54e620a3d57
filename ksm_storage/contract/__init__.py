"""What crosses the seam between the core and a plugin."""
