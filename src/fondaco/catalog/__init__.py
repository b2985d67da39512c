"""Catalog: products, variants and sellers' listings."""
