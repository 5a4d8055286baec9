"""Requests while they run: generations and embeddings, their table, their reports."""
