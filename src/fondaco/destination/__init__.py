"""Destination: stores whose buyers pay the seller's own account, our share taken in the same flow."""
