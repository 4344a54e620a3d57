"""The owner's side: it has the keys, encrypts, and writes ciphertext into the database."""
