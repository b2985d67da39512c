"""Approvals: acts that need two people. One asks, another decides, and the act happens with the decision."""
