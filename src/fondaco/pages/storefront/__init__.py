"""The shop as buyers see it: front page, lists, listings, stores, cart, checkout and orders.

Pages call the same verbs as the API. Every write is a form that works without scripts.
"""
