"""API: the /api/v1 routes' shared glue and the OpenAPI document."""
