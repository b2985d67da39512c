"""Orders: carts, quotes, buying, buyer protection, release."""
