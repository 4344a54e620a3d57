"""The local vault: a Keeper-compatible server on loopback, and the owner's side of it.

``server`` answers client devices and sees ciphertext, public keys and hashes only. ``owner`` makes
applications, folders, records and tokens, and encrypts before anything reaches the database. The
two share the database and nothing else: a test reads the imports and holds this.
"""
