"""Sellers: the parties that list, deliver and are paid; the tenant boundary."""
