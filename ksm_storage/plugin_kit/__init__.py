"""What every plugin of a key service needs, written and tested once."""
