//! Flags beat the environment, that beats `spec.toml`, that the defaults.
