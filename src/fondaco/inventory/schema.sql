-- inventory: stocked secrets, one row per secret (a unit handed out can never return to stock), and counted
-- stock: articles, whose sealed content every buyer gets, sold in a number of copies.
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

-- Counted stock: one row for each article, made with its listing. Copies leave on_hand when they are sold
-- (to sold) or held for a checkout (to inventory.hold, and from there to sold or back).
CREATE TABLE inventory.counted (
  listing_id      uuid PRIMARY KEY REFERENCES catalog.listing,
  seller_id       uuid NOT NULL REFERENCES sellers.seller,
  on_hand         int NOT NULL DEFAULT 0 CHECK (on_hand >= 0),           -- copies for sale now
  sold            int NOT NULL DEFAULT 0 CHECK (sold >= 0),              -- copies delivered: one entitlement each
  version         int NOT NULL DEFAULT 1,                                -- of the seller's changes, not of sales
  content_version int NOT NULL DEFAULT 0 CHECK (content_version >= 0)    -- newest inventory.content; 0: none yet
) WITH (fillfactor = 50);

-- Copies held for a checkout that awaits its payment: gone from on_hand, not yet sold.
CREATE TABLE inventory.hold (
  line_id        uuid PRIMARY KEY,
  listing_id     uuid NOT NULL REFERENCES inventory.counted,
  seller_id      uuid NOT NULL,
  quantity       int NOT NULL CHECK (quantity > 0),
  reserved_until timestamptz NOT NULL
);
CREATE INDEX hold_listing ON inventory.hold (listing_id);

-- Every change of a number of copies by the seller: their sum is what was put up, on_hand + held + sold.
CREATE TABLE inventory.put_up (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  listing_id uuid NOT NULL REFERENCES inventory.counted,
  seller_id  uuid NOT NULL,
  change     int NOT NULL CHECK (change <> 0),
  made_by    text NOT NULL,
  made_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX put_up_listing ON inventory.put_up (listing_id, id DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON inventory.put_up
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE inventory.put_up ENABLE ALWAYS TRIGGER append_only;

-- The content of an article, sealed; every save is a new version. Buyers open the newest, or the one they
-- bought, which is never lost.
CREATE TABLE inventory.content (
  listing_id uuid NOT NULL REFERENCES inventory.counted,
  version    int NOT NULL CHECK (version > 0),
  seller_id  uuid NOT NULL,
  key_id     uuid NOT NULL REFERENCES vault.data_key,
  sealed     bytea NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (listing_id, version)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON inventory.content
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE inventory.content ENABLE ALWAYS TRIGGER append_only;

-- Written by the functions below and by those of the purchase only.
GRANT SELECT ON inventory.counted, inventory.hold, inventory.put_up, inventory.content TO fondaco_app;
SELECT core.wall('inventory.counted', '', 'seller_id');
SELECT core.wall('inventory.hold', '', 'seller_id');
SELECT core.wall('inventory.put_up', '', 'seller_id');
SELECT core.wall('inventory.content', '', 'seller_id');

CREATE FUNCTION inventory.count_article() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
BEGIN
  INSERT INTO counted (listing_id, seller_id) VALUES (NEW.id, NEW.seller_id);
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION inventory.count_article FROM PUBLIC;
CREATE TRIGGER counted AFTER INSERT ON catalog.listing
  FOR EACH ROW WHEN (NEW.kind = 'article') EXECUTE FUNCTION inventory.count_article();

-- Finds and locks free units of several listings, p_need[k] of listing k, from a random place on, passing
-- over locked ones. Answers them in order of the listings, and how many of each there were.
CREATE FUNCTION inventory.find_units(p_listings uuid[], p_need int[], OUT units uuid[], OUT got int[])
LANGUAGE plpgsql SET search_path = inventory, pg_temp AS $$
DECLARE
  place uuid := gen_random_uuid();
  missing int := 0;
  n int;
  whose bigint[];
BEGIN
  SELECT coalesce(array_agg(u.id ORDER BY t.k), '{}'), coalesce(array_agg(t.k ORDER BY t.k), '{}') INTO units, whose
    FROM unnest(p_listings, p_need) WITH ORDINALITY t(listing, need, k), LATERAL (
      SELECT s.id FROM stock_unit s WHERE s.listing_id = t.listing AND s.state = 'AVAILABLE' AND s.id >= place
      ORDER BY s.id LIMIT t.need FOR UPDATE SKIP LOCKED) u;
  FOREACH n IN ARRAY p_need LOOP
    missing := missing + n;
  END LOOP;
  missing := missing - cardinality(units);
  got := p_need;
  IF missing = 0 THEN RETURN; END IF;
  SELECT units || coalesce(array_agg(u.id), '{}'), whose || coalesce(array_agg(t.k), '{}') INTO units, whose
    FROM unnest(p_listings, p_need) WITH ORDINALITY t(listing, need, k), LATERAL (
      SELECT s.id FROM stock_unit s WHERE s.listing_id = t.listing AND s.state = 'AVAILABLE' AND s.id < place
      ORDER BY s.id LIMIT t.need - cardinality(array_positions(whose, t.k)) FOR UPDATE SKIP LOCKED) u;
  units := ARRAY(SELECT t.id FROM unnest(units, whose) t(id, k) ORDER BY t.k);
  got := ARRAY(SELECT cardinality(array_positions(whose, k)) FROM generate_series(1::bigint, cardinality(p_need)) k);
END $$;

-- Finds and locks the counted copies of several articles, in order; answers how many of those needed there are.
CREATE FUNCTION inventory.find_copies(p_listings uuid[], p_need int[]) RETURNS int[]
LANGUAGE plpgsql SET search_path = inventory, pg_temp AS $$
BEGIN
  PERFORM 1 FROM counted c WHERE c.listing_id = ANY (p_listings) ORDER BY c.listing_id FOR NO KEY UPDATE;
  RETURN ARRAY(SELECT least(coalesce(c.on_hand, 0), t.need)
    FROM unnest(p_listings, p_need) WITH ORDINALITY t(listing, need, k)
    LEFT JOIN counted c ON c.listing_id = t.listing ORDER BY t.k);
END $$;

-- Ends what is held for these lines: sold, or back on hand. Answers the articles.
CREATE FUNCTION inventory.settle_holds(p_lines uuid[], p_sold boolean) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = inventory, pg_temp AS $$
DECLARE
  touched uuid[];
BEGIN
  IF NOT EXISTS (SELECT 1 FROM hold h WHERE h.line_id = ANY (p_lines)) THEN RETURN '{}'; END IF;
  PERFORM 1 FROM counted c WHERE c.listing_id IN (SELECT h.listing_id FROM hold h WHERE h.line_id = ANY (p_lines))
    ORDER BY c.listing_id FOR NO KEY UPDATE;
  WITH ended AS (DELETE FROM hold h WHERE h.line_id = ANY (p_lines) RETURNING h.listing_id, h.quantity),
  moved AS (
    UPDATE counted c SET sold = c.sold + CASE WHEN p_sold THEN t.copies ELSE 0 END,
        on_hand = c.on_hand + CASE WHEN p_sold THEN 0 ELSE t.copies END
      FROM (SELECT e.listing_id, sum(e.quantity)::int AS copies FROM ended e GROUP BY e.listing_id) t
      WHERE c.listing_id = t.listing_id RETURNING c.listing_id)
  SELECT array_agg(m.listing_id) INTO touched FROM moved m;
  RETURN touched;
END $$;

REVOKE ALL ON FUNCTION inventory.find_units, inventory.find_copies, inventory.settle_holds FROM PUBLIC;

-- How many free units or copies a listing has, told up to p_most and never beyond ten: for the stock word.
CREATE FUNCTION inventory.left_up_to(p_listing uuid, p_most int) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
  SELECT coalesce(
    (SELECT least(on_hand, p_most, 10) FROM counted WHERE listing_id = p_listing),
    (SELECT count(*)::int FROM (SELECT 1 FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE'
                                LIMIT least(p_most, 10)) few))
$$;
REVOKE ALL ON FUNCTION inventory.left_up_to FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inventory.left_up_to TO fondaco_app;

-- The same for many listings at once, in the order asked, told up to ten.
CREATE FUNCTION inventory.left_of(p_listings uuid[]) RETURNS TABLE (listing_id uuid, available int)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
  SELECT asked.id, coalesce(
    (SELECT least(c.on_hand, 10) FROM counted c WHERE c.listing_id = asked.id),
    (SELECT count(*)::int FROM (SELECT 1 FROM stock_unit u WHERE u.listing_id = asked.id AND u.state = 'AVAILABLE'
                                LIMIT 10) few))
  FROM unnest(p_listings) WITH ORDINALITY asked(id, place) ORDER BY place
$$;
REVOKE ALL ON FUNCTION inventory.left_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inventory.left_of TO fondaco_app;

-- Sets catalog.listing.in_stock to what is true. Locks the listing first and looks then, so that units
-- that arrive and units that are sold at the same moment cannot leave the wrong word behind.
CREATE FUNCTION inventory.refresh_in_stock(p_listing uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
DECLARE
  there boolean;
BEGIN
  PERFORM 1 FROM catalog.listing WHERE id = p_listing FOR NO KEY UPDATE;
  there := coalesce((SELECT on_hand > 0 FROM counted WHERE listing_id = p_listing),
                    EXISTS (SELECT 1 FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE'));
  UPDATE catalog.listing SET in_stock = there WHERE id = p_listing AND in_stock <> there;
  RETURN there;
END $$;
REVOKE ALL ON FUNCTION inventory.refresh_in_stock FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inventory.refresh_in_stock TO fondaco_app;

-- The viewer's store puts p_copies of its article up for sale, no more and no fewer from this moment on.
-- Answers by how much that changed it; NULL when the row is not at p_version (somebody else changed it).
CREATE FUNCTION inventory.set_copies(p_listing uuid, p_copies int, p_version int, p_actor text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
DECLARE
  c counted;
BEGIN
  SELECT * INTO c FROM counted t WHERE t.listing_id = p_listing AND t.version = p_version
    AND (core.is_system() OR t.seller_id = core.viewer_seller()) FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  IF p_copies = c.on_hand THEN RETURN 0; END IF;
  UPDATE counted t SET on_hand = p_copies, version = version + 1 WHERE t.listing_id = p_listing;
  INSERT INTO put_up (listing_id, seller_id, change, made_by)
    VALUES (p_listing, c.seller_id, p_copies - c.on_hand, p_actor);
  PERFORM inventory.refresh_in_stock(p_listing);
  RETURN p_copies - c.on_hand;
END $$;
REVOKE ALL ON FUNCTION inventory.set_copies FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inventory.set_copies TO fondaco_app;

-- A new version of the content of the viewer's article. p_version: the one it follows (0: the first).
-- Answers whether it was taken; not when there is another newest version by now.
CREATE FUNCTION inventory.add_content(p_listing uuid, p_version int, p_key uuid, p_sealed bytea, p_actor text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
DECLARE
  c counted;
BEGIN
  UPDATE counted t SET content_version = p_version + 1
    WHERE t.listing_id = p_listing AND t.content_version = p_version
      AND (core.is_system() OR t.seller_id = core.viewer_seller()) RETURNING * INTO c;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO content (listing_id, version, seller_id, key_id, sealed, created_by)
    VALUES (p_listing, c.content_version, c.seller_id, p_key, p_sealed, p_actor);
  RETURN true;
END $$;
REVOKE ALL ON FUNCTION inventory.add_content FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inventory.add_content TO fondaco_app;
