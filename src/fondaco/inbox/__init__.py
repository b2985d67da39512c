"""Inbox: what arrives unasked, kept once, handled once; backfill and sweepers."""
