"""The vocabulary: frozen nouns that cross the wire or are kept, their protobuf, the errors."""
