"""Lets ksm-storage use Transit keys in HashiCorp Vault and OpenBao."""
