"""The envelope: its model, its bytes, its cryptography; no files."""
