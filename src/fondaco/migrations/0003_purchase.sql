-- Purchases of a batch are decided and written together; guards look at all rows of a statement at once.

-- core
-- Trigger: core.guard_state('<machine>', '<column>') refuses a state that no edge leads to. The usual columns
-- are read by name; any other through JSON, which takes several times as long.
CREATE OR REPLACE FUNCTION core.guard_state() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  old_state text := '';
  new_state text;
BEGIN
  CASE TG_ARGV[1]
    WHEN 'state' THEN
      new_state := NEW.state;
      IF TG_OP = 'UPDATE' THEN old_state := OLD.state; END IF;
    WHEN 'delivery_state' THEN
      new_state := NEW.delivery_state;
      IF TG_OP = 'UPDATE' THEN old_state := OLD.delivery_state; END IF;
    WHEN 'escrow_state' THEN
      new_state := NEW.escrow_state;
      IF TG_OP = 'UPDATE' THEN old_state := OLD.escrow_state; END IF;
    ELSE
      new_state := to_jsonb(NEW) ->> TG_ARGV[1];
      IF TG_OP = 'UPDATE' THEN old_state := to_jsonb(OLD) ->> TG_ARGV[1]; END IF;
  END CASE;
  IF TG_OP = 'UPDATE' AND old_state OPERATOR(pg_catalog.=) new_state THEN RETURN NEW; END IF;
  PERFORM 1 FROM core.edge e WHERE e.machine OPERATOR(pg_catalog.=) TG_ARGV[0]
    AND e.source OPERATOR(pg_catalog.=) old_state AND e.target OPERATOR(pg_catalog.=) new_state;
  IF NOT FOUND THEN
    RAISE EXCEPTION '% may not go from "%" to "%"', TG_ARGV[0], old_state, new_state
      USING ERRCODE = '23514', CONSTRAINT = 'state_machine';
  END IF;
  RETURN NEW;
END $$;

-- audit
-- Several events of one kind, in order.
CREATE FUNCTION audit.record_many(p_kind text, p_refs text[], p_actors text[], p_data jsonb[]) RETURNS void
LANGUAGE plpgsql SET search_path = audit, pg_temp AS $$
BEGIN
  INSERT INTO event (kind, ref, actor, data)
    SELECT p_kind, t.ref, t.actor, t.data FROM unnest(p_refs, p_actors, p_data) t(ref, actor, data);
END $$;
REVOKE ALL ON FUNCTION audit.record_many FROM PUBLIC;

-- ledger
CREATE OR REPLACE FUNCTION ledger.check_journal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT coalesce(sum(t.legs), 0) < 2 OR bool_or(t.off <> 0) FROM (
        SELECT count(*) AS legs, sum(amount) AS off FROM ledger.entry WHERE journal_id = NEW.id
        GROUP BY currency) t) THEN
    RAISE EXCEPTION 'journal % does not balance', NEW.id
      USING ERRCODE = '23514', CONSTRAINT = 'journal_balanced';
  END IF;
  IF NEW.reverses IS NOT NULL AND EXISTS (
    SELECT 1 FROM ledger.entry WHERE journal_id IN (NEW.id, NEW.reverses)
    GROUP BY account_id HAVING sum(amount) <> 0) THEN
    RAISE EXCEPTION 'journal % is not the mirror of what it reverses', NEW.id
      USING ERRCODE = '23514', CONSTRAINT = 'journal_mirror';
  END IF;
  RETURN NULL;
END $$;

DROP TRIGGER same_transaction ON ledger.entry;
DROP FUNCTION ledger.check_entry();
-- An entry joins a journal of its own transaction only (nobody adds lines to a closed one), is what its
-- balance row has just become, and moves an account that this kind of journal may move that way. Asked once
-- for all entries of a statement, along the indexes whatever the statistics say.
CREATE FUNCTION ledger.check_entries() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  wrong record;
BEGIN
  SELECT e.journal_id, e.account_id, e.version, j.kind, p.sign INTO wrong
    FROM fresh e
    LEFT JOIN ledger.journal j ON j.id = e.journal_id AND j.xid = pg_current_xact_id()
    LEFT JOIN ledger.account a ON a.id = e.account_id AND NOT a.frozen
    LEFT JOIN ledger.posting_rule p ON p.journal_kind = j.kind AND p.account_kind = a.kind
      AND p.sign = sign(e.amount)
    LEFT JOIN ledger.balance b ON b.account_id = e.account_id AND b.slot = e.slot AND b.version = e.version
      AND b.amount = e.balance_after AND b.chain = e.hash
    WHERE p.sign IS NULL OR b.account_id IS NULL
    ORDER BY j.kind IS NULL DESC, p.sign IS NULL DESC LIMIT 1;
  IF NOT FOUND THEN RETURN NULL; END IF;
  IF wrong.kind IS NULL THEN
    RAISE EXCEPTION 'journal % is closed', wrong.journal_id
      USING ERRCODE = '23514', CONSTRAINT = 'journal_closed';
  ELSIF wrong.sign IS NULL THEN
    RAISE EXCEPTION 'a % journal may not move account % that way', wrong.kind, wrong.account_id
      USING ERRCODE = '42501';
  END IF;
  RAISE EXCEPTION 'entry % of account % is not what its balance says', wrong.version, wrong.account_id
    USING ERRCODE = '23514', CONSTRAINT = 'entry_is_balance';
END $$;
CREATE TRIGGER same_transaction AFTER INSERT ON ledger.entry REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.check_entries();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER same_transaction;

-- Opens accounts that nobody has opened before, one per owner; answers their ids in that order.
CREATE FUNCTION ledger.open_accounts(p_kind text, p_owners text[], p_currencies text[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = ledger, pg_temp AS $$
DECLARE
  ids bigint[] := ARRAY(SELECT nextval('ledger.account_id_seq') FROM generate_subscripts(p_owners, 1));
BEGIN
  INSERT INTO account (id, kind, owner, currency, slots) OVERRIDING SYSTEM VALUE
    SELECT t.id, p_kind, t.owner, t.currency, k.slots
    FROM account_kind k, unnest(ids, p_owners, p_currencies) t(id, owner, currency) WHERE k.kind = p_kind;
  INSERT INTO balance (account_id, slot, currency, side, floor)
    SELECT t.id, s, t.currency, k.side, k.floor
    FROM account_kind k, unnest(ids, p_currencies) t(id, currency), generate_series(0, k.slots - 1) s
    WHERE k.kind = p_kind;
  RETURN ids;
END $$;

-- Several new journals of one kind at once, each with as many legs as the others: first the first leg of every
-- journal, then the second of every one. A journal names an account once. Balances that others may move
-- meanwhile are locked by the caller, in order of account. Several moves of one balance are made one after the
-- other, in order of the journals.
CREATE FUNCTION ledger.post_many(p_kind text, p_idems text[], p_refs text[], p_actors text[],
                                 p_accounts bigint[], p_amounts bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = ledger, pg_temp AS $$
DECLARE
  journals int := cardinality(p_idems);
  ids bigint[] := ARRAY(SELECT nextval('ledger.journal_id_seq') FROM generate_subscripts(p_idems, 1));
  prints bytea[];
  slots smallint[];
  turns int[];
  last_turn int;
  moved int;
  made int := 0;
BEGIN
  WITH legs AS MATERIALIZED (
    SELECT t.n, (t.n - 1) % journals + 1 AS of, t.acc, t.amt, (ids[(t.n - 1) % journals + 1] % a.slots)::smallint AS slot
    FROM unnest(p_accounts, p_amounts) WITH ORDINALITY t(acc, amt, n) JOIN account a ON a.id = t.acc),
  told AS MATERIALIZED (
    SELECT l.of, sha256(convert_to(jsonb_build_array(p_kind, p_refs[l.of], array_agg(l.acc ORDER BY l.acc),
             array_agg(l.amt ORDER BY l.acc), NULL)::text, 'UTF8')) AS print
    FROM legs l GROUP BY l.of),
  written AS (
    INSERT INTO journal (id, kind, idem, fingerprint, ref, actor) OVERRIDING SYSTEM VALUE
      SELECT ids[t.of], p_kind, p_idems[t.of], t.print, p_refs[t.of], p_actors[t.of] FROM told t)
  SELECT (SELECT array_agg(t.print ORDER BY t.of) FROM told t), array_agg(l.slot ORDER BY l.n),
         array_agg(l.turn ORDER BY l.n), max(l.turn) INTO prints, slots, turns, last_turn
    FROM (SELECT l.n, l.slot, row_number() OVER (PARTITION BY l.acc, l.slot ORDER BY l.of) AS turn FROM legs l) l;
  FOR this_turn IN 1 .. coalesce(last_turn, 0) LOOP
    WITH moves AS (
      UPDATE balance b SET
        amount = b.amount + t.amt * b.side,
        version = b.version + 1,
        chain = sha256(b.chain || int8send(t.acc) || int2send(t.slot) || int8send(b.version + 1)
                       || int8send(ids[(t.n - 1) % journals + 1]) || int8send(t.amt)
                       || int8send(b.amount + t.amt * b.side) || prints[(t.n - 1) % journals + 1])
      FROM unnest(p_accounts, p_amounts, slots, turns) WITH ORDINALITY t(acc, amt, slot, turn, n)
      WHERE t.turn = this_turn AND b.account_id = t.acc AND b.slot = t.slot
      RETURNING b.account_id, b.slot, b.version, ids[(t.n - 1) % journals + 1] AS journal_id, b.currency, t.amt,
                b.amount, b.chain)
    INSERT INTO entry (account_id, slot, version, journal_id, currency, amount, balance_after, hash)
      SELECT * FROM moves;
    GET DIAGNOSTICS moved = ROW_COUNT;
    made := made + moved;
  END LOOP;
  IF made IS DISTINCT FROM cardinality(p_accounts) THEN
    RAISE EXCEPTION 'of % moves % were made', cardinality(p_accounts), made USING ERRCODE = '22023';
  END IF;
END $$;
REVOKE ALL ON FUNCTION ledger.open_accounts, ledger.post_many, ledger.check_entries FROM PUBLIC;

-- inventory
DROP FUNCTION inventory.take(uuid, uuid, int, text, timestamptz);

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

-- orders
DROP FUNCTION orders.buy(jsonb);
DROP FUNCTION orders.place(jsonb);
DROP FUNCTION orders.pay_group(uuid, uuid, text);
DROP FUNCTION orders.give_up(uuid, text, text, text);
DROP FUNCTION orders.buy_one(jsonb, text);
DROP FUNCTION orders.hand_over(uuid, text, text);
DROP FUNCTION orders.write_down(jsonb, text, orders.wanted[], bigint);
DROP FUNCTION orders.take_all(uuid[], uuid[], int[], text, timestamptz);
DROP FUNCTION orders.look(jsonb, text);
DROP FUNCTION orders.note_empty(uuid[]);
DROP TYPE orders.wanted;

-- One listing of a purchase: what is asked, what the catalogue says now, and why it cannot be ('': it can).
CREATE TYPE orders.wanted AS (
  line_id uuid, listing_id uuid, quantity int, seller_id uuid, part int, price bigint, commission bigint,
  counted boolean, price_version int, seen_price bigint, max_per_order int, currency text, fault text, terms jsonb);

-- One purchase of a call: who asks, what their wallet holds, whether their key is known, and the lines, one
-- per listing (a listing named twice is added up), in order of the listings.
CREATE TYPE orders.asked AS (
  n int, buyer uuid, actor text, idem text, fingerprint bytea, group_id uuid, number text, currency text,
  from_cart boolean, until timestamptz, days int, parts jsonb, known uuid, known_as bytea, wallet bigint,
  holds bigint, lines orders.wanted[], total bigint);

-- What a call sells: its groups and who buys each, whether any is from a cart, and its lines in order of arrival.
CREATE TYPE orders.sold AS (
  groups uuid[], actors text[], from_cart boolean, lines uuid[], listings uuid[], quantities int[], counted boolean[]);

-- Everything that decides about the purchases of a call, read at once. p_locked: the wallets that were locked.
CREATE FUNCTION orders.look(p_batch jsonb, p_pay text, p_locked bigint[]) RETURNS orders.asked[]
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
BEGIN
  RETURN ARRAY(
    SELECT ROW(h.n, h.buyer, h.actor, h.idem, decode(h.fingerprint, 'hex'), h."group", h.number, h.currency,
        coalesce(h.from_cart, false), h.until, h.protection_days, h.orders, g.id, g.fingerprint, a.id,
        coalesce(b.amount, 0), found.lines, found.total)::asked
    FROM ROWS FROM (jsonb_to_recordset(p_batch) AS (
        buyer uuid, country text, idem text, fingerprint text, actor text, "group" uuid, number text,
        currency text, from_cart boolean, bps int, protection_days int, maturity_days int, until timestamptz,
        orders jsonb, lines jsonb)) WITH ORDINALITY
      h(buyer, country, idem, fingerprint, actor, "group", number, currency, from_cart, bps, protection_days,
        maturity_days, until, orders, lines, n)
    LEFT JOIN order_group g ON g.buyer_id = h.buyer AND g.idem = h.idem
    LEFT JOIN ledger.account a ON a.kind = 'wallet' AND a.owner = 'user:' || h.buyer
      AND a.currency = h.currency::char(3)
    LEFT JOIN ledger.balance b ON b.account_id = a.id AND b.slot = 0 AND a.id = ANY (p_locked)
    CROSS JOIN LATERAL (
      SELECT array_agg(ROW(
          w.line_id, w.listing_id, w.quantity, w.seller_id, w.part, w.price,
          w.price * w.quantity * w.bps / 10000, w.kind = 'article', w.price_version, w.low_price, w.max_per_order,
          w.currency,
          CASE
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
            'seller_slug', w.seller_slug, 'price_version', w.price_version, 'listing_version', w.version, 'commission_bps', w.bps,
            'funding', p_pay, 'protection_days', h.protection_days, 'maturity_days', h.maturity_days)
        )::wanted ORDER BY w.listing_id) AS lines, sum(w.price * w.quantity)::bigint AS total
      FROM (
        SELECT x.*, l.seller_id, l.kind, l.state, l.title, l.slug, l.platform, l.region, l.edition, l.activation,
               l.price, l.price_version, l.version, l.max_per_order, l.currency::text, s.state AS store, s.name,
               s.slug AS seller_slug, coalesce(s.commission_bps, h.bps) AS bps,
               dense_rank() OVER (ORDER BY l.seller_id)::int AS part
        FROM (
          SELECT x.listing AS listing_id, (array_agg(x.id))[1] AS line_id, sum(x.quantity)::int AS quantity,
                 min(x.price) AS low_price, max(x.price) AS high_price, max(x.price_version) AS seen_version
          FROM jsonb_to_recordset(h.lines) AS x(id uuid, listing uuid, quantity int, price bigint,
            price_version int) GROUP BY x.listing) x
        LEFT JOIN catalog.listing l ON l.id = x.listing_id
        LEFT JOIN sellers.seller s ON s.id = l.seller_id) w
      ) found
    ORDER BY h.n);
END $$;

-- What a purchase that cannot be is told: the listings with that fault. Nothing of one that is not for sale.
CREATE FUNCTION orders.told(w orders.wanted, p_fault text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = orders, pg_temp AS $$
  SELECT CASE p_fault WHEN 'unavailable' THEN jsonb_build_object('listing_id', w.listing_id, 'fault', p_fault)
    ELSE jsonb_build_object('listing_id', w.listing_id, 'title', w.terms->'title', 'price', w.price,
      'price_version', w.price_version, 'currency', w.currency, 'seen_price', w.seen_price,
      'quantity', w.quantity, 'max_per_order', w.max_per_order, 'region', w.terms->'region', 'fault', p_fault) END
$$;

-- Decides each purchase in order of arrival, as if those before it were done: what it would find in its wallet
-- and in stock. p_scarce and p_left name the listings of which there is less than was asked, and how much.
-- Answers a verdict each, the purchases that can be, and how much of which listing they need.
CREATE FUNCTION orders.decide(p_asked orders.asked[], p_pay text, p_scarce uuid[], p_left int[],
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

-- The rows of purchases whose units are found: paid from the wallet, or waiting for a card.
CREATE FUNCTION orders.write_down(p_chosen orders.asked[], p_pay text) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  paid boolean := p_pay = 'wallet';
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
                          commission, currency, terms, delivery_state, escrow_state, release_at, delivered_at)
    SELECT w.line_id, (h.parts->(w.part - 1)->>'id')::uuid, h.buyer, w.seller_id, w.listing_id, w.quantity,
           w.price, w.price * w.quantity, w.commission, h.currency, w.terms,
           CASE WHEN paid THEN 'DELIVERED' ELSE 'RESERVED' END, CASE WHEN paid THEN 'HELD' ELSE 'EMPTY' END,
           moment + make_interval(days => h.days), moment
    FROM unnest(p_chosen) h, unnest(h.lines) w;
END $$;

-- Gives stock that was found, the units in order of p_listings, to lines in order of arrival: held until
-- p_until, or sold when that is NULL.
CREATE FUNCTION orders.deal_out(p_sold orders.sold, p_listings uuid[], p_units uuid[], p_until timestamptz)
RETURNS void LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  s_lines uuid[] := p_sold.lines;
  s_listings uuid[] := p_sold.listings;
  s_quantities int[] := p_sold.quantities;
  s_counted boolean[] := p_sold.counted;
  held int := CASE WHEN p_until IS NULL THEN 0 ELSE 1 END;
BEGIN
  WITH lines AS (
    SELECT t.id, t.quantity, sum(t.quantity) OVER (ORDER BY array_position(p_listings, t.listing), t.n)::int AS upto
    FROM unnest(s_lines, s_listings, s_quantities, s_counted) WITH ORDINALITY t(id, listing, quantity, counted, n)
    WHERE NOT t.counted)
  UPDATE inventory.stock_unit u SET state = CASE held WHEN 1 THEN 'RESERVED' ELSE 'SOLD' END, line_id = l.id,
      reserved_until = p_until
    FROM lines l, generate_series(l.upto - l.quantity + 1, l.upto) i WHERE u.id = p_units[i];
  IF NOT true = ANY (s_counted) THEN RETURN; END IF;
  UPDATE inventory.counted c SET on_hand = c.on_hand - t.copies, sold = c.sold + t.copies * (1 - held)
    FROM (SELECT l.listing, sum(l.quantity)::int AS copies
          FROM unnest(s_listings, s_quantities, s_counted) l(listing, quantity, counted)
          WHERE l.counted GROUP BY l.listing) t
    WHERE c.listing_id = t.listing;
  IF held = 1 THEN
    INSERT INTO inventory.hold (line_id, listing_id, seller_id, quantity, reserved_until)
      SELECT t.id, t.listing, c.seller_id, t.quantity, p_until
      FROM unnest(s_lines, s_listings, s_quantities, s_counted) t(id, listing, quantity, counted)
      JOIN inventory.counted c ON c.listing_id = t.listing WHERE t.counted;
  END IF;
END $$;

-- The rest of paid and delivered groups: entitlements, events, the buyers' carts, and the journals last.
CREATE FUNCTION orders.hand_over(p_groups uuid[], p_actors text[], p_funding text, p_from_cart boolean)
RETURNS void LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  l record;
BEGIN
  WITH lines AS (
    SELECT g.n, g.actor, i.id, i.order_id, i.buyer_id, i.seller_id, i.listing_id, i.quantity, i.total, i.currency,
           i.terms, (SELECT a.id FROM ledger.account a WHERE a.kind = 'wallet' AND a.owner = 'user:' || i.buyer_id
             AND a.currency = i.currency) AS wallet
    FROM unnest(p_groups, p_actors) WITH ORDINALITY g(id, actor, n)
    JOIN orders o ON o.group_id = g.id JOIN order_line i ON i.order_id = o.id),
  granted AS (
    INSERT INTO delivery.entitlement (id, buyer_id, seller_id, listing_id, order_id, line_id, unit_id,
                                      content_version, title, platform, region)
      SELECT gen_random_uuid(), i.buyer_id, i.seller_id, i.listing_id, i.order_id, i.id, u.id, c.content_version,
             i.terms->>'title', i.terms->>'platform', i.terms->>'region'
      FROM lines i LEFT JOIN inventory.counted c ON c.listing_id = i.listing_id, LATERAL (
        SELECT s.id FROM inventory.stock_unit s WHERE s.line_id = i.id AND s.state = 'SOLD'
        UNION ALL SELECT NULL FROM generate_series(1, i.quantity) WHERE c.listing_id IS NOT NULL) u
      RETURNING 1)
  SELECT sum(i.quantity) AS units, (SELECT count(*) FROM granted) AS granted,
         array_agg('buy:' || i.id ORDER BY i.n, i.id) AS idems, array_agg('line:' || i.id ORDER BY i.n, i.id) AS owners,
         array_agg('order:' || i.order_id ORDER BY i.n, i.id) AS refs, array_agg(i.actor ORDER BY i.n, i.id) AS actors,
         array_agg(i.currency::text ORDER BY i.n, i.id) AS currencies, array_agg(i.wallet ORDER BY i.n, i.id) AS wallets,
         array_agg(i.total ORDER BY i.n, i.id) AS totals, array_agg(-i.total ORDER BY i.n, i.id) AS credits
    INTO l FROM lines i;
  IF l.granted IS DISTINCT FROM l.units THEN
    RAISE EXCEPTION '% units of % would be delivered', l.granted, l.units USING ERRCODE = '23514';
  END IF;
  PERFORM audit.record_many('order.delivered', array_agg('order:' || o.id ORDER BY g.n, o.id),
      array_agg(g.actor ORDER BY g.n, o.id), array_agg(jsonb_build_object('group_id', o.group_id, 'buyer_id',
        o.buyer_id, 'seller_id', o.seller_id, 'funding', p_funding) ORDER BY g.n, o.id))
    FROM unnest(p_groups, p_actors) WITH ORDINALITY g(id, actor, n) JOIN orders o ON o.group_id = g.id;
  IF p_from_cart THEN
    DELETE FROM cart_line c USING order_group g, cart k, orders o, order_line i
      WHERE g.id = ANY (p_groups) AND g.from_cart AND k.user_id = g.buyer_id AND c.cart_id = k.id
        AND o.group_id = g.id AND i.order_id = o.id AND c.listing_id = i.listing_id
        AND c.added_at <= g.created_at;
  END IF;
  PERFORM ledger.post_many('purchase', l.idems, l.refs, l.actors,
    l.wallets || ledger.open_accounts('escrow', l.owners, l.currencies), l.totals || l.credits);
END $$;

-- Those of the listings that have no copy on hand and no unit free that nobody else is just taking. What was
-- locked to find out is let go at once.
CREATE FUNCTION orders.gone(p_listings uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  gone uuid[] := '{}';
  one uuid;
BEGIN
  FOREACH one IN ARRAY p_listings LOOP
    PERFORM 1 FROM inventory.stock_unit u WHERE u.listing_id = one AND u.state = 'AVAILABLE'
      LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND NOT EXISTS (SELECT 1 FROM inventory.counted c WHERE c.listing_id = one AND c.on_hand > 0) THEN
      gone := gone || one;
    END IF;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'FD001';
EXCEPTION WHEN SQLSTATE 'FD001' THEN
  RETURN gone;
END $$;

-- Listings whose last free unit or copy is gone are shown as sold out; units others are just taking count as
-- gone. Never waits: a job repairs what this gets wrong.
CREATE FUNCTION orders.note_empty(p_listings uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  empty uuid[];
BEGIN
  SELECT array_agg(l.id) INTO empty FROM catalog.listing l WHERE l.id = ANY (p_listings) AND l.in_stock
    AND NOT EXISTS (SELECT 1 FROM inventory.stock_unit u
      WHERE u.listing_id = l.id AND u.state = 'AVAILABLE' OFFSET 63);
  IF empty IS NULL THEN RETURN; END IF;
  empty := gone(empty);
  IF empty = '{}' THEN RETURN; END IF;
  empty := ARRAY(SELECT l.id FROM catalog.listing l WHERE l.id = ANY (empty) ORDER BY l.id
                 FOR NO KEY UPDATE SKIP LOCKED);
  empty := gone(empty);  -- again: what came in before the lock was got has set the word itself
  UPDATE catalog.listing SET in_stock = false WHERE id = ANY (empty);
END $$;

-- Finds and locks the stock of listings: the units, in order of the listings, and how much of each there is.
CREATE FUNCTION orders.find(p_listings uuid[], p_need int[], p_counted boolean[], OUT units uuid[], OUT got int[])
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  copies int[];
BEGIN
  IF true = ANY (p_counted) THEN
    copies := inventory.find_copies(p_listings, p_need);
  END IF;
  SELECT f.units, f.got INTO units, got FROM inventory.find_units(p_listings,
    ARRAY(SELECT CASE WHEN t.counted THEN 0 ELSE t.need END FROM unnest(p_need, p_counted) t(need, counted))) f;
  IF copies IS NOT NULL THEN
    got := ARRAY(SELECT CASE WHEN t.counted THEN t.copies ELSE t.got END
      FROM unnest(got, copies, p_counted) t(got, copies, counted));
  END IF;
END $$;

-- Decides all purchases of a call and writes those that can be. When stock is short of something, what was
-- locked is let go and everything is decided again, knowing how much there is. A call that awaits a card has
-- one purchase.
CREATE FUNCTION orders.buy_all(p_batch jsonb, p_pay text, p_locked bigint[]) RETURNS orders.verdict[]
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  everybody asked[] := look(p_batch, p_pay, p_locked);
  d record;
  f record;
  scarce uuid[] := '{}';
  there int[] := '{}';
  k int;
BEGIN
  LOOP
    d := decide(everybody, p_pay, scarce, there);
    EXIT WHEN d.chosen = '{}';
    BEGIN
      f := find(d.listings, d.need, d.counted);
      EXIT WHEN f.got = d.need;
      RAISE EXCEPTION USING ERRCODE = 'FD001';  -- lets go of what was locked
    EXCEPTION WHEN SQLSTATE 'FD001' THEN
      FOR i IN 1 .. cardinality(d.listings) LOOP
        IF f.got[i] < d.need[i] THEN
          k := coalesce(array_position(scarce, d.listings[i]), cardinality(scarce) + 1);
          scarce[k] := d.listings[i];
          there[k] := f.got[i];
        END IF;
      END LOOP;
    END;
  END LOOP;
  IF d.chosen <> '{}' THEN
    PERFORM write_down(d.chosen, p_pay);
    PERFORM deal_out(d.sold, d.listings, f.units, (d.chosen[1]).until);
    IF p_pay = 'wallet' THEN
      PERFORM hand_over((d.sold).groups, (d.sold).actors, p_pay, (d.sold).from_cart);
    END IF;
  END IF;
  PERFORM note_empty(d.listings || scarce);
  RETURN d.verdicts;
END $$;

-- Purchases paid from the wallet. Wallets are locked first, in order; stock units are never waited for.
CREATE FUNCTION orders.buy(p_batch jsonb) RETURNS TABLE (n int, verdict text, group_id uuid, data jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  wallets bigint[] := ARRAY(
    SELECT a.id FROM jsonb_to_recordset(p_batch) AS x(buyer uuid, currency text)
    JOIN ledger.account a ON a.kind = 'wallet' AND a.owner = 'user:' || x.buyer AND a.currency = x.currency::char(3));
BEGIN
  PERFORM 1 FROM ledger.balance b WHERE b.account_id = ANY (wallets) ORDER BY b.account_id FOR UPDATE;
  RETURN QUERY SELECT (v.place - 1)::int, v.verdict, v.group_id, v.data
    FROM unnest(buy_all(p_batch, 'wallet', wallets)) WITH ORDINALITY v(verdict, group_id, data, place);
END $$;

-- A purchase that waits for a card: its stock is reserved, no money moves yet.
CREATE FUNCTION orders.place(p jsonb) RETURNS orders.verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v verdict;
BEGIN
  v := (buy_all(jsonb_build_array(p), 'card', '{}'))[1];
  IF v.verdict = 'bought' THEN
    PERFORM audit.record('order.placed', 'order:' || o.id, p->>'actor', jsonb_build_object('group_id', v.group_id,
              'buyer_id', o.buyer_id, 'seller_id', o.seller_id))
      FROM orders o WHERE o.group_id = v.group_id ORDER BY o.id;
  END IF;
  RETURN v;
END $$;
-- The money of a card checkout is in the buyer's wallet (in this same transaction): pay and deliver.
-- Answers delivered, already, cancelled, or sold_out (expired meanwhile, and the units are gone).
CREATE FUNCTION orders.pay_group(p_group uuid, p_funding uuid, p_actor text DEFAULT 'stripe') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  g order_group;
  is_now text;
  lines record;
  stock record;
BEGIN
  SELECT * INTO STRICT g FROM order_group WHERE id = p_group FOR NO KEY UPDATE;
  PERFORM 1 FROM wallets.funding f WHERE f.id = p_funding AND f.group_id = p_group
    AND f.user_id = g.buyer_id AND f.amount = g.total AND f.currency = g.currency;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'funding % does not pay for group %', p_funding, p_group USING ERRCODE = '22023';
  END IF;
  SELECT min(o.state) INTO is_now FROM orders o WHERE o.group_id = p_group;
  IF is_now = 'CANCELLED' THEN RETURN 'cancelled'; END IF;
  IF is_now NOT IN ('PENDING_PAYMENT', 'EXPIRED') THEN RETURN 'already'; END IF;
  SELECT array_agg(i.id ORDER BY l.id) AS ids, array_agg(l.id ORDER BY l.id) AS listings,
         array_agg(i.quantity ORDER BY l.id) AS quantities, array_agg(l.kind = 'article' ORDER BY l.id) AS counted
    INTO lines FROM orders o JOIN order_line i ON i.order_id = o.id JOIN catalog.listing l ON l.id = i.listing_id
    WHERE o.group_id = p_group;
  IF is_now = 'EXPIRED' THEN
    BEGIN
      stock := find(lines.listings, lines.quantities, lines.counted);
      IF stock.got <> lines.quantities THEN
        RAISE EXCEPTION USING ERRCODE = 'FD001';  -- lets go of what was locked
      END IF;
    EXCEPTION WHEN SQLSTATE 'FD001' THEN
      RETURN 'sold_out';
    END;
    PERFORM deal_out((NULL, NULL, false, lines.ids, lines.listings, lines.quantities, lines.counted)::sold,
      lines.listings, stock.units, NULL);
  ELSE
    UPDATE inventory.stock_unit u SET state = 'SOLD', reserved_until = NULL
      WHERE u.line_id = ANY (lines.ids) AND u.state = 'RESERVED';
    PERFORM inventory.settle_holds(lines.ids, true);
  END IF;
  UPDATE order_line i SET delivery_state = 'DELIVERED', escrow_state = 'HELD', delivered_at = now(),
      release_at = now() + make_interval(days => (i.terms->>'protection_days')::int)
    WHERE i.id = ANY (lines.ids);
  UPDATE orders o SET state = 'DELIVERED', paid_at = now(), delivered_at = now(), expires_at = NULL,
      closed_because = NULL
    WHERE o.group_id = p_group;
  PERFORM note_empty(lines.listings);
  PERFORM hand_over(ARRAY[p_group], ARRAY[p_actor], 'card', g.from_cart);
  RETURN 'delivered';
END $$;

-- Gives up a group that awaits its payment: EXPIRED (its time is over and no payment is under way) or
-- CANCELLED. Units go back to stock. Answers done, not_waiting, not_yet, under_way (looked at again in a
-- while; the reservation is kept until then) or paid.
CREATE FUNCTION orders.give_up(p_group uuid, p_state text, p_because text, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  due timestamptz;
  debit boolean;  -- a bank debit is under way; it may take days
  back uuid[];
BEGIN
  PERFORM 1 FROM order_group WHERE id = p_group FOR NO KEY UPDATE;
  SELECT max(o.expires_at) INTO due FROM orders o WHERE o.group_id = p_group AND o.state = 'PENDING_PAYMENT';
  IF due IS NULL THEN RETURN 'not_waiting'; END IF;
  IF EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
             AND f.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED', 'REFUNDED')) THEN RETURN 'paid'; END IF;
  debit := EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
                   AND f.state = 'PROCESSING' AND f.intent_id IS NOT NULL);
  IF p_state = 'CANCELLED' AND debit THEN RETURN 'under_way'; END IF;
  IF p_state = 'EXPIRED' THEN
    IF due > now() THEN RETURN 'not_yet'; END IF;
    IF EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
               AND f.state IN ('CREATED', 'PROCESSING')) THEN
      due := now() + CASE WHEN debit THEN interval '30 minutes' ELSE interval '1 minute' END;
      UPDATE orders o SET expires_at = due WHERE o.group_id = p_group;
      UPDATE inventory.stock_unit u SET reserved_until = due
        FROM orders o JOIN order_line i ON i.order_id = o.id
        WHERE o.group_id = p_group AND u.line_id = i.id AND u.state = 'RESERVED';
      UPDATE inventory.hold h SET reserved_until = due
        FROM orders o JOIN order_line i ON i.order_id = o.id WHERE o.group_id = p_group AND h.line_id = i.id;
      RETURN 'under_way';
    END IF;
  END IF;
  WITH freed AS (
    UPDATE inventory.stock_unit u SET state = 'AVAILABLE', line_id = NULL, reserved_until = NULL
    FROM orders o JOIN order_line i ON i.order_id = o.id
    WHERE o.group_id = p_group AND u.line_id = i.id AND u.state = 'RESERVED' RETURNING u.listing_id)
  SELECT array_agg(DISTINCT listing_id) INTO back FROM freed;
  back := back || inventory.settle_holds(ARRAY(
    SELECT i.id FROM orders o JOIN order_line i ON i.order_id = o.id WHERE o.group_id = p_group), false);
  PERFORM 1 FROM catalog.listing l WHERE l.id = ANY (back) AND NOT l.in_stock ORDER BY l.id FOR NO KEY UPDATE;
  UPDATE catalog.listing l SET in_stock = true WHERE l.id = ANY (back) AND NOT l.in_stock;
  UPDATE order_line i SET delivery_state = 'CANCELLED'
    FROM orders o WHERE o.group_id = p_group AND i.order_id = o.id;
  UPDATE orders o SET state = p_state, closed_because = p_because, expires_at = NULL
    WHERE o.group_id = p_group;
  PERFORM audit.record(CASE p_state WHEN 'EXPIRED' THEN 'order.expired' ELSE 'order.cancelled' END,
            'order:' || o.id, p_actor, jsonb_build_object('group_id', p_group, 'buyer_id', o.buyer_id,
            'seller_id', o.seller_id, 'because', p_because))
    FROM orders o WHERE o.group_id = p_group ORDER BY o.id;
  RETURN 'done';
END $$;

-- What purchases from the wallet were answered with, asked together: a row per line, `n` the place of its group.
-- Only of groups that buyer bought, and only what never changes after: the first answer can be given again, the
-- same to the byte, for ever.
CREATE FUNCTION orders.as_bought(p_groups uuid[], p_buyers uuid[])
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
           l.release_at, l.terms,
           ARRAY(SELECT e.id FROM delivery.entitlement e WHERE e.line_id = l.id ORDER BY e.id)
    FROM unnest(p_groups, p_buyers) WITH ORDINALITY k(group_id, buyer_id, n)
    JOIN order_group g ON g.id = k.group_id AND g.buyer_id = k.buyer_id AND g.funding_policy = 'wallet'
    JOIN orders o ON o.group_id = g.id
    JOIN order_line l ON l.order_id = o.id
    ORDER BY k.n, o.id, l.id;
END $$;

-- A line of a quote; of one that was just put into a cart, also why not (`fault`) and how many one order may have.
CREATE TYPE orders.quoted_line AS (
  n bigint, before uuid, listing_id uuid, quantity int, seen_price bigint, seen_version int, slug text, title text,
  seller_id uuid, platform text, region text, edition text, cover text, max_per_order int, price bigint,
  price_version int, currency text, seller text, seller_slug text, for_sale boolean, own boolean, fits boolean,
  free bigint, wallet bigint, fault text, most int);

-- What purchases would cost now, asked together: a row per line in order, `n` the place of the question; a row
-- without a listing when there is none. p_wishes: for each question the lines {listing, quantity, price and/or
-- price_version as seen}, or null: the cart, of the user, or of the guest whose cookie has that hash. `before`:
-- the group that user bought with that key. `wallet`: what the user's wallet of the line's currency holds.
-- Whatever it is, it is read here at one moment; a cart and a wallet are told to whom they belong only.
CREATE FUNCTION orders.quoted(p_users uuid[], p_guests bytea[], p_countries text[], p_idems text[], p_wishes jsonb)
RETURNS SETOF orders.quoted_line
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = orders, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  RETURN QUERY
    SELECT k.n, (SELECT g.id FROM order_group g WHERE g.buyer_id = k.user_id AND g.idem = k.idem),
      w.id, w.quantity, w.price, w.price_version, l.slug, l.title, l.seller_id, l.platform, l.region, l.edition,
      l.cover, l.max_per_order, l.price, l.price_version, l.currency::text, s.name, s.slug,
      coalesce(l.state = 'PUBLISHED' AND s.state = 'OPEN', false),
      EXISTS (SELECT 1 FROM identity.membership m WHERE m.user_id = k.user_id AND m.seller_id = l.seller_id),
      region_fits(l.region, k.country),
      coalesce((SELECT least(c.on_hand, w.quantity + 10) FROM inventory.counted c WHERE c.listing_id = l.id),
        (SELECT count(*) FROM (SELECT 1 FROM inventory.stock_unit u
           WHERE u.listing_id = l.id AND u.state = 'AVAILABLE' LIMIT w.quantity + 10) t)),
      coalesce((SELECT sum(b.amount) FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
        WHERE a.kind = 'wallet' AND a.owner = 'user:' || k.user_id AND a.currency = l.currency), 0)::bigint,
      NULL::text, NULL::int
    FROM unnest(p_users, p_guests, p_countries, p_idems) WITH ORDINALITY k(user_id, guest, country, idem, n)
    LEFT JOIN LATERAL (
      SELECT i.listing_id AS id, i.quantity, i.seen_price AS price, NULL::int AS price_version, i.added_at, 0::bigint AS place
        FROM cart c JOIN cart_line i ON i.cart_id = c.id
        WHERE c.user_id = k.user_id AND p_wishes->(k.n - 1)::int = 'null'
      UNION ALL
      SELECT i.listing_id, i.quantity, i.seen_price, NULL, i.added_at, 0
        FROM cart c JOIN cart_line i ON i.cart_id = c.id
        WHERE k.user_id IS NULL AND c.guest_hash = k.guest AND p_wishes->(k.n - 1)::int = 'null'
      UNION ALL
      SELECT (x.wish->>'listing')::uuid, (x.wish->>'quantity')::int, (x.wish->>'price')::bigint,
             (x.wish->>'price_version')::int, NULL, x.place
        FROM jsonb_array_elements(nullif(p_wishes->(k.n - 1)::int, 'null')) WITH ORDINALITY x(wish, place)) w ON true
    LEFT JOIN catalog.listing l ON l.id = w.id
    LEFT JOIN sellers.seller s ON s.id = l.seller_id
    ORDER BY k.n, w.place, w.added_at, w.id;
END $$;

-- Puts a listing into a cart (of the user, or of the guest whose cookie has that hash; made with p_id when there
-- is none): so many units, with p_add so many more. Answers the cart as it is then, or why not: unavailable,
-- too_many, full.
CREATE FUNCTION orders.put_in_cart(p_id uuid, p_user uuid, p_guest bytea, p_country text, p_listing uuid,
                                   p_quantity int, p_add boolean, p_lines int) RETURNS SETOF orders.quoted_line
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  l catalog.listing;
  mine uuid;
  lines int;
  there int;
  answer quoted_line;
BEGIN
  SELECT x.* INTO l FROM catalog.listing x JOIN sellers.seller s ON s.id = x.seller_id
    WHERE x.id = p_listing AND x.state = 'PUBLISHED' AND s.state = 'OPEN';
  answer.most := l.max_per_order;
  answer.fault := CASE WHEN l.id IS NULL THEN 'unavailable' WHEN p_quantity > l.max_per_order THEN 'too_many' END;
  IF answer.fault IS NOT NULL THEN
    RETURN NEXT answer;
    RETURN;
  END IF;
  IF p_user IS NULL THEN
    INSERT INTO cart (id, guest_hash) VALUES (p_id, p_guest)
      ON CONFLICT (guest_hash) DO UPDATE SET updated_at = now() RETURNING id INTO mine;
  ELSE
    INSERT INTO cart (id, user_id) VALUES (p_id, p_user)
      ON CONFLICT (user_id) DO UPDATE SET updated_at = now() RETURNING id INTO mine;
  END IF;
  SELECT count(*), sum(c.quantity) FILTER (WHERE c.listing_id = p_listing) INTO lines, there
    FROM cart_line c WHERE c.cart_id = mine;
  IF p_add AND coalesce(there, 0) + p_quantity > l.max_per_order THEN
    answer.fault := 'too_many';
    RETURN NEXT answer;
  ELSIF there IS NULL AND lines >= p_lines THEN
    answer.fault := 'full';
    RETURN NEXT answer;
  ELSE
    INSERT INTO cart_line AS c (cart_id, listing_id, quantity, seen_price, seen_price_version)
      VALUES (mine, p_listing, p_quantity + CASE WHEN p_add THEN coalesce(there, 0) ELSE 0 END, l.price, l.price_version)
      ON CONFLICT (cart_id, listing_id) DO UPDATE SET quantity = excluded.quantity, seen_price = excluded.seen_price,
        seen_price_version = excluded.seen_price_version,
        added_at = CASE WHEN p_add THEN now() ELSE c.added_at END;
    RETURN QUERY SELECT * FROM quoted(ARRAY[p_user], ARRAY[p_guest], ARRAY[p_country], ARRAY[NULL], '[null]');
  END IF;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA orders FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orders.as_bought, orders.buy, orders.place, orders.pay_group, orders.give_up,
  orders.put_in_cart, orders.quoted, orders.release, orders.release_due, orders.mature_due, orders.region_fits TO fondaco_app;

-- delivery
-- The same at most p_limit times in p_window seconds for one user, whether anything is found or not. `wait`: how
-- many seconds to wait; then nothing was looked for.
CREATE FUNCTION delivery.reveal_within(p_entitlement uuid, p_user uuid, p_ip text, p_user_agent text, p_actor text,
                                       p_as_bought boolean, p_limit int, p_window int)
RETURNS TABLE (wait int, unit_id uuid, key_id uuid, sealed bytea, listing_id uuid, content_version int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = delivery, pg_temp AS $$
BEGIN
  wait := core.hit('reveal:' || p_user, p_limit, p_window);
  IF wait > 0 THEN
    RETURN NEXT;
  ELSE
    RETURN QUERY SELECT 0, r.unit_id, r.key_id, r.sealed, r.listing_id, r.content_version
      FROM reveal_unit(p_entitlement, p_user, p_ip, p_user_agent, p_actor, p_as_bought) r;
  END IF;
END $$;
REVOKE ALL ON FUNCTION delivery.reveal_within FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delivery.reveal_within TO fondaco_app;
