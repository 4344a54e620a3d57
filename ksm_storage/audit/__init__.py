"""What happened to sealed files, told to audit sinks."""
