"""What happened to sealed files, reported to audit sinks."""
