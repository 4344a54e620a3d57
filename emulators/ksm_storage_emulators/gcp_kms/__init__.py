"""An emulator of Google Cloud KMS over gRPC, with the token endpoints that its callers need."""
