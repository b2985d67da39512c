-- Papers that never change.
CREATE SCHEMA statements;
GRANT USAGE ON SCHEMA statements TO fondaco_app;

-- Numbers without a gap: one row per kind of paper and year, locked until the paper that took the number is kept.
CREATE TABLE statements.series (
  name text PRIMARY KEY CHECK (name ~ '^[A-Z]{2,4}-[0-9]{4}$'),
  last bigint NOT NULL CHECK (last >= 1)
);

CREATE TABLE statements.paper (
  id        uuid PRIMARY KEY,
  kind      text NOT NULL CHECK (kind IN ('invoice', 'credit_note', 'commission_invoice', 'commission_credit_note',
                                          'payout_statement', 'statement')),
  series    text NOT NULL REFERENCES statements.series,
  seq       bigint NOT NULL CHECK (seq >= 1),
  number    text NOT NULL UNIQUE,
  ref       text NOT NULL,                             -- what it is about: 'order:<id>', 'payout:<id>', ...
  buyer_id  uuid REFERENCES identity.users,            -- whose paper it is: a buyer's or a store's
  seller_id uuid REFERENCES sellers.seller,
  order_id  uuid REFERENCES orders.orders,
  currency  char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  total     bigint NOT NULL,                           -- minor units
  period    text CHECK (period ~ '^[0-9]{4}-[0-9]{2}$'),
  content   text NOT NULL,                             -- canonical JSON; PDF and CSV are made of it alone
  hash      bytea NOT NULL,
  issued_at timestamptz NOT NULL,
  UNIQUE (series, seq),
  UNIQUE (kind, ref),
  CHECK (num_nonnulls(buyer_id, seller_id) = 1),
  CHECK (number = series || '-' || lpad(seq::text, 6, '0')),
  CHECK (hash = sha256(convert_to(content, 'UTF8')))
);
CREATE INDEX paper_buyer ON statements.paper (buyer_id, issued_at DESC, id DESC) WHERE buyer_id IS NOT NULL;
CREATE INDEX paper_seller ON statements.paper (seller_id, issued_at DESC, id DESC) WHERE seller_id IS NOT NULL;
CREATE INDEX paper_newest ON statements.paper (issued_at DESC, id DESC);
CREATE INDEX paper_order ON statements.paper (order_id) WHERE order_id IS NOT NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON statements.paper
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE statements.paper ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER never_gone BEFORE DELETE OR TRUNCATE ON statements.series
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE statements.series ENABLE ALWAYS TRIGGER never_gone;

-- Numbers are taken only together with their papers: at commit every number of the series stands on one.
CREATE FUNCTION statements.check_series() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  before bigint := CASE WHEN TG_OP = 'UPDATE' THEN OLD.last ELSE 0 END;
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.name <> OLD.name OR NEW.last <= before OR NEW.last - before <> (
      SELECT count(*) FROM statements.paper WHERE series = NEW.name AND seq > before AND seq <= NEW.last) THEN
    RAISE EXCEPTION 'numbers up to % of % do not all stand on papers', NEW.last, NEW.name
      USING ERRCODE = '23514', CONSTRAINT = 'series_without_gap';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER without_gap AFTER INSERT OR UPDATE ON statements.series DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION statements.check_series();
ALTER TABLE statements.series ENABLE ALWAYS TRIGGER without_gap;

-- A paper carries a number that was drawn.
CREATE FUNCTION statements.check_paper() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.seq > (SELECT last FROM statements.series WHERE name = NEW.series) THEN
    RAISE EXCEPTION 'number % of % was not drawn', NEW.seq, NEW.series
      USING ERRCODE = '23514', CONSTRAINT = 'paper_number_drawn';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER number_drawn BEFORE INSERT ON statements.paper
  FOR EACH ROW EXECUTE FUNCTION statements.check_paper();
ALTER TABLE statements.paper ENABLE ALWAYS TRIGGER number_drawn;

-- Draws the next numbers of a series and answers the last of them; whoever draws next waits until this
-- transaction is over.
CREATE FUNCTION statements.draw(p_series text, p_count int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = statements, pg_temp AS $$
  INSERT INTO series AS s (name, last) VALUES (p_series, p_count)
  ON CONFLICT (name) DO UPDATE SET last = s.last + p_count RETURNING last
$$;

-- Months whose statements and commission invoices are all issued.
CREATE TABLE statements.closed_month (
  period    text PRIMARY KEY CHECK (period ~ '^[0-9]{4}-[0-9]{2}$'),
  closed_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT ON statements.closed_month TO fondaco_app;

GRANT SELECT ON statements.series TO fondaco_app;
GRANT SELECT, INSERT ON statements.paper TO fondaco_app;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA statements FROM PUBLIC;
GRANT EXECUTE ON FUNCTION statements.draw TO fondaco_app;
SELECT core.wall('statements.paper', 'buyer_id', 'seller_id');
SELECT core.wall('statements.series', '', '');
SELECT core.wall('statements.closed_month', '', '');

-- What share the marketplace takes, by store, category, kind and price; the most specific rule wins. Rules are
-- not changed: one ends, another begins. A purchase freezes what it found in its lines.
CREATE TABLE orders.commission_rule (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  seller_id  uuid REFERENCES sellers.seller,
  category   text,
  kind       text CHECK (kind IN ('stocked_secret', 'article')),
  currency   char(3) CHECK (currency ~ '^[A-Z]{3}$'),  -- with a price band
  price_from bigint CHECK (price_from >= 0),           -- minor units, included
  price_to   bigint CHECK (price_to > 0),              -- excluded
  bps        int NOT NULL CHECK (bps BETWEEN 0 AND 5000),
  weight     int GENERATED ALWAYS AS (
    CASE WHEN seller_id IS NULL THEN 0 ELSE 8 END + CASE WHEN category IS NULL THEN 0 ELSE 4 END
    + CASE WHEN kind IS NULL THEN 0 ELSE 2 END + CASE WHEN currency IS NULL THEN 0 ELSE 1 END) STORED,
  reason     text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  added_by   uuid NOT NULL REFERENCES identity.users,
  added_at   timestamptz NOT NULL DEFAULT now(),
  ended_by   uuid REFERENCES identity.users,
  ended_at   timestamptz,
  CHECK ((currency IS NULL) = (price_from IS NULL AND price_to IS NULL)),
  CHECK (price_from < price_to),
  CHECK (num_nonnulls(seller_id, category, kind, currency) > 0),
  CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE INDEX commission_rule_now ON orders.commission_rule (weight DESC, id DESC) WHERE ended_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON orders.commission_rule TO fondaco_app;
SELECT core.wall('orders.commission_rule', '', '');

ALTER TYPE orders.asked ADD ATTRIBUTE may int;

-- Decides each purchase in order of arrival, as if those before it were done: what it would find in its wallet
-- and in stock. p_scarce and p_left name the listings of which there is less than was asked, and how much.
-- Answers a verdict each, the purchases that can be, and how much of which listing they need.
CREATE OR REPLACE FUNCTION orders.decide(p_asked orders.asked[], p_pay text, p_scarce uuid[], p_left int[],
  OUT verdicts orders.verdict[], OUT chosen orders.asked[], OUT listings uuid[], OUT need int[], OUT counted boolean[],
  OUT sold orders.sold)
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  h asked;
  w wanted;
  v verdict;
  short jsonb;
  k int;
  wallets bigint[] := '{}';
  spent bigint[] := '{}';
  keys text[] := '{}';
  units int;
BEGIN
  verdicts := '{}'; chosen := '{}'; listings := '{}'; need := '{}'; counted := '{}';
  sold := ('{}', '{}', false, '{}', '{}', '{}', '{}');
  FOREACH h IN ARRAY p_asked LOOP
    v := NULL;
    k := array_position(keys, h.buyer || h.idem);
    IF h.known IS NOT NULL OR k IS NOT NULL THEN
      IF k IS NOT NULL THEN  -- bought by an earlier purchase of this call
        h.known := (chosen[k]).group_id;
        h.known_as := (chosen[k]).fingerprint;
      END IF;
      v := (CASE WHEN h.known_as = h.fingerprint THEN 'same_again' ELSE 'key_reused' END, h.known, '{}');
    ELSIF EXISTS (SELECT 1 FROM unnest(h.lines) l WHERE l.fault <> '') THEN
      SELECT t.lines[1]->>'fault', NULL, jsonb_build_object('lines', t.lines) INTO v
        FROM (SELECT array_agg(told(l, l.fault)) AS lines FROM unnest(h.lines) l WHERE l.fault <> '') t;
    END IF;
    IF v IS NULL AND h.may IS NOT NULL THEN
      units := 0;
      FOR k IN 1 .. cardinality(chosen) LOOP  -- bought by an earlier purchase of this call
        IF (chosen[k]).buyer = h.buyer THEN
          units := units + (SELECT sum(l.quantity) FROM unnest((chosen[k]).lines) l);
        END IF;
      END LOOP;
      units := greatest(h.may - units, 0);
      IF (SELECT sum(l.quantity) FROM unnest(h.lines) l) > units THEN
        v := ('units_today', NULL, jsonb_build_object('left', units));
      END IF;
    END IF;
    IF v IS NULL AND p_pay = 'wallet' THEN
      k := array_position(wallets, h.wallet);
      IF k IS NULL THEN
        wallets := wallets || h.wallet;
        spent := spent || 0::bigint;
        k := cardinality(wallets);
      END IF;
      IF h.holds - spent[k] < h.total THEN
        v := ('insufficient_funds', NULL, jsonb_build_object('balance', h.holds - spent[k], 'total', h.total,
              'currency', h.currency));
      END IF;
    END IF;
    IF v IS NULL AND cardinality(p_scarce) > 0 THEN
      short := '[]';
      FOREACH w IN ARRAY h.lines LOOP
        k := array_position(p_scarce, w.listing_id);
        IF k IS NOT NULL AND p_left[k] - coalesce(need[array_position(listings, w.listing_id)], 0) < w.quantity THEN
          short := short || (told(w, 'sold_out') || jsonb_build_object('left',
                     p_left[k] - coalesce(need[array_position(listings, w.listing_id)], 0)));
        END IF;
      END LOOP;
      IF short <> '[]' THEN
        v := ('sold_out', NULL, jsonb_build_object('lines', short));
      END IF;
    END IF;
    IF v IS NULL THEN
      v := ('bought', h.group_id, jsonb_build_object('total', h.total));
      chosen := chosen || h;
      sold.groups := sold.groups || h.group_id;
      sold.actors := sold.actors || h.actor;
      sold.from_cart := sold.from_cart OR h.from_cart;
      keys := keys || (h.buyer || h.idem);
      IF p_pay = 'wallet' THEN
        k := array_position(wallets, h.wallet);
        spent[k] := spent[k] + h.total;
      END IF;
      FOREACH w IN ARRAY h.lines LOOP
        sold.lines := sold.lines || w.line_id;
        sold.listings := sold.listings || w.listing_id;
        sold.quantities := sold.quantities || w.quantity;
        sold.counted := sold.counted || w.counted;
        k := array_position(listings, w.listing_id);
        IF k IS NULL THEN
          listings := listings || w.listing_id;
          need := need || w.quantity;
          counted := counted || w.counted;
        ELSE
          need[k] := need[k] + w.quantity;
        END IF;
      END LOOP;
    END IF;
    verdicts := verdicts || v;
  END LOOP;
END $$;

-- Everything that decides about the purchases of a call, read at once. p_locked: the wallets that were locked.
CREATE OR REPLACE FUNCTION orders.look(p_batch jsonb, p_pay text, p_locked bigint[]) RETURNS orders.asked[]
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
BEGIN
  RETURN ARRAY(
    SELECT ROW(h.n, h.buyer, h.actor, h.idem, decode(h.fingerprint, 'hex'), h."group", h.number, h.currency,
        coalesce(h.from_cart, false), h.until, h.protection_days, h.orders, g.id, g.fingerprint, a.id,
        coalesce(b.amount, 0), found.lines, found.total,
        CASE WHEN e.units_per_day IS NOT NULL THEN e.units_per_day - units_lately(h.buyer) END)::asked
    FROM ROWS FROM (jsonb_to_recordset(p_batch) AS (
        buyer uuid, country text, idem text, fingerprint text, actor text, "group" uuid, number text,
        currency text, from_cart boolean, bps int, protection_days int, maturity_days int, until timestamptz,
        orders jsonb, lines jsonb, release jsonb, refund jsonb)) WITH ORDINALITY
      h(buyer, country, idem, fingerprint, actor, "group", number, currency, from_cart, bps, protection_days,
        maturity_days, until, orders, lines, release, refund, n)
    LEFT JOIN order_group g ON g.buyer_id = h.buyer AND g.idem = h.idem
    LEFT JOIN ledger.account a ON a.kind = 'wallet' AND a.owner = 'user:' || h.buyer
      AND a.currency = h.currency::char(3)
    LEFT JOIN ledger.balance b ON b.account_id = a.id AND b.slot = 0 AND a.id = ANY (p_locked)
    LEFT JOIN wallets.standing s ON s.user_id = h.buyer AND s.state <> 'OK'
    LEFT JOIN risk.standing t ON t.user_id = h.buyer AND t.tier <> 'NORMAL'
    LEFT JOIN risk.enforcement e ON e.side = 'user' AND e.tier = t.tier
    CROSS JOIN LATERAL (
      SELECT array_agg(ROW(
          w.line_id, w.listing_id, w.quantity, w.seller_id, w.part, w.price,
          w.price * w.quantity * w.bps / 10000, w.kind = 'article', w.price_version, w.low_price, w.max_per_order,
          w.currency,
          CASE
            WHEN s.user_id IS NOT NULL THEN 'wallet_at_risk'
            WHEN NOT e.buys THEN 'tier_forbids'
            WHEN w.state IS DISTINCT FROM 'PUBLISHED' OR w.store <> 'OPEN' THEN 'unavailable'
            WHEN w.kind = 'article' AND NOT EXISTS (SELECT 1 FROM inventory.counted c
                         WHERE c.listing_id = w.listing_id AND c.content_version > 0) THEN 'unavailable'
            WHEN w.at_sale <> (p_pay = 'destination') THEN 'at_sale'
            WHEN EXISTS (SELECT 1 FROM identity.membership m
                         WHERE m.user_id = h.buyer AND m.seller_id = w.seller_id) THEN 'own_goods'
            WHEN NOT region_fits(w.region, h.country) THEN 'region'
            WHEN w.quantity > w.max_per_order THEN 'too_many'
            WHEN w.low_price <> w.price OR w.high_price <> w.price
              OR w.low_price IS NULL AND w.seen_version IS DISTINCT FROM w.price_version THEN 'price_changed'
            WHEN w.currency <> h.currency THEN 'currency'
            ELSE ''
          END,
          jsonb_build_object('title', w.title, 'slug', w.slug, 'kind', w.kind, 'platform', w.platform,
            'region', w.region, 'edition', w.edition, 'activation', w.activation, 'seller', w.name,
            'seller_slug', w.seller_slug, 'price_version', w.price_version, 'listing_version', w.version,
            'commission_bps', w.bps, 'commission_rule', w.rule, 'funding', p_pay,
            'commission_tax', CASE WHEN w.tax_bps > 0 THEN jsonb_build_object('bps', w.tax_bps, 'country', w.country) END,
            'protection_days', coalesce((w.release->>'days')::int, h.protection_days),
            'maturity_days', h.maturity_days, 'release', coalesce(w.release, h.release), 'refund', h.refund)
        )::wanted ORDER BY w.listing_id) AS lines, sum(w.price * w.quantity)::bigint AS total
      FROM (
        SELECT x.*, l.seller_id, l.kind, l.state, l.title, l.slug, l.platform, l.region, l.edition, l.activation,
               l.price, l.price_version, l.version, l.max_per_order, l.currency::text, s.state AS store, s.name,
               s.slug AS seller_slug, s.commission_tax_bps AS tax_bps, s.country, s.release, s.at_sale, r.id AS rule,
               CASE WHEN r.weight >= 8 THEN r.bps ELSE coalesce(s.commission_bps, r.bps, h.bps) END AS bps,
               dense_rank() OVER (ORDER BY l.seller_id)::int AS part
        FROM (
          SELECT x.listing AS listing_id, (array_agg(x.id))[1] AS line_id, sum(x.quantity)::int AS quantity,
                 min(x.price) AS low_price, max(x.price) AS high_price, max(x.price_version) AS seen_version
          FROM jsonb_to_recordset(h.lines) AS x(id uuid, listing uuid, quantity int, price bigint,
            price_version int) GROUP BY x.listing) x
        LEFT JOIN catalog.listing l ON l.id = x.listing_id
        LEFT JOIN sellers.seller s ON s.id = l.seller_id
        LEFT JOIN LATERAL (
          SELECT r.id, r.weight, r.bps FROM commission_rule r
          WHERE r.ended_at IS NULL AND (r.seller_id IS NULL OR r.seller_id = l.seller_id)
            AND (r.category IS NULL OR r.category = l.category) AND (r.kind IS NULL OR r.kind = l.kind)
            AND (r.currency IS NULL OR r.currency = l.currency AND l.price >= coalesce(r.price_from, 0)
                 AND l.price < coalesce(r.price_to, 9223372036854775807))
          ORDER BY r.weight DESC, r.id DESC LIMIT 1) r ON true) w
      ) found
    ORDER BY h.n);
END $$;
