"""Chargebacks: disputes of card networks and their early warnings. They attach to a funding, never to an order."""
