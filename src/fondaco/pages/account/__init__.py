"""Account pages: signing up and in, security, wallet, library. They show what the modules' verbs answer.

Nothing here tells whether an address is known. Pages with a secret on them are kept by no cache and tell
no other site where the reader came from.
"""
