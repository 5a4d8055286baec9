"""The native engine: the only door to llama.cpp."""
