"""Oracle Cloud (OCI) Vault: crypto and key management of one vault, with signature checks."""
