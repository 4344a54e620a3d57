"""Stateful, wire-level emulators of key services: see `emulator.Emulator` and README.md."""
