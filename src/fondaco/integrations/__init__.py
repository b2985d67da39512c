"""Integrations: the adapters that call out (Stripe, mail servers, blob stores). Never in a transaction."""
