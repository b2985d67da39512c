-- The catalogue knows when it changed, and lists of what is in stock have their own indexes. Adds only.
-- Building the indexes takes about a second for every 200,000 listings; what changes listings waits so long.

-- The epoch counts the statements that changed what the shop shows. It moves in the transaction that makes
-- the change and is seen together with it: what a web process keeps of the shop is good exactly while the sum
-- of n stands. A writer takes the first row that nobody else has, or a new one, so none waits for another.
CREATE TABLE catalog.epoch (
  slot bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  n    bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
GRANT SELECT ON catalog.epoch TO fondaco_app;

CREATE FUNCTION catalog.count_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = catalog, pg_temp AS $$
BEGIN
  UPDATE epoch SET n = n + 1
    WHERE slot = (SELECT slot FROM epoch ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED);
  IF NOT FOUND THEN INSERT INTO epoch DEFAULT VALUES; END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION catalog.count_change FROM PUBLIC;
CREATE TRIGGER shown AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON catalog.category
  FOR EACH STATEMENT EXECUTE FUNCTION catalog.count_change();
CREATE TRIGGER shown AFTER UPDATE OF slug, name, about, support_email, country, state, created_at
  ON sellers.seller FOR EACH STATEMENT EXECUTE FUNCTION catalog.count_change();

-- Drafts are not shown, and a statement may find no row at all: neither counts.
CREATE FUNCTION catalog.count_listings() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = catalog, pg_temp AS $$
DECLARE
  shown boolean := TG_OP = 'TRUNCATE';
BEGIN
  IF TG_OP IN ('UPDATE', 'DELETE') THEN
    shown := EXISTS (SELECT 1 FROM were WHERE state = 'PUBLISHED');
  END IF;
  IF NOT shown AND TG_OP IN ('UPDATE', 'INSERT') THEN
    shown := EXISTS (SELECT 1 FROM are WHERE state = 'PUBLISHED');
  END IF;
  IF shown THEN
    UPDATE epoch SET n = n + 1
      WHERE slot = (SELECT slot FROM epoch ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED);
    IF NOT FOUND THEN INSERT INTO epoch DEFAULT VALUES; END IF;
  END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION catalog.count_listings FROM PUBLIC;
CREATE TRIGGER shown_inserted AFTER INSERT ON catalog.listing REFERENCING NEW TABLE AS are
  FOR EACH STATEMENT EXECUTE FUNCTION catalog.count_listings();
CREATE TRIGGER shown_updated AFTER UPDATE ON catalog.listing REFERENCING OLD TABLE AS were NEW TABLE AS are
  FOR EACH STATEMENT EXECUTE FUNCTION catalog.count_listings();
CREATE TRIGGER shown_deleted AFTER DELETE ON catalog.listing REFERENCING OLD TABLE AS were
  FOR EACH STATEMENT EXECUTE FUNCTION catalog.count_listings();
CREATE TRIGGER shown_truncated AFTER TRUNCATE ON catalog.listing
  FOR EACH STATEMENT EXECUTE FUNCTION catalog.count_listings();

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

CREATE INDEX listing_newest_there ON catalog.listing (published_at DESC, id DESC)
  WHERE state = 'PUBLISHED' AND in_stock;
CREATE INDEX listing_price_there ON catalog.listing (price, id) WHERE state = 'PUBLISHED' AND in_stock;
CREATE INDEX listing_popular_there ON catalog.listing (sold DESC, id DESC) WHERE state = 'PUBLISHED' AND in_stock;
CREATE INDEX listing_category_popular ON catalog.listing (category, sold DESC, id DESC) WHERE state = 'PUBLISHED';
CREATE INDEX listing_seller_popular ON catalog.listing (seller_id, sold DESC, id DESC) WHERE state = 'PUBLISHED';

-- The same rows for pages in an order. The store is looked up row by row, so that the planner follows the order's
-- index and stops when the page is full, however wrong its guess of what is left may be. (IS NOT NULL, because
-- of that it guesses rightly that nearly all rows pass.)
CREATE VIEW catalog.in_order AS
  SELECT l.* FROM catalog.listing l
  WHERE l.state = 'PUBLISHED'
    AND (SELECT s.id FROM sellers.seller s WHERE s.id = l.seller_id AND s.state = 'OPEN') IS NOT NULL;
GRANT SELECT ON catalog.in_order TO fondaco_app;
