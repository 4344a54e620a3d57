"""An emulator of Azure Key Vault keys and Managed HSM, with the token endpoints of Entra ID."""
