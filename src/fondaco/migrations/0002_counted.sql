-- Counted stock: listings sold by number. Adds only; what runs on the version before goes on working.
--
-- Names for whoever builds on it:
--   catalog.listing.kind            'stocked_secret' or 'article'; never changes
--   inventory.counted               one row per article (made by a trigger with the listing): on_hand, sold,
--                                   version (of the seller's changes), content_version (0: no content yet)
--   inventory.hold                  copies held for a card checkout, by line_id; the row goes when it is paid
--                                   (its quantity to sold) or given up (its quantity back to on_hand)
--   inventory.put_up                the seller's changes, append-only: sum(change) = on_hand + held + sold
--   inventory.content               the sealed versions of an article, append-only
--   delivery.entitlement            an article's has unit_id NULL and content_version = counted.content_version
--                                   at the sale: one row per copy; counted.sold is the number of these rows
--   inventory.refresh_in_stock, left_up_to work for both kinds; inventory.set_copies, add_content for sellers

ALTER TABLE catalog.listing DROP CONSTRAINT listing_kind_check,
  ADD CONSTRAINT listing_kind_check CHECK (kind IN ('stocked_secret', 'article')) NOT VALID;
ALTER TABLE catalog.listing VALIDATE CONSTRAINT listing_kind_check;

-- What kind of thing a listing sells is settled when it is made.
CREATE FUNCTION catalog.kind_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a listing keeps its kind' USING ERRCODE = '23514', CONSTRAINT = 'listing_kind_stays';
END $$;
CREATE TRIGGER kind_stays BEFORE UPDATE OF kind ON catalog.listing
  FOR EACH ROW WHEN (OLD.kind <> NEW.kind) EXECUTE FUNCTION catalog.kind_stays();

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
ALTER TABLE inventory.hold ADD FOREIGN KEY (line_id) REFERENCES orders.order_line
  DEFERRABLE INITIALLY DEFERRED;

-- How many free units or copies a listing has, told up to p_most and never beyond ten: for the stock word.
CREATE OR REPLACE FUNCTION inventory.left_up_to(p_listing uuid, p_most int) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
  SELECT coalesce(
    (SELECT least(on_hand, p_most, 10) FROM counted WHERE listing_id = p_listing),
    (SELECT count(*)::int FROM (SELECT 1 FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE'
                                LIMIT least(p_most, 10)) few))
$$;

-- Sets catalog.listing.in_stock to what is true. Locks the listing first and looks then, so that units
-- that arrive and units that are sold at the same moment cannot leave the wrong word behind.
CREATE OR REPLACE FUNCTION inventory.refresh_in_stock(p_listing uuid) RETURNS boolean
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

ALTER TABLE delivery.entitlement ALTER COLUMN unit_id DROP NOT NULL, ADD COLUMN content_version int,
  ADD CONSTRAINT entitlement_content FOREIGN KEY (listing_id, content_version) REFERENCES inventory.content NOT VALID,
  ADD CONSTRAINT entitlement_one_thing CHECK (num_nonnulls(unit_id, content_version) = 1) NOT VALID;
ALTER TABLE delivery.entitlement VALIDATE CONSTRAINT entitlement_content;
ALTER TABLE delivery.entitlement VALIDATE CONSTRAINT entitlement_one_thing;
ALTER TABLE delivery.reveal ADD COLUMN content_version int;

-- Callers of the version before name five arguments and three columns: both still fit.
DROP FUNCTION delivery.reveal_unit(uuid, uuid, text, text, text);
-- The owner asks for the secret: noted first, handed out sealed. No row: not this user's, or revoked.
-- From the first time on a unit is consumed and can never be sold again. Of an article the newest content is
-- shown, or with p_as_bought the one that was the newest when it was bought.
CREATE FUNCTION delivery.reveal_unit(p_entitlement uuid, p_user uuid, p_ip text, p_user_agent text, p_actor text,
                                     p_as_bought boolean DEFAULT false)
RETURNS TABLE (unit_id uuid, key_id uuid, sealed bytea, first_time boolean, listing_id uuid, content_version int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = delivery, pg_temp AS $$
DECLARE
  e entitlement;
BEGIN
  SELECT * INTO e FROM entitlement t
    WHERE t.id = p_entitlement AND t.buyer_id = p_user AND t.revoked_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  unit_id := e.unit_id;
  listing_id := e.listing_id;
  IF e.unit_id IS NULL THEN
    SELECT c.version, c.key_id, c.sealed INTO STRICT content_version, key_id, sealed FROM inventory.content c
      WHERE c.listing_id = e.listing_id AND (NOT p_as_bought OR c.version = e.content_version)
      ORDER BY c.version DESC LIMIT 1;
  ELSE
    SELECT u.key_id, u.sealed INTO STRICT key_id, sealed FROM inventory.stock_unit u WHERE u.id = e.unit_id;
  END IF;
  INSERT INTO reveal (entitlement_id, user_id, ip, user_agent, content_version)
    VALUES (e.id, p_user, p_ip, p_user_agent, reveal_unit.content_version);
  first_time := e.revealed_at IS NULL;
  IF first_time THEN
    UPDATE entitlement t SET revealed_at = now() WHERE t.id = e.id;
    UPDATE inventory.stock_unit u SET state = 'CONSUMED' WHERE u.id = e.unit_id AND u.state = 'SOLD';
  END IF;
  PERFORM audit.record('secret.revealed', 'entitlement:' || e.id, p_actor, jsonb_strip_nulls(jsonb_build_object(
    'order_id', e.order_id, 'line_id', e.line_id, 'first_time', first_time,
    'content_version', reveal_unit.content_version)));
  RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION delivery.reveal_unit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delivery.reveal_unit TO fondaco_app;

-- The terms of a line say its kind.
-- The lines of a purchase, one per listing (a listing named twice is added up), in order of the listings.
CREATE OR REPLACE FUNCTION orders.look(p jsonb, p_pay text) RETURNS orders.wanted[]
LANGUAGE sql SET search_path = orders, pg_temp AS $$
  SELECT array_agg(ROW(
      w.line_id, w.listing_id, w.quantity, l.seller_id, l.price,
      l.price * w.quantity * coalesce(s.commission_bps, (p->>'bps')::int) / 10000, l.title,
      CASE
        WHEN l.state IS DISTINCT FROM 'PUBLISHED' OR s.state <> 'OPEN' THEN 'unavailable'
        WHEN EXISTS (SELECT 1 FROM identity.membership m
                     WHERE m.user_id = (p->>'buyer')::uuid AND m.seller_id = l.seller_id) THEN 'own_goods'
        WHEN NOT region_fits(l.region, p->>'country') THEN 'region'
        WHEN w.quantity > l.max_per_order THEN 'too_many'
        WHEN w.low_price <> l.price OR w.high_price <> l.price
          OR w.low_price IS NULL AND w.price_version IS DISTINCT FROM l.price_version THEN 'price_changed'
        WHEN l.currency::text <> p->>'currency' THEN 'currency'
        ELSE ''
      END,
      jsonb_build_object('listing_id', w.listing_id, 'title', l.title, 'price', l.price,
        'price_version', l.price_version, 'currency', l.currency, 'seen_price', w.low_price,
        'quantity', w.quantity, 'max_per_order', l.max_per_order, 'region', l.region),
      jsonb_build_object('title', l.title, 'slug', l.slug, 'kind', l.kind, 'platform', l.platform,
        'region', l.region, 'edition', l.edition, 'activation', l.activation, 'seller', s.name, 'seller_slug', s.slug,
        'price_version', l.price_version, 'listing_version', l.version,
        'commission_bps', coalesce(s.commission_bps, (p->>'bps')::int), 'funding', p_pay,
        'protection_days', (p->>'protection_days')::int, 'maturity_days', (p->>'maturity_days')::int)
    )::wanted ORDER BY w.listing_id)
  FROM (
    SELECT (x->>'listing')::uuid AS listing_id, (array_agg((x->>'id')::uuid))[1] AS line_id,
           sum((x->>'quantity')::int)::int AS quantity, min((x->>'price')::bigint) AS low_price,
           max((x->>'price')::bigint) AS high_price, max((x->>'price_version')::int) AS price_version
    FROM jsonb_array_elements(p->'lines') x GROUP BY 1
  ) w
  LEFT JOIN catalog.listing l ON l.id = w.listing_id
  LEFT JOIN sellers.seller s ON s.id = l.seller_id
$$;
