"""Tests of the plugin, over a real wire to loopback."""
