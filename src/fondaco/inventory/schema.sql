-- inventory: one row per secret. A unit handed out can never return to stock.
CREATE SCHEMA inventory;
GRANT USAGE ON SCHEMA inventory TO fondaco_app;

CREATE TABLE inventory.stock_batch (
  id              uuid PRIMARY KEY,
  seller_id       uuid NOT NULL REFERENCES sellers.seller,
  listing_id      uuid NOT NULL REFERENCES catalog.listing,
  source          text NOT NULL CHECK (source IN ('paste', 'csv', 'api')),
  state           text NOT NULL,
  upload_key      uuid REFERENCES vault.data_key,
  upload          bytea,                               -- the sealed upload; NULL once imported
  unit_key        uuid REFERENCES vault.data_key,      -- seals this batch's units
  lines           int NOT NULL DEFAULT 0 CHECK (lines >= 0),
  done            int NOT NULL DEFAULT 0,              -- of lines, for the progress bar
  attempts        int NOT NULL DEFAULT 0,              -- how often a worker took it up
  touched_at      timestamptz NOT NULL DEFAULT now(),  -- when a worker last said it is at it
  imported        int NOT NULL DEFAULT 0,
  malformed       int NOT NULL DEFAULT 0,
  repeated        int NOT NULL DEFAULT 0,              -- twice in this upload or already this seller's
  known_elsewhere int NOT NULL DEFAULT 0,              -- already in another seller's stock: a count only
  failure         text,
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  closed_at       timestamptz,
  UNIQUE (id, listing_id, seller_id)
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON inventory.stock_batch
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('stock_batch', 'state');
CREATE INDEX stock_batch_seller ON inventory.stock_batch (seller_id, created_at DESC, id DESC);
CREATE INDEX stock_batch_listing ON inventory.stock_batch (listing_id, created_at DESC, id DESC);
CREATE INDEX stock_batch_open ON inventory.stock_batch (created_at) WHERE state IN ('RECEIVED', 'IMPORTING');

-- What was wrong with single lines. Never the line itself: a mask such as "ABCD•••••".
CREATE TABLE inventory.batch_problem (
  batch_id  uuid NOT NULL REFERENCES inventory.stock_batch,
  seller_id uuid NOT NULL REFERENCES sellers.seller,
  line      int NOT NULL,
  problem   text NOT NULL CHECK (problem IN ('malformed', 'repeated')),
  mask      text NOT NULL,
  PRIMARY KEY (batch_id, line)
);

CREATE TABLE inventory.stock_unit (
  id             uuid PRIMARY KEY,                     -- random (version 4): buyers pick from a random place
  seller_id      uuid NOT NULL,
  listing_id     uuid NOT NULL,
  batch_id       uuid NOT NULL,
  state          text NOT NULL,
  fingerprint    bytea NOT NULL UNIQUE CHECK (length(fingerprint) = 32),
  key_id         uuid NOT NULL REFERENCES vault.data_key,
  sealed         bytea NOT NULL,
  line_id        uuid,                                 -- the order line it is reserved for or sold to
  reserved_until timestamptz,
  -- One check instead of three: a unit is its batch's listing's and seller's.
  FOREIGN KEY (batch_id, listing_id, seller_id) REFERENCES inventory.stock_batch (id, listing_id, seller_id),
  CHECK ((state IN ('RESERVED', 'SOLD', 'CONSUMED')) <= (line_id IS NOT NULL)),
  CHECK ((state = 'RESERVED') = (reserved_until IS NOT NULL))
) WITH (fillfactor = 80);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON inventory.stock_unit
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('stock_unit', 'state');
CREATE INDEX stock_unit_free ON inventory.stock_unit (listing_id, id) WHERE state = 'AVAILABLE';
CREATE INDEX stock_unit_line ON inventory.stock_unit (line_id) WHERE line_id IS NOT NULL;
CREATE INDEX stock_unit_held ON inventory.stock_unit (reserved_until) WHERE state = 'RESERVED';
CREATE INDEX stock_unit_batch ON inventory.stock_unit (batch_id);
CREATE INDEX stock_unit_listing ON inventory.stock_unit (listing_id, state);

GRANT SELECT, INSERT, UPDATE ON inventory.stock_batch TO fondaco_app;
GRANT SELECT, INSERT ON inventory.batch_problem TO fondaco_app;
GRANT SELECT, INSERT, UPDATE ON inventory.stock_unit TO fondaco_app;
SELECT core.wall('inventory.stock_batch', '', 'seller_id');
SELECT core.wall('inventory.batch_problem', '', 'seller_id');
SELECT core.wall('inventory.stock_unit', '', 'seller_id');

-- Takes n free units of a listing for a line, from a random place, passing over locked ones.
-- Answers how many it got; the caller undoes by giving them back when that is too few.
CREATE FUNCTION inventory.take(p_listing uuid, p_line uuid, p_n int, p_state text, p_until timestamptz)
RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
DECLARE
  start uuid := gen_random_uuid();
  ids uuid[];
  rest uuid[];
BEGIN
  SELECT array_agg(id) INTO ids FROM (
    SELECT id FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE' AND id >= start
    ORDER BY id LIMIT p_n FOR UPDATE SKIP LOCKED) t;
  IF coalesce(cardinality(ids), 0) < p_n THEN
    SELECT array_agg(id) INTO rest FROM (
      SELECT id FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE' AND id < start
      ORDER BY id LIMIT p_n - coalesce(cardinality(ids), 0) FOR UPDATE SKIP LOCKED) t;
    ids := coalesce(ids, '{}') || coalesce(rest, '{}');
  END IF;
  IF cardinality(ids) < p_n THEN RETURN cardinality(ids); END IF;
  UPDATE stock_unit SET state = p_state, line_id = p_line, reserved_until = p_until WHERE id = ANY (ids);
  RETURN p_n;
END $$;
REVOKE ALL ON FUNCTION inventory.take FROM PUBLIC;

-- How many free units a listing has, told up to p_most and never beyond ten: for the stock word.
CREATE FUNCTION inventory.left_up_to(p_listing uuid, p_most int) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
  SELECT count(*)::int FROM (SELECT 1 FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE'
                             LIMIT least(p_most, 10)) few
$$;
REVOKE ALL ON FUNCTION inventory.left_up_to FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inventory.left_up_to TO fondaco_app;

-- Sets catalog.listing.in_stock to what is true. Locks the listing first and looks then, so that units
-- that arrive and units that are sold at the same moment cannot leave the wrong word behind.
CREATE FUNCTION inventory.refresh_in_stock(p_listing uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
DECLARE
  there boolean;
BEGIN
  PERFORM 1 FROM catalog.listing WHERE id = p_listing FOR NO KEY UPDATE;
  there := EXISTS (SELECT 1 FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE');
  UPDATE catalog.listing SET in_stock = there WHERE id = p_listing AND in_stock <> there;
  RETURN there;
END $$;
REVOKE ALL ON FUNCTION inventory.refresh_in_stock FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inventory.refresh_in_stock TO fondaco_app;
