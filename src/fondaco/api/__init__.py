"""API: the /api/v1 routes' shared glue: the OpenAPI document, idempotency keys, rate limits, health.

Invariants: a POST repeated with the same Idempotency-Key has its effect once; no stored answer ever
holds a secret; no actor can take more than its share of one process.
"""
