"""The two built-in key services, registered by entry points like any plugin."""
