"""The command fedtailor: parse, call one function, print."""
