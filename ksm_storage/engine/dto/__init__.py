"""The classes of the official package that programs import by name, under its module names."""
