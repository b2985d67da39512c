-- Approvals, refunds of lines, release policies.
CREATE SCHEMA approvals;
GRANT USAGE ON SCHEMA approvals TO fondaco_app;

CREATE TABLE approvals.request (
  id         uuid PRIMARY KEY,
  kind       text NOT NULL,                            -- a registered verb
  ref        text NOT NULL,                            -- what it is about: 'order:<uuid>'
  payload    jsonb NOT NULL,                           -- what the verb is given; never changes
  words      text NOT NULL,                            -- what will happen, as the one who decides reads it
  reason     text NOT NULL CHECK (length(reason) BETWEEN 3 AND 500),
  permission text NOT NULL,                            -- who may decide
  state      text NOT NULL,
  asked_by   uuid REFERENCES identity.users,           -- NULL: the marketplace itself
  asked_at   timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  decided_by uuid REFERENCES identity.users,
  decided_at timestamptz,
  note       text CHECK (length(note) <= 500),
  CONSTRAINT request_two_people CHECK (decided_by <> asked_by),
  CHECK ((state IN ('APPROVED', 'REFUSED')) = (decided_by IS NOT NULL)),
  CHECK ((state = 'OPEN') = (decided_at IS NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON approvals.request
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('approval', 'state');
CREATE UNIQUE INDEX request_open ON approvals.request (kind, ref) WHERE state = 'OPEN';
CREATE INDEX request_waiting ON approvals.request (asked_at, id) WHERE state = 'OPEN';
CREATE INDEX request_newest ON approvals.request (asked_at DESC, id DESC);
CREATE INDEX request_ref ON approvals.request (ref);
GRANT SELECT, INSERT ON approvals.request TO fondaco_app;
GRANT UPDATE (state, decided_by, decided_at, note) ON approvals.request TO fondaco_app;
SELECT core.wall('approvals.request', '', '');

-- sellers: a store's own release policy
ALTER TABLE sellers.seller ADD COLUMN release jsonb;

-- delivery: what was delivered can be taken back, and a bad unit replaced
ALTER TABLE delivery.entitlement ADD COLUMN back_at timestamptz, ADD COLUMN replaces uuid REFERENCES delivery.entitlement;
ALTER TABLE delivery.entitlement ADD CONSTRAINT entitlement_back_unseen
  CHECK (back_at IS NULL OR revoked_at IS NOT NULL AND revealed_at IS NULL) NOT VALID;
ALTER TABLE delivery.entitlement VALIDATE CONSTRAINT entitlement_back_unseen;
-- One unit, one delivery, for ever; another one only when the first was taken back and nobody had seen it.
CREATE UNIQUE INDEX entitlement_unit ON delivery.entitlement (unit_id, back_at) NULLS NOT DISTINCT WHERE unit_id IS NOT NULL;
ALTER TABLE delivery.entitlement DROP CONSTRAINT entitlement_unit_id_key;
CREATE UNIQUE INDEX entitlement_replaced ON delivery.entitlement (replaces) WHERE replaces IS NOT NULL;

-- A line's last unit has been seen: where its terms say so, protection now lasts so many hours, not longer than
-- it would have.
CREATE FUNCTION delivery.seen(p_line uuid) RETURNS void
LANGUAGE plpgsql SET search_path = delivery, pg_temp AS $$
BEGIN
  UPDATE orders.order_line l SET release_at = now() + make_interval(hours => (l.terms->'release'->>'hours')::int)
    WHERE l.id = p_line AND l.terms->'release'->>'policy' = 'revealed_hours' AND l.escrow_state = 'HELD'
      AND l.release_at > now() + make_interval(hours => (l.terms->'release'->>'hours')::int)
      AND NOT EXISTS (SELECT 1 FROM entitlement e
                      WHERE e.line_id = p_line AND e.revealed_at IS NULL AND e.revoked_at IS NULL);
END $$;
REVOKE ALL ON FUNCTION delivery.seen FROM PUBLIC;

-- Takes delivered things of a line back from its buyer (p_entitlements, or all): they are opened no more. What
-- nobody has seen is for sale again, unless it is bad: a bad unit is never sold again. Answers how many were
-- taken back and how many of them are for sale again. The caller has a reason and moves the money.
CREATE FUNCTION delivery.take_back(p_line uuid, p_entitlements uuid[], p_bad boolean, OUT taken int, OUT for_sale int)
LANGUAGE plpgsql SET search_path = delivery, pg_temp AS $$
DECLARE
  e entitlement;
  unseen boolean;
BEGIN
  taken := 0;
  for_sale := 0;
  FOR e IN SELECT * FROM entitlement t WHERE t.line_id = p_line AND t.revoked_at IS NULL
           AND (p_entitlements IS NULL OR t.id = ANY (p_entitlements)) ORDER BY t.id FOR UPDATE LOOP
    unseen := e.revealed_at IS NULL AND NOT EXISTS (SELECT 1 FROM reveal r WHERE r.entitlement_id = e.id)
      AND NOT (p_bad AND e.unit_id IS NOT NULL);
    UPDATE entitlement t SET revoked_at = now(), back_at = CASE WHEN unseen THEN clock_timestamp() END WHERE t.id = e.id;
    IF unseen AND e.unit_id IS NULL THEN
      UPDATE inventory.counted c SET on_hand = c.on_hand + 1, sold = c.sold - 1 WHERE c.listing_id = e.listing_id;
    ELSIF unseen THEN
      UPDATE inventory.stock_unit u SET state = 'AVAILABLE', line_id = NULL WHERE u.id = e.unit_id;
    ELSIF p_bad THEN
      UPDATE inventory.stock_unit u SET state = 'INVALID' WHERE u.id = e.unit_id;
    END IF;
    taken := taken + 1;
    for_sale := for_sale + unseen::int;
  END LOOP;
  IF for_sale > 0 THEN
    PERFORM inventory.refresh_in_stock(e.listing_id);
  END IF;
END $$;
REVOKE ALL ON FUNCTION delivery.take_back FROM PUBLIC;

-- The owner asks for the secret: noted first, handed out sealed. No row: not this user's, or revoked.
-- From the first time on a unit is consumed and can never be sold again. Of an article the newest content is
-- shown, or with p_as_bought the one that was the newest when it was bought.
CREATE OR REPLACE FUNCTION delivery.reveal_unit(p_entitlement uuid, p_user uuid, p_ip text, p_user_agent text, p_actor text,
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
    PERFORM seen(e.line_id);
  END IF;
  PERFORM audit.record('secret.revealed', 'entitlement:' || e.id, p_actor, jsonb_strip_nulls(jsonb_build_object(
    'order_id', e.order_id, 'line_id', e.line_id, 'first_time', first_time,
    'content_version', reveal_unit.content_version)));
  RETURN NEXT;
END $$;

-- orders: parts of what was refunded, freezing, release policies in the terms
ALTER TABLE orders.order_line ADD COLUMN refunded_commission bigint NOT NULL DEFAULT 0,
  ADD COLUMN refunded_tax bigint NOT NULL DEFAULT 0, ADD COLUMN taken_back int NOT NULL DEFAULT 0,
  ADD COLUMN frozen_at timestamptz;
ALTER TABLE orders.order_line ADD CONSTRAINT order_line_refunded_parts CHECK (refunded_commission BETWEEN 0 AND commission
    AND refunded_tax BETWEEN 0 AND tax
    AND refunded - refunded_commission - refunded_tax BETWEEN 0 AND total - commission - tax) NOT VALID;
ALTER TABLE orders.order_line VALIDATE CONSTRAINT order_line_refunded_parts;
ALTER TABLE orders.order_line ADD CONSTRAINT order_line_taken_back CHECK (taken_back BETWEEN 0 AND quantity) NOT VALID;
ALTER TABLE orders.order_line VALIDATE CONSTRAINT order_line_taken_back;

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
            'protection_days', coalesce((w.release->>'days')::int, h.protection_days),
            'maturity_days', h.maturity_days, 'release', coalesce(w.release, h.release), 'refund', h.refund)
        )::wanted ORDER BY w.listing_id) AS lines, sum(w.price * w.quantity)::bigint AS total
      FROM (
        SELECT x.*, l.seller_id, l.kind, l.state, l.title, l.slug, l.platform, l.region, l.edition, l.activation,
               l.price, l.price_version, l.version, l.max_per_order, l.currency::text, s.state AS store, s.name,
               s.slug AS seller_slug, s.release, r.id AS rule,
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

-- The rows of purchases whose units are found: paid from the wallet, owed, or waiting for a card.
CREATE OR REPLACE FUNCTION orders.write_down(p_chosen orders.asked[], p_pay text) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  paid boolean := p_pay IN ('wallet', 'instant_credit');
  moment timestamptz := CASE WHEN paid THEN now() END;
BEGIN
  INSERT INTO order_group (id, number, buyer_id, idem, fingerprint, funding_policy, total, currency, from_cart)
    SELECT h.group_id, h.number, h.buyer, h.idem, h.fingerprint, p_pay, h.total, h.currency, h.from_cart
    FROM unnest(p_chosen) h;
  INSERT INTO orders (id, number, group_id, buyer_id, seller_id, state, total, currency, expires_at, paid_at,
                      delivered_at)
    SELECT (h.parts->(w.part - 1)->>'id')::uuid, h.parts->(w.part - 1)->>'number', h.group_id, h.buyer,
           w.seller_id, CASE WHEN paid THEN 'DELIVERED' ELSE 'PENDING_PAYMENT' END, w.total, h.currency, h.until,
           moment, moment
    FROM unnest(p_chosen) h, LATERAL (
      SELECT l.part, l.seller_id, sum(l.price * l.quantity) AS total FROM unnest(h.lines) l GROUP BY 1, 2) w;
  INSERT INTO order_line (id, order_id, buyer_id, seller_id, listing_id, quantity, unit_price, total,
                          commission, commission_tax, currency, terms, delivery_state, escrow_state, release_at,
                          delivered_at)
    SELECT w.line_id, (h.parts->(w.part - 1)->>'id')::uuid, h.buyer, w.seller_id, w.listing_id, w.quantity,
           w.price, w.price * w.quantity, w.commission, CASE WHEN p_pay = 'destination' THEN 0
             ELSE coalesce(w.commission * (w.terms->'commission_tax'->>'bps')::int / 10000, 0) END, h.currency, w.terms,
           CASE WHEN paid THEN 'DELIVERED' ELSE 'RESERVED' END, CASE WHEN paid THEN 'HELD' ELSE 'EMPTY' END,
           moment + make_interval(days => (w.terms->>'protection_days')::int), moment
    FROM unnest(p_chosen) h, unnest(h.lines) w;
END $$;

-- What a seller has of a line, after what was refunded of it.
CREATE FUNCTION orders.seller_part(l orders.order_line) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT l.total - l.commission - l.tax - (l.refunded - l.refunded_commission - l.refunded_tax)
$$;

DROP FUNCTION orders.release(uuid[], text);
-- Protection ends: what is left of a held line's money goes to the seller (what they owe first, the rest
-- pending) and the marketplace (commission). p_even_frozen: a case has been decided for the seller.
-- One release at a time in the whole database, so that no two wait for each other's accounts.
CREATE FUNCTION orders.release(p_lines uuid[], p_actor text, p_even_frozen boolean DEFAULT false) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  l order_line;
  accounts bigint[];
  amounts bigint[];
  net bigint;
  debt bigint;
  released int := 0;
  touched uuid[] := '{}';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('orders.release'));
  FOR l IN SELECT * FROM order_line WHERE id = ANY (p_lines)
           AND (escrow_state = 'HELD' OR p_even_frozen AND escrow_state = 'FROZEN')
           ORDER BY seller_id, id FOR UPDATE LOOP
    UPDATE order_line SET escrow_state = CASE WHEN l.refunded > 0 THEN 'SPLIT' ELSE 'RELEASED' END, released_at = now(),
        frozen_at = NULL, matures_at = now() + make_interval(
          days => greatest((l.terms->>'maturity_days')::int, (risk.seller_limits(l.seller_id)).maturity_days))
      WHERE id = l.id;
    net := seller_part(l);
    debt := coalesce((SELECT b.amount FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
      WHERE a.kind = 'seller_receivable' AND a.owner = 'seller:' || l.seller_id AND a.currency = l.currency
      FOR UPDATE OF b), 0);
    debt := least(debt, net);
    accounts := ARRAY[ledger.open_account('escrow', 'line:' || l.id, l.currency),
                      ledger.open_account('seller_pending', 'seller:' || l.seller_id, l.currency),
                      ledger.open_account('commission', 'platform', l.currency)];
    amounts := ARRAY[l.total - l.refunded, debt - net, l.refunded_commission - l.commission];
    IF debt > 0 THEN
      accounts := accounts || ledger.open_account('seller_receivable', 'seller:' || l.seller_id, l.currency);
      amounts := amounts || -debt;
    END IF;
    IF l.tax > l.refunded_tax THEN
      accounts := accounts || ledger.open_account('tax_payable', 'platform', l.currency);
      amounts := amounts || l.refunded_tax - l.tax;
    END IF;
    PERFORM ledger.post('release', 'release:' || l.id, 'order:' || l.order_id, p_actor, accounts, amounts);
    PERFORM audit.record('line.released', 'order:' || l.order_id, p_actor, jsonb_strip_nulls(jsonb_build_object(
              'line_id', l.id, 'buyer_id', l.buyer_id, 'seller_id', l.seller_id, 'netted', nullif(debt, 0),
              'currency', CASE WHEN debt > 0 THEN l.currency END)));
    released := released + 1;
    touched := touched || l.order_id;
  END LOOP;
  PERFORM settle_orders(touched, p_actor);
  RETURN released;
END $$;

-- Orders whose lines' money is nowhere in between any more: REFUNDED when the buyer has all of it back,
-- COMPLETED when not.
CREATE FUNCTION orders.settle_orders(p_orders uuid[], p_actor text) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  told int;
BEGIN
  WITH done AS (
    UPDATE orders o SET state = CASE WHEN t.all_back THEN 'REFUNDED' ELSE 'COMPLETED' END,
        completed_at = coalesce(o.completed_at, CASE WHEN NOT t.all_back THEN now() END)
      FROM (SELECT i.order_id, bool_and(i.refunded = i.total) AS all_back FROM order_line i
            WHERE i.order_id = ANY (p_orders) GROUP BY i.order_id
            HAVING bool_and(i.escrow_state IN ('RELEASED', 'REFUNDED', 'SPLIT', 'DIRECT'))) t
      WHERE o.id = t.order_id AND (o.state = 'DELIVERED' OR o.state = 'COMPLETED' AND t.all_back)
    RETURNING o.*)
  SELECT count(audit.record(CASE state WHEN 'REFUNDED' THEN 'order.refunded' ELSE 'order.completed' END, 'order:' || id,
           p_actor, jsonb_build_object('group_id', group_id, 'buyer_id', buyer_id, 'seller_id', seller_id)))
    INTO told FROM done;
END $$;

-- A case begins: the money of these lines stays where it is, their release clock stands still. Answers which.
CREATE FUNCTION orders.freeze(p_lines uuid[], p_actor text) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  found uuid[];
  told int;
BEGIN
  PERFORM 1 FROM order_line WHERE id = ANY (p_lines) ORDER BY id FOR UPDATE;
  WITH frozen AS (
    UPDATE order_line SET escrow_state = 'FROZEN', frozen_at = now()
      WHERE id = ANY (p_lines) AND escrow_state = 'HELD' RETURNING *)
  SELECT array_agg(id), count(audit.record('line.frozen', 'order:' || order_id, p_actor, jsonb_build_object('line_id', id,
           'buyer_id', buyer_id, 'seller_id', seller_id))) INTO found, told FROM frozen;
  RETURN coalesce(found, '{}');
END $$;

-- A case ends without a decision about the money: protection goes on for as long as was left of it.
CREATE FUNCTION orders.thaw(p_lines uuid[], p_actor text) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  found uuid[];
  told int;
BEGIN
  PERFORM 1 FROM order_line WHERE id = ANY (p_lines) ORDER BY id FOR UPDATE;
  WITH thawed AS (
    UPDATE order_line SET escrow_state = 'HELD', release_at = release_at + (now() - frozen_at), frozen_at = NULL
      WHERE id = ANY (p_lines) AND escrow_state = 'FROZEN' RETURNING *)
  SELECT array_agg(id), count(audit.record('line.thawed', 'order:' || order_id, p_actor, jsonb_build_object('line_id', id,
           'buyer_id', buyer_id, 'seller_id', seller_id))) INTO found, told FROM thawed;
  RETURN coalesce(found, '{}');
END $$;

-- What purchases from the wallet were answered with, asked together: a row per line, `n` the place of its group.
-- Only of groups that buyer bought, and only what never changes after: the first answer can be given again, the
-- same to the byte, for ever.
CREATE OR REPLACE FUNCTION orders.as_bought(p_groups uuid[], p_buyers uuid[])
RETURNS TABLE (
  n bigint, group_id uuid, group_number text, buyer_id uuid, group_total bigint, currency text, at timestamptz,
  order_id uuid, number text, seller_id uuid, order_total bigint, line_id uuid, listing_id uuid, quantity int,
  unit_price bigint, line_total bigint, release_at timestamptz, terms jsonb, entitlements uuid[]
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = orders, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT k.n, g.id, g.number, g.buyer_id, g.total, g.currency::text, g.created_at,
           o.id, o.number, o.seller_id, o.total, l.id, l.listing_id, l.quantity, l.unit_price, l.total,
           l.delivered_at + make_interval(days => (l.terms->>'protection_days')::int), l.terms,
           ARRAY(SELECT e.id FROM delivery.entitlement e WHERE e.line_id = l.id AND e.replaces IS NULL ORDER BY e.id)
    FROM unnest(p_groups, p_buyers) WITH ORDINALITY k(group_id, buyer_id, n)
    JOIN order_group g ON g.id = k.group_id AND g.buyer_id = k.buyer_id AND g.funding_policy = 'wallet'
    JOIN orders o ON o.group_id = g.id
    JOIN order_line l ON l.order_id = o.id
    ORDER BY k.n, o.id, l.id;
END $$;

REVOKE ALL ON FUNCTION orders.seller_part, orders.release, orders.settle_orders, orders.freeze, orders.thaw FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orders.release, orders.freeze, orders.thaw TO fondaco_app;

CREATE SCHEMA refunds;
GRANT USAGE ON SCHEMA refunds TO fondaco_app;

-- One giving back of money of one line. It has its journal or it is not there.
CREATE TABLE refunds.refund (
  id             uuid PRIMARY KEY,
  line_id        uuid NOT NULL REFERENCES orders.order_line,
  order_id       uuid NOT NULL REFERENCES orders.orders,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  amount         bigint NOT NULL CHECK (amount > 0),   -- what the buyer gets
  currency       char(3) NOT NULL,
  commission     bigint NOT NULL CHECK (commission >= 0),  -- of it: given back by the marketplace
  tax            bigint NOT NULL CHECK (tax >= 0),
  commission_tax bigint NOT NULL DEFAULT 0 CHECK (commission_tax >= 0),  -- and the tax on that
  from_escrow    bigint NOT NULL DEFAULT 0 CHECK (from_escrow >= 0),
  from_pending   bigint NOT NULL DEFAULT 0 CHECK (from_pending >= 0),
  from_available bigint NOT NULL DEFAULT 0 CHECK (from_available >= 0),
  from_reserve   bigint NOT NULL DEFAULT 0 CHECK (from_reserve >= 0),
  as_debt        bigint NOT NULL DEFAULT 0 CHECK (as_debt >= 0),   -- the seller owes it from now on
  from_account   bigint NOT NULL DEFAULT 0 CHECK (from_account >= 0),  -- to be taken back from the seller's own account
  promo          bigint NOT NULL DEFAULT 0 CHECK (promo BETWEEN 0 AND amount),  -- of it: back as promotional credit
  after_release  boolean NOT NULL,
  direct         boolean NOT NULL DEFAULT false,       -- of a line that was paid to the store itself
  destination    text NOT NULL CHECK (destination IN ('wallet', 'source')),
  source_refund  uuid REFERENCES wallets.refund,       -- on to where it was paid from
  reason         text NOT NULL,                        -- a code
  why            text NOT NULL CHECK (length(why) <= 500),
  actor          text NOT NULL,
  case_id        uuid,
  taken_back     int NOT NULL DEFAULT 0,               -- delivered things that are opened no more
  for_sale       int NOT NULL DEFAULT 0,               -- of them: for sale again, nobody had seen them
  journal_id     bigint NOT NULL UNIQUE REFERENCES ledger.journal,
  created_at     timestamptz NOT NULL DEFAULT now(),
  CHECK (CASE WHEN after_release THEN from_escrow = 0
           AND commission + tax + commission_tax + from_pending + from_available + from_reserve + as_debt + from_account = amount
         ELSE from_escrow = amount AND from_pending + from_available + from_reserve + as_debt + from_account = 0 END),
  CHECK (CASE WHEN direct THEN after_release AND from_pending + from_available + from_reserve + as_debt + promo = 0
         ELSE from_account = 0 END),
  CHECK ((source_refund IS NOT NULL) <= (destination = 'source'))
);
CREATE INDEX refund_line ON refunds.refund (line_id, created_at);
CREATE INDEX refund_order ON refunds.refund (order_id, created_at);
CREATE INDEX refund_buyer ON refunds.refund (buyer_id, created_at DESC, id DESC);
CREATE INDEX refund_seller ON refunds.refund (seller_id, created_at DESC, id DESC);
CREATE INDEX refund_newest ON refunds.refund (created_at DESC, id DESC);
CREATE UNIQUE INDEX refund_source ON refunds.refund (source_refund) WHERE source_refund IS NOT NULL;
GRANT SELECT ON refunds.refund TO fondaco_app;
SELECT core.wall('refunds.refund', 'buyer_id', 'seller_id');

-- A buyer says that a key does not work. The seller replaces it, gives the money back or says why not; who says
-- nothing in time gives the money back.
CREATE TABLE refunds.report (
  id             uuid PRIMARY KEY,
  entitlement_id uuid NOT NULL UNIQUE REFERENCES delivery.entitlement,
  line_id        uuid NOT NULL REFERENCES orders.order_line,
  order_id       uuid NOT NULL REFERENCES orders.orders,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  why            text NOT NULL CHECK (length(why) BETWEEN 3 AND 500),
  state          text NOT NULL,
  created_at     timestamptz NOT NULL DEFAULT now(),
  due_at         timestamptz NOT NULL,
  ended_at       timestamptz,
  ended_by       text,
  answer         text CHECK (length(answer) <= 500),
  CHECK ((state = 'OPEN') = (ended_at IS NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON refunds.report
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('bad_key', 'state');
CREATE INDEX report_order ON refunds.report (order_id);
CREATE INDEX report_due ON refunds.report (due_at) WHERE state = 'OPEN';
CREATE INDEX report_seller ON refunds.report (seller_id, created_at DESC, id DESC);
GRANT SELECT, INSERT ON refunds.report TO fondaco_app;
GRANT UPDATE (state, ended_at, ended_by, answer) ON refunds.report TO fondaco_app;
SELECT core.wall('refunds.report', 'buyer_id', 'seller_id');

-- A bad key that was replaced: the new one beside the old one.
CREATE TABLE refunds.replacement (
  id             uuid PRIMARY KEY,
  line_id        uuid NOT NULL REFERENCES orders.order_line,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  bad            uuid NOT NULL UNIQUE REFERENCES delivery.entitlement,
  good           uuid NOT NULL UNIQUE REFERENCES delivery.entitlement,
  why            text NOT NULL CHECK (length(why) BETWEEN 3 AND 500),
  actor          text NOT NULL,
  created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX replacement_line ON refunds.replacement (line_id);
GRANT SELECT ON refunds.replacement TO fondaco_app;
SELECT core.wall('refunds.replacement', 'buyer_id', 'seller_id');

-- Splits an amount in proportion to weights by largest remainder: whole parts that sum to it, none above its weight
-- when the amount is not above their sum.
CREATE FUNCTION refunds.share(p_total bigint, p_weights bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE SET search_path = refunds, pg_temp AS $$
  SELECT array_agg(q.part + CASE WHEN q.place <= p_total - q.parts THEN 1 ELSE 0 END ORDER BY q.n)::bigint[]
  FROM (SELECT t.n, t.part, sum(t.part) OVER () AS parts, row_number() OVER (ORDER BY t.rest DESC, t.n) AS place
        FROM (SELECT w.n, div(p_total::numeric * w.weight, w.whole) AS part, mod(p_total::numeric * w.weight, w.whole) AS rest
              FROM (SELECT u.n, u.weight, sum(u.weight) OVER () AS whole
                    FROM unnest(p_weights) WITH ORDINALITY u(weight, n)) w) t) q
$$;

-- What promotional credit paid of a line and has not come back yet.
CREATE FUNCTION refunds.promo_left(p_line uuid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = refunds, pg_temp AS $$
  SELECT coalesce((SELECT sum(e.amount) FROM ledger.journal j JOIN ledger.entry e ON e.journal_id = j.id
                   JOIN ledger.account a ON a.id = e.account_id
                   WHERE j.idem = 'buy:' || p_line AND a.kind = 'promo_credit'), 0)::bigint
    - coalesce((SELECT sum(r.promo) FROM refund r WHERE r.line_id = p_line), 0)::bigint
$$;

-- Where a seller's part of a refund after release comes from: the line's own money while it matures, then what
-- is payable, then the reserve; the rest they owe. Locks those balances.
CREATE FUNCTION refunds.take_from_seller(l orders.order_line, p_part bigint, OUT pending bigint, OUT available bigint,
                                         OUT reserve bigint, OUT debt bigint)
LANGUAGE plpgsql SET search_path = refunds, pg_temp AS $$
DECLARE
  b record;
BEGIN
  pending := 0; available := 0; reserve := 0; debt := p_part;
  FOR b IN SELECT a.kind, s.amount FROM ledger.account a JOIN ledger.balance s ON s.account_id = a.id
           WHERE a.kind IN ('seller_pending', 'seller_available', 'seller_reserve')
             AND a.owner = 'seller:' || l.seller_id AND a.currency = l.currency ORDER BY a.id FOR UPDATE OF s LOOP
    CASE b.kind
      WHEN 'seller_pending' THEN pending := CASE WHEN l.matured_at IS NULL THEN b.amount ELSE 0 END;
      WHEN 'seller_available' THEN available := b.amount;
      ELSE reserve := b.amount;
    END CASE;
  END LOOP;
  pending := least(pending, debt);
  available := least(available, debt - pending);
  reserve := least(reserve, debt - pending - available);
  debt := debt - pending - available - reserve;
END $$;

-- The journal of a refund: before release out of escrow (P7), after it from the seller, the commission and the tax
-- (P8); into the wallet, and what was promotional credit back as that. What the buyer owes is paid first.
CREATE FUNCTION refunds.book(r refunds.refund) RETURNS bigint
LANGUAGE plpgsql SET search_path = refunds, pg_temp AS $$
DECLARE
  seller text := 'seller:' || r.seller_id;
  buyer text := 'user:' || r.buyer_id;
  accounts bigint[];
  amounts bigint[];
BEGIN
  SELECT array_agg(ledger.open_account(t.kind, t.owner, r.currency) ORDER BY t.n), array_agg(t.amount ORDER BY t.n)
    INTO accounts, amounts
    FROM (VALUES (1, 'wallet', buyer, r.promo + r.credit + r.recovered - r.amount),
      (2, 'promo_credit', buyer, -r.promo), (10, 'credit_out', buyer, -r.credit), (11, 'bad_debt', 'platform', -r.recovered),
      (3, 'escrow', 'line:' || r.line_id, r.from_escrow),
      (4, 'commission', 'platform', CASE WHEN r.after_release THEN r.commission ELSE 0 END),
      (5, 'tax_payable', 'platform', CASE WHEN r.after_release THEN r.tax ELSE 0 END),
      (6, 'seller_pending', seller, r.from_pending), (7, 'seller_available', seller, r.from_available),
      (8, 'seller_reserve', seller, r.from_reserve), (9, 'seller_receivable', seller, r.as_debt),
      (10, 'dest_clearing', seller, r.from_account),
      (12, 'tax_payable', 'country:' || (SELECT l.terms->'commission_tax'->>'country' FROM orders.order_line l
         WHERE l.id = r.line_id AND r.commission_tax > 0),
       CASE WHEN r.after_release THEN r.commission_tax ELSE 0 END)) t(n, kind, owner, amount)
    WHERE t.amount <> 0;
  RETURN ledger.post(CASE WHEN r.direct THEN 'destination_refund' WHEN r.after_release THEN 'refund_released'
      ELSE 'refund_line' END, 'refund:' || r.id, 'order:' || r.order_id, r.actor, accounts, amounts);
END $$;

-- Gives money of one line back to its buyer's wallet: p_amount (minor units), or what is left. Answers refunded;
-- or, and then nothing happened: not_found, not_paid, frozen, too_much (with what is left), seen.
-- p_entitlements: what is taken back with it. A refund of all that is left takes everything back, unless p_keep.
-- p_unseen: only when nobody has seen any of what is taken back.
CREATE FUNCTION refunds.refund_line(
  p_id uuid, p_line uuid, p_amount bigint, p_destination text, p_reason text, p_why text, p_actor text, p_case uuid,
  p_even_frozen boolean, p_entitlements uuid[], p_keep boolean, p_unseen boolean, OUT verdict text, OUT amount bigint, OUT remaining bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = refunds, pg_temp AS $$
DECLARE
  l orders.order_line;
  r refund;
  parts bigint[];
  s record;
  back record;
  owed record;
  whole boolean;
BEGIN
  amount := 0;
  PERFORM pg_advisory_xact_lock(hashtext('orders.release'));  -- one of release and refund at a time
  PERFORM 1 FROM delivery.entitlement e WHERE e.line_id = p_line ORDER BY e.id FOR UPDATE;
  SELECT * INTO l FROM orders.order_line i WHERE i.id = p_line FOR UPDATE;
  remaining := l.total - l.refunded;
  verdict := CASE WHEN l.id IS NULL THEN 'not_found'
    WHEN l.escrow_state NOT IN ('HELD', 'FROZEN', 'RELEASED', 'SPLIT', 'DIRECT') THEN 'not_paid'
    WHEN l.escrow_state = 'DIRECT' AND p_destination <> 'source' THEN 'no_source'
    WHEN NOT p_even_frozen AND (l.escrow_state = 'FROZEN'
      OR EXISTS (SELECT 1 FROM cases.case_line k WHERE k.line_id = l.id AND k.open)) THEN 'frozen'
    WHEN remaining = 0 OR coalesce(p_amount, remaining) NOT BETWEEN 1 AND remaining THEN 'too_much'
    WHEN p_unseen AND EXISTS (SELECT 1 FROM delivery.entitlement e WHERE e.line_id = l.id AND e.revoked_at IS NULL
      AND e.revealed_at IS NOT NULL AND (p_entitlements IS NULL OR e.id = ANY (p_entitlements))) THEN 'seen'
    ELSE 'refunded' END;
  IF verdict <> 'refunded' THEN RETURN; END IF;
  amount := coalesce(p_amount, remaining);
  whole := amount = remaining;
  parts := share(amount, ARRAY[orders.seller_part(l), l.commission - l.refunded_commission, l.tax - l.refunded_tax,
    l.commission_tax - l.refunded_commission_tax]);
  r.id := p_id; r.line_id := l.id; r.order_id := l.order_id; r.buyer_id := l.buyer_id; r.seller_id := l.seller_id;
  r.amount := amount; r.currency := l.currency; r.commission := parts[2]; r.tax := parts[3];
  r.commission_tax := parts[4];
  r.direct := l.escrow_state = 'DIRECT';
  r.after_release := r.direct OR l.escrow_state IN ('RELEASED', 'SPLIT');
  r.from_escrow := CASE WHEN r.after_release THEN 0 ELSE amount END;
  r.from_account := CASE WHEN r.direct THEN parts[1] ELSE 0 END;
  s := take_from_seller(l, CASE WHEN r.after_release AND NOT r.direct THEN parts[1] ELSE 0 END);
  r.from_pending := s.pending; r.from_available := s.available; r.from_reserve := s.reserve; r.as_debt := s.debt;
  r.promo := promo_left(l.id);
  IF r.promo > 0 THEN
    r.promo := (share(amount, ARRAY[r.promo, remaining - r.promo]))[1];
  END IF;
  r.destination := p_destination; r.reason := p_reason; r.why := p_why; r.actor := p_actor; r.case_id := p_case;
  r.created_at := now();
  owed := credit.give_back(l.buyer_id, l.currency, (SELECT o.group_id FROM orders.orders o WHERE o.id = l.order_id),
    amount - r.promo, p_destination = 'wallet' AND NOT EXISTS (
      SELECT 1 FROM wallets.standing w WHERE w.user_id = l.buyer_id AND w.state <> 'OK'));
  r.credit := owed.credit; r.recovered := owed.recovered;
  r.journal_id := book(r);
  back := delivery.take_back(l.id, CASE WHEN whole AND NOT p_keep THEN NULL ELSE coalesce(p_entitlements, '{}') END,
    p_reason = 'bad_code');
  r.taken_back := back.taken; r.for_sale := back.for_sale;
  INSERT INTO refund SELECT r.*;
  UPDATE orders.order_line i SET refunded = i.refunded + r.amount, refunded_commission = i.refunded_commission + r.commission,
      refunded_tax = i.refunded_tax + r.tax,
      refunded_commission_tax = i.refunded_commission_tax + r.commission_tax, taken_back = i.taken_back + back.taken,
      escrow_state = CASE WHEN whole AND (r.direct OR NOT r.after_release) THEN 'REFUNDED' ELSE i.escrow_state END,
      frozen_at = CASE WHEN whole AND NOT r.after_release THEN NULL ELSE i.frozen_at END,
      delivery_state = CASE WHEN whole THEN 'REFUNDED' ELSE i.delivery_state END
    WHERE i.id = l.id;
  PERFORM audit.record('line.refunded', 'order:' || l.order_id, p_actor, jsonb_strip_nulls(jsonb_build_object(
    'line_id', l.id, 'refund_id', p_id, 'buyer_id', l.buyer_id, 'seller_id', l.seller_id, 'amount', amount,
    'currency', l.currency, 'reason', p_reason, 'why', p_why, 'to', p_destination, 'case_id', p_case,
    'taken_back', nullif(back.taken, 0))));
  PERFORM orders.settle_orders(ARRAY[l.order_id], p_actor);
END $$;

-- Of a refund on to where it was paid from: which refund of the payment carries it.
CREATE FUNCTION refunds.note_source(p_id uuid, p_source uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = refunds, pg_temp AS $$
  UPDATE refund SET source_refund = p_source WHERE id = p_id AND source_refund IS NULL AND destination = 'source'
    AND EXISTS (SELECT 1 FROM wallets.refund w WHERE w.id = p_source AND w.user_id = refund.buyer_id
                AND w.amount = refund.amount - refund.promo AND w.currency = refund.currency)
$$;

-- Gives another unit of the same listing for a bad one; the bad one is never sold again. Answers replaced; or, and
-- then nothing happened: not_found, not_a_key, frozen, over (its money was given back or it is gone), sold_out.
CREATE FUNCTION refunds.replace_unit(p_id uuid, p_entitlement uuid, p_good uuid, p_why text, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = refunds, pg_temp AS $$
DECLARE
  e delivery.entitlement;
  l orders.order_line;
  f record;
BEGIN
  SELECT * INTO e FROM delivery.entitlement t WHERE t.id = p_entitlement FOR UPDATE;
  IF e.id IS NULL THEN RETURN 'not_found'; END IF;
  SELECT * INTO l FROM orders.order_line i WHERE i.id = e.line_id FOR UPDATE;
  IF e.unit_id IS NULL THEN RETURN 'not_a_key'; END IF;
  IF l.escrow_state = 'FROZEN' OR EXISTS (SELECT 1 FROM cases.case_line k WHERE k.line_id = l.id AND k.open) THEN
    RETURN 'frozen';
  END IF;
  IF e.revoked_at IS NOT NULL OR l.delivery_state <> 'DELIVERED' THEN RETURN 'over'; END IF;
  f := inventory.find_units(ARRAY[e.listing_id], ARRAY[1]);
  IF f.got <> ARRAY[1] THEN RETURN 'sold_out'; END IF;
  UPDATE orders.order_line i SET delivery_state = 'REPLACED' WHERE i.id = l.id;
  PERFORM delivery.take_back(l.id, ARRAY[e.id], true);
  UPDATE inventory.stock_unit u SET state = 'SOLD', line_id = l.id WHERE u.id = f.units[1];
  INSERT INTO delivery.entitlement (id, buyer_id, seller_id, listing_id, order_id, line_id, unit_id, title, platform,
                                    region, replaces)
    VALUES (p_good, e.buyer_id, e.seller_id, e.listing_id, e.order_id, e.line_id, f.units[1], e.title, e.platform,
            e.region, e.id);
  UPDATE orders.order_line i SET delivery_state = 'DELIVERED' WHERE i.id = l.id;
  INSERT INTO replacement (id, line_id, buyer_id, seller_id, bad, good, why, actor)
    VALUES (p_id, l.id, l.buyer_id, l.seller_id, e.id, p_good, p_why, p_actor);
  PERFORM inventory.refresh_in_stock(e.listing_id);
  PERFORM audit.record('line.replaced', 'order:' || l.order_id, p_actor, jsonb_build_object('line_id', l.id,
    'buyer_id', l.buyer_id, 'seller_id', l.seller_id, 'entitlement_id', p_good, 'bad_id', e.id));
  RETURN 'replaced';
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA refunds FROM PUBLIC;
GRANT EXECUTE ON FUNCTION refunds.refund_line, refunds.note_source, refunds.replace_unit TO fondaco_app;

INSERT INTO core.edge (machine, source, target) VALUES
  ('approval', '', 'OPEN'), ('approval', 'OPEN', 'APPROVED'), ('approval', 'OPEN', 'EXPIRED'),
  ('approval', 'OPEN', 'REFUSED'), ('approval', 'OPEN', 'WITHDRAWN'),
  ('escrow', 'HELD', 'FROZEN'), ('escrow', 'HELD', 'SPLIT'), ('escrow', 'FROZEN', 'HELD'), ('escrow', 'FROZEN', 'RELEASED'),
  ('escrow', 'FROZEN', 'REFUNDED'), ('escrow', 'FROZEN', 'SPLIT'),
  ('line_delivery', 'DELIVERED', 'REPLACED'), ('line_delivery', 'REPLACED', 'DELIVERED'),
  ('bad_key', '', 'OPEN'), ('bad_key', 'OPEN', 'REPLACED'), ('bad_key', 'OPEN', 'REFUNDED'), ('bad_key', 'OPEN', 'REFUSED'),
  ('bad_key', 'OPEN', 'WITHDRAWN'),
  ('stock_unit', 'SOLD', 'AVAILABLE'), ('stock_unit', 'SOLD', 'INVALID'), ('stock_unit', 'CONSUMED', 'INVALID');
