"""Tests of the Key Vault emulator."""
