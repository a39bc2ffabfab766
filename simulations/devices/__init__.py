"""The device catalogue: one TOML file a class."""
