"""AWS Key Management Service, and the two STS calls that tests of roles need."""
