"""A Stripe sandbox for one machine: the part of Stripe's API that a marketplace needs, with state.

It speaks to the unmodified official SDK, shows a hosted payment page with test cards, signs and delivers
events, and can be told to misbehave. It knows nothing of the program that uses it. No real money is near.

Names for others: `settings.Settings`, `app.create_app`, `cli.main`.
"""
