"""Reconciliation: every balance transaction of the provider against our journals, both ways, to the cent."""
