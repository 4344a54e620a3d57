"""The three built-in key providers, registered by entry points like any plugin."""
