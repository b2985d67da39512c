"""Cases: disagreements between buyer and seller, decided on evidence."""
