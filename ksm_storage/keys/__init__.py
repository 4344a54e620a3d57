"""Find the plugins, open the KEKs and decide which settings they get."""
