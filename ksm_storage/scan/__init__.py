"""Find plain configurations and one-time tokens in files and in git history; never show them."""
