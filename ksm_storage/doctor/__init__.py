"""Find out why a sealed file cannot be opened or saved: one finding for each thing that is off."""
