-- catalog: products (what a thing is), variants of them, and sellers' listings.
CREATE SCHEMA catalog;
GRANT USAGE ON SCHEMA catalog TO fondaco_app;

-- Words as the search compares them: without accents, case and ASCII punctuation. What is written and
-- what is asked go through the same function.
CREATE FUNCTION catalog.search_text(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT regexp_replace(regexp_replace(lower(normalize(p_text, NFKD)), U&'[\0300-\036f]+', '', 'g'),
                        U&'[\0001-\002f\003a-\0040\005b-\0060\007b-\007f]+', ' ', 'g')
$$;

-- A question to the search: every word must be there, the last one may be only begun.
CREATE FUNCTION catalog.search_query(p_text text) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = catalog, pg_catalog, pg_temp AS $$
  SELECT to_tsquery('simple', coalesce(string_agg(
      quote_literal(word) || CASE WHEN place = last THEN ':*' ELSE '' END, ' & ' ORDER BY place), ''))
  FROM (SELECT word, place, max(place) OVER () AS last
        FROM regexp_split_to_table(search_text(p_text), '\s+') WITH ORDINALITY AS t(word, place)
        WHERE word <> '' LIMIT 12) words
$$;
GRANT EXECUTE ON FUNCTION catalog.search_text, catalog.search_query TO fondaco_app;

-- Whether a key of this region can be activated in this country (NULL: unknown). Equal to
-- fondaco.catalog.can_activate; a test compares them.
CREATE FUNCTION catalog.can_activate(p_region text, p_country text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_region = 'GLOBAL' OR coalesce(p_region = p_country OR (p_region = 'EU' AND p_country IN (
    'AT', 'BE', 'BG', 'CY', 'CZ', 'DE', 'DK', 'EE', 'ES', 'FI', 'FR', 'GR', 'HR', 'HU', 'IE', 'IT', 'LT',
    'LU', 'LV', 'MT', 'NL', 'PL', 'PT', 'RO', 'SE', 'SI', 'SK')), false)
$$;
GRANT EXECUTE ON FUNCTION catalog.can_activate TO fondaco_app;

CREATE TABLE catalog.category (
  slug     text PRIMARY KEY,
  name     text NOT NULL,
  position int NOT NULL
);

CREATE TABLE catalog.product (
  id         uuid PRIMARY KEY,
  slug       text NOT NULL UNIQUE,
  title      text NOT NULL CHECK (length(title) BETWEEN 2 AND 140),
  category   text NOT NULL REFERENCES catalog.category,
  created_by uuid NOT NULL REFERENCES sellers.seller,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Platform, region and edition: what a buyer must know before paying.
CREATE TABLE catalog.variant (
  id         uuid PRIMARY KEY,
  product_id uuid NOT NULL REFERENCES catalog.product,
  platform   text NOT NULL,                        -- 'Steam', 'PlayStation', 'Windows', ...
  region     text NOT NULL,                        -- 'GLOBAL', 'EU', 'US', or a country code
  edition    text NOT NULL DEFAULT 'Standard',
  UNIQUE (product_id, platform, region, edition)
);

CREATE TABLE catalog.listing (
  id             uuid PRIMARY KEY,
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  variant_id     uuid NOT NULL REFERENCES catalog.variant,
  kind           text NOT NULL CHECK (kind IN ('stocked_secret', 'article')),     -- never changes
  slug           text NOT NULL UNIQUE,
  title          text NOT NULL CHECK (length(title) BETWEEN 2 AND 140),
  summary        text NOT NULL DEFAULT '' CHECK (length(summary) <= 300),
  description    text NOT NULL DEFAULT '' CHECK (length(description) <= 20000),   -- Markdown
  activation     text NOT NULL DEFAULT '' CHECK (length(activation) <= 5000),     -- Markdown: how to redeem
  key_format     text NOT NULL DEFAULT '' CHECK (length(key_format) <= 120),      -- pattern such as AAAAA-AAAAA
  cover          text,                                   -- blob name; NULL: generated from the title
  category       text NOT NULL REFERENCES catalog.category,
  platform       text NOT NULL,                          -- copied from the variant for filtering
  region         text NOT NULL,
  edition        text NOT NULL,
  price          bigint NOT NULL CHECK (price BETWEEN 1 AND 100000000),           -- minor units
  currency       char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  price_version  int NOT NULL DEFAULT 1,
  max_per_order  int NOT NULL DEFAULT 10 CHECK (max_per_order BETWEEN 1 AND 100),
  state          text NOT NULL,
  in_stock       boolean NOT NULL DEFAULT false,         -- moved at the edges: import, last unit sold
  sold           bigint NOT NULL DEFAULT 0,              -- ranks, never pays; rebuilt from orders
  created_at     timestamptz NOT NULL DEFAULT now(),
  published_at   timestamptz,
  version        int NOT NULL DEFAULT 1,
  document       tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('simple', catalog.search_text(title)), 'A') ||
    setweight(to_tsvector('simple', catalog.search_text(platform || ' ' || region || ' ' || edition)), 'B') ||
    setweight(to_tsvector('simple', catalog.search_text(summary)), 'C')) STORED
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON catalog.listing
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('listing', 'state');
-- What kind of thing a listing sells is settled when it is made.
CREATE FUNCTION catalog.kind_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a listing keeps its kind' USING ERRCODE = '23514', CONSTRAINT = 'listing_kind_stays';
END $$;
CREATE TRIGGER kind_stays BEFORE UPDATE OF kind ON catalog.listing
  FOR EACH ROW WHEN (OLD.kind <> NEW.kind) EXECUTE FUNCTION catalog.kind_stays();
CREATE INDEX listing_newest ON catalog.listing (published_at DESC, id DESC) WHERE state = 'PUBLISHED';
CREATE INDEX listing_price ON catalog.listing (price, id) WHERE state = 'PUBLISHED';
CREATE INDEX listing_popular ON catalog.listing (sold DESC, id DESC) WHERE state = 'PUBLISHED';
CREATE INDEX listing_category ON catalog.listing (category, published_at DESC, id DESC) WHERE state = 'PUBLISHED';
CREATE INDEX listing_filter ON catalog.listing (platform, region, category) WHERE state = 'PUBLISHED';
CREATE INDEX listing_newest_there ON catalog.listing (published_at DESC, id DESC)
  WHERE state = 'PUBLISHED' AND in_stock;
CREATE INDEX listing_price_there ON catalog.listing (price, id) WHERE state = 'PUBLISHED' AND in_stock;
CREATE INDEX listing_popular_there ON catalog.listing (sold DESC, id DESC) WHERE state = 'PUBLISHED' AND in_stock;
CREATE INDEX listing_category_popular ON catalog.listing (category, sold DESC, id DESC) WHERE state = 'PUBLISHED';
CREATE INDEX listing_seller_popular ON catalog.listing (seller_id, sold DESC, id DESC) WHERE state = 'PUBLISHED';
CREATE INDEX listing_seller ON catalog.listing (seller_id, created_at DESC, id DESC);
CREATE INDEX listing_variant ON catalog.listing (variant_id);
CREATE INDEX listing_made ON catalog.listing (created_at DESC, id DESC);
CREATE INDEX listing_seller_state ON catalog.listing (seller_id, state);
CREATE INDEX listing_offers ON catalog.listing (variant_id, in_stock DESC, price, id) WHERE state = 'PUBLISHED';
CREATE INDEX listing_document ON catalog.listing USING gin (document);
GRANT SELECT ON catalog.category TO fondaco_app;
GRANT SELECT, INSERT ON catalog.product, catalog.variant TO fondaco_app;
GRANT SELECT, INSERT, UPDATE ON catalog.listing TO fondaco_app;

-- The second wall: the public sees what is published, a seller all of its own.
ALTER TABLE catalog.listing ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON catalog.listing FOR SELECT TO fondaco_app USING (
  state = 'PUBLISHED' OR (SELECT core.is_system()) OR seller_id = (SELECT core.viewer_seller()));
CREATE POLICY made ON catalog.listing FOR INSERT TO fondaco_app WITH CHECK (
  (SELECT core.is_system()) OR seller_id = (SELECT core.viewer_seller()));
CREATE POLICY changed ON catalog.listing FOR UPDATE TO fondaco_app USING (
  (SELECT core.is_system()) OR seller_id = (SELECT core.viewer_seller()));

-- What everybody may see, and nothing else. Read as the view's owner: the wall's conditions would keep the
-- search from using its index, so this WHERE clause is the wall here.
CREATE VIEW catalog.on_sale AS
  SELECT l.*, s.slug AS seller_slug, s.name AS seller_name
  FROM catalog.listing l JOIN sellers.seller s ON s.id = l.seller_id
  WHERE l.state = 'PUBLISHED' AND s.state = 'OPEN';
GRANT SELECT ON catalog.on_sale TO fondaco_app;

-- The same rows for pages in an order. The store is looked up row by row, so that the planner follows the order's
-- index and stops when the page is full, however wrong its guess of what is left may be. (IS NOT NULL, because
-- of that it guesses rightly that nearly all rows pass.)
CREATE VIEW catalog.in_order AS
  SELECT l.* FROM catalog.listing l
  WHERE l.state = 'PUBLISHED'
    AND (SELECT s.id FROM sellers.seller s WHERE s.id = l.seller_id AND s.state = 'OPEN') IS NOT NULL;
GRANT SELECT ON catalog.in_order TO fondaco_app;

-- What everybody sees of these listings, asked by id or by slug: a row for each that is on sale and rows for up
-- to twenty other offers of its product, `n` saying for which asked one. One trip for pages that are asked for
-- in the same moment, and planned once: its plan is the same for all, and planning takes longer than running.
-- What is joined is looked up row by row (LIMIT 1), however small the planner believes the tables to be.
CREATE FUNCTION catalog.listing_pages(p_ids uuid[], p_slugs text[])
RETURNS TABLE (
  n bigint, this boolean, id uuid, slug text, product_id uuid, title text, summary text, category text,
  category_name text, platform text, region text, edition text, price bigint, currency text, price_version int,
  cover text, max_per_order int, published_at timestamptz, kind text, state text, seller_id uuid,
  seller_slug text, seller_name text, available int, description text, activation text, about text
) LANGUAGE plpgsql STABLE SET search_path = catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH asked AS MATERIALIZED (
      SELECT a.n, l.id, (SELECT v.product_id FROM variant v WHERE v.id = l.variant_id) AS product_id
      FROM unnest(p_ids, p_slugs) WITH ORDINALITY a(id, slug, n) CROSS JOIN LATERAL (
        SELECT i.id, i.variant_id FROM in_order i
        WHERE i.id = coalesce(a.id, (SELECT o.id FROM in_order o WHERE o.slug = a.slug)) LIMIT 1) l),
    shown AS MATERIALIZED (
      SELECT asked.n, asked.id, true AS this FROM asked
      UNION ALL
      SELECT asked.n, o.id, false FROM asked CROSS JOIN LATERAL (
        SELECT f.id FROM variant v CROSS JOIN LATERAL (
          SELECT l.id, l.in_stock, l.price FROM in_order l
          WHERE l.variant_id = v.id AND l.id <> asked.id
          ORDER BY l.in_stock DESC, l.price, l.id LIMIT 20) f
        WHERE v.product_id = asked.product_id ORDER BY f.in_stock DESC, f.price, f.id LIMIT 20) o)
    SELECT s.n, s.this, l.id, l.slug, (SELECT v.product_id FROM variant v WHERE v.id = l.variant_id), l.title,
      l.summary, l.category, (SELECT c.name FROM category c WHERE c.slug = l.category), l.platform, l.region,
      l.edition, l.price, l.currency::text, l.price_version, l.cover, l.max_per_order, l.published_at, l.kind,
      l.state, l.seller_id, l.seller_slug, l.seller_name, t.available,
      CASE WHEN s.this THEN l.description END, CASE WHEN s.this THEN l.activation END,
      CASE WHEN s.this THEN (SELECT e.about FROM sellers.seller e WHERE e.id = l.seller_id) END
    FROM shown s
    JOIN inventory.left_of(ARRAY(SELECT DISTINCT d.id FROM shown d)) t ON t.listing_id = s.id
    CROSS JOIN LATERAL (SELECT o.* FROM on_sale o WHERE o.id = s.id LIMIT 1) l
    ORDER BY s.n, s.this DESC, l.in_stock DESC, l.price, l.id;
END $$;
REVOKE ALL ON FUNCTION catalog.listing_pages FROM PUBLIC;
GRANT EXECUTE ON FUNCTION catalog.listing_pages TO fondaco_app;

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

INSERT INTO catalog.category (slug, name, position) VALUES
  ('games', 'Games', 1), ('gift-cards', 'Gift cards', 2), ('software', 'Software', 3),
  ('subscriptions', 'Subscriptions', 4), ('game-credit', 'Game credit', 5), ('learning', 'Learning', 6);
