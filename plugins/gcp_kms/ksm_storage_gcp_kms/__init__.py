"""Google Cloud KMS for ksm-storage: wrap and unwrap DEKs under a KEK in Cloud KMS."""
