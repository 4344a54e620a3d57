"""Tests of the OCI Vault emulator, with Oracle's own client."""
