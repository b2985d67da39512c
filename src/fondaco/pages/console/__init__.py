"""The staff console: queues, find, orders and their story, people, stores, money, inbox, mails, audit."""
