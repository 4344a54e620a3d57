"""What makes a release: distributions with equal bytes each time, their parts and their hashes."""
