"""Credit: small orders delivered before they are paid, off until finance switches it on."""
