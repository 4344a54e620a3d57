"""Find plain configurations and one-time tokens in files, and never show them."""
