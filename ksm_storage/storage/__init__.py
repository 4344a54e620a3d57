"""Keep an envelope in a file: safely, and through the SDK's key-value interface."""
