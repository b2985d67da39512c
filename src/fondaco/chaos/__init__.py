"""Chaos on purpose: a throw-away marketplace under load is killed, cut off and lied to, by a plan drawn from
a seed; afterwards its books, its provider's books and what every client was told must agree."""
