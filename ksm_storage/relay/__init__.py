"""The relay: a local endpoint that gives each client a few records of one device."""
