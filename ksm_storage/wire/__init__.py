"""The wire format of the Keeper protocol: all that the engine and the vault share."""
