"""Notifications: mails from versioned templates, caused by events."""
