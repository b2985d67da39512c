"""Identity: users, sessions, second factor, API keys, roles and THE permission table."""
