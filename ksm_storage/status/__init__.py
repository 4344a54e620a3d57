"""The state of sealed files and of the keys that open them, without opening a payload."""
