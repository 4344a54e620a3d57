"""Run one operation on many files: in parallel, bounded per key service, interruptible."""
