"""The demo marketplace: three stores, their listings and keys, buyers, and orders in every state."""
