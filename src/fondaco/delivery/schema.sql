-- delivery: entitlements (the right to a delivered thing) and every reveal of a secret.
CREATE SCHEMA delivery;
GRANT USAGE ON SCHEMA delivery TO fondaco_app;

CREATE TABLE delivery.entitlement (
  id           uuid PRIMARY KEY,
  buyer_id     uuid NOT NULL REFERENCES identity.users,
  seller_id    uuid NOT NULL REFERENCES sellers.seller,
  listing_id   uuid NOT NULL REFERENCES catalog.listing,
  order_id     uuid NOT NULL,
  line_id      uuid NOT NULL,
  unit_id      uuid NOT NULL UNIQUE REFERENCES inventory.stock_unit,   -- one unit, one delivery, for ever
  title        text NOT NULL,
  platform     text NOT NULL,
  region       text NOT NULL,
  delivered_at timestamptz NOT NULL DEFAULT now(),
  revealed_at  timestamptz,
  revoked_at   timestamptz
);
CREATE INDEX entitlement_buyer ON delivery.entitlement (buyer_id, delivered_at DESC, id DESC);
CREATE INDEX entitlement_line ON delivery.entitlement (line_id);

CREATE TABLE delivery.reveal (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  entitlement_id uuid NOT NULL REFERENCES delivery.entitlement,
  user_id        uuid NOT NULL REFERENCES identity.users,
  at             timestamptz NOT NULL DEFAULT clock_timestamp(),
  ip             text NOT NULL,
  user_agent     text NOT NULL
);
CREATE INDEX reveal_entitlement ON delivery.reveal (entitlement_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON delivery.reveal
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE delivery.reveal ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT ON delivery.entitlement TO fondaco_app;
GRANT UPDATE (revealed_at) ON delivery.entitlement TO fondaco_app;
GRANT SELECT, INSERT ON delivery.reveal TO fondaco_app;
SELECT core.wall('delivery.entitlement', 'buyer_id', 'seller_id');
SELECT core.wall('delivery.reveal', 'user_id', '');
