"""Oracle Cloud (OCI) Vault for ksm-storage: wrap and unwrap DEKs under a KEK in a vault."""
