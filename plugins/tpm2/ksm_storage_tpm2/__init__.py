"""Lets ksm-storage use keys of this machine's TPM 2.0."""
