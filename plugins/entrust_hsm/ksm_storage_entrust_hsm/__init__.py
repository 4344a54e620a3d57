"""PKCS #11 for ksm-storage: wrap and unwrap DEKs under a KEK in an HSM, such as Entrust nShield."""
