-- orders: carts, order groups (one purchase), orders (one seller's part), order lines.
CREATE SCHEMA orders;
GRANT USAGE ON SCHEMA orders TO fondaco_app;

CREATE TABLE orders.cart (
  id         uuid PRIMARY KEY,
  user_id    uuid UNIQUE REFERENCES identity.users,
  guest_hash bytea UNIQUE,                             -- of the guest's cookie
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK (num_nonnulls(user_id, guest_hash) = 1)
);
CREATE TABLE orders.cart_line (
  cart_id            uuid NOT NULL REFERENCES orders.cart ON DELETE CASCADE,
  listing_id         uuid NOT NULL REFERENCES catalog.listing,
  quantity           int NOT NULL CHECK (quantity BETWEEN 1 AND 100),
  seen_price         bigint NOT NULL,                  -- what the buyer saw when adding
  seen_price_version int NOT NULL,
  added_at           timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cart_id, listing_id)
);

CREATE TABLE orders.order_group (
  id             uuid PRIMARY KEY,
  number         text NOT NULL UNIQUE,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  idem           text NOT NULL CHECK (length(idem) BETWEEN 1 AND 255),   -- the buyer's key for this purchase
  fingerprint    bytea NOT NULL,                       -- of what was asked: the same key with other content is refused
  funding_policy text NOT NULL CHECK (funding_policy IN ('wallet', 'card')),
  total          bigint NOT NULL CHECK (total > 0),
  currency       char(3) NOT NULL,
  created_at     timestamptz NOT NULL DEFAULT now(),
  UNIQUE (buyer_id, idem)
);
CREATE INDEX order_group_buyer ON orders.order_group (buyer_id, created_at DESC, id DESC);
ALTER TABLE wallets.funding ADD FOREIGN KEY (group_id) REFERENCES orders.order_group;

CREATE TABLE orders.orders (
  id           uuid PRIMARY KEY,
  number       text NOT NULL UNIQUE,
  group_id     uuid NOT NULL REFERENCES orders.order_group,
  buyer_id     uuid NOT NULL REFERENCES identity.users,
  seller_id    uuid NOT NULL REFERENCES sellers.seller,
  state        text NOT NULL,
  total        bigint NOT NULL CHECK (total > 0),
  currency     char(3) NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz,                            -- while payment is awaited
  paid_at      timestamptz,
  delivered_at timestamptz,
  completed_at timestamptz,
  closed_because text
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON orders.orders
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('order', 'state');
CREATE INDEX orders_buyer ON orders.orders (buyer_id, created_at DESC, id DESC);
CREATE INDEX orders_seller ON orders.orders (seller_id, created_at DESC, id DESC);
CREATE INDEX orders_newest ON orders.orders (created_at DESC, id DESC);
CREATE INDEX orders_group ON orders.orders (group_id);
CREATE INDEX orders_waiting ON orders.orders (expires_at) WHERE state = 'PENDING_PAYMENT';

CREATE TABLE orders.order_line (
  id             uuid PRIMARY KEY,
  order_id       uuid NOT NULL REFERENCES orders.orders,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  listing_id     uuid NOT NULL REFERENCES catalog.listing,
  quantity       int NOT NULL CHECK (quantity BETWEEN 1 AND 100),
  unit_price     bigint NOT NULL CHECK (unit_price > 0),
  total          bigint NOT NULL,
  tax            bigint NOT NULL DEFAULT 0 CHECK (tax >= 0),
  commission     bigint NOT NULL CHECK (commission >= 0),
  currency       char(3) NOT NULL,
  refunded       bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
  terms          jsonb NOT NULL,                       -- frozen: title, platform, region, policies and versions
  delivery_state text NOT NULL,
  escrow_state   text NOT NULL,
  release_at     timestamptz,
  delivered_at   timestamptz,
  released_at    timestamptz,
  matured_at     timestamptz,
  CHECK (total = unit_price * quantity),
  CHECK (commission + tax <= total AND refunded <= total)
);
CREATE TRIGGER delivery_machine BEFORE INSERT OR UPDATE OF delivery_state ON orders.order_line
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('line_delivery', 'delivery_state');
CREATE TRIGGER escrow_machine BEFORE INSERT OR UPDATE OF escrow_state ON orders.order_line
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('escrow', 'escrow_state');
CREATE INDEX order_line_order ON orders.order_line (order_id);
CREATE INDEX order_line_listing ON orders.order_line (listing_id);
CREATE INDEX order_line_due ON orders.order_line (release_at) WHERE escrow_state = 'HELD';
CREATE INDEX order_line_maturing ON orders.order_line (released_at) WHERE escrow_state = 'RELEASED' AND matured_at IS NULL;
ALTER TABLE inventory.stock_unit ADD FOREIGN KEY (line_id) REFERENCES orders.order_line;
ALTER TABLE delivery.entitlement ADD FOREIGN KEY (order_id) REFERENCES orders.orders;
ALTER TABLE delivery.entitlement ADD FOREIGN KEY (line_id) REFERENCES orders.order_line;

GRANT SELECT, INSERT, UPDATE, DELETE ON orders.cart, orders.cart_line TO fondaco_app;
GRANT SELECT ON orders.order_group, orders.orders, orders.order_line TO fondaco_app;
SELECT core.wall('orders.order_group', 'buyer_id', '');
SELECT core.wall('orders.orders', 'buyer_id', 'seller_id');
SELECT core.wall('orders.order_line', 'buyer_id', 'seller_id');
