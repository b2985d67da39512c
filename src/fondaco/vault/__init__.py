"""Vault: seals and opens secrets with envelope encryption, each bound to its row."""
