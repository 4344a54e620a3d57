"""The client configuration that is stored, and its plain forms."""
