"""The command group ``ksm-storage vault``."""
