"""The server half of the Keeper protocol: what the relay and the local vault both stand on."""
