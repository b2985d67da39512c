"""Delivery: entitlements, the library, and every reveal."""
