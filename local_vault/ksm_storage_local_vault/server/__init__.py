"""The server: checks who asks, answers with ciphertext, and has no key that opens a record."""
