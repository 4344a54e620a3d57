"""Do the same to many files: in parallel, with a bound per key service, interruptible."""
