"""Sources of secrets for frameworks that programs already use; each module needs its extra."""
