"""Read, lock and replace files so that a crash leaves the old version or the new one, whole."""
