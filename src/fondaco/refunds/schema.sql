-- refunds: money of order lines going back to the buyer, by policy, whole or in part, before and after release.
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
  credit         bigint NOT NULL DEFAULT 0,            -- of it: paid what the buyer owed for goods on credit
  recovered      bigint NOT NULL DEFAULT 0,            -- of it: of such credit that had been written off
  CONSTRAINT refund_credit CHECK (credit >= 0 AND recovered >= 0 AND promo + credit + recovered <= amount),
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

-- What finance changed of a balance, with reason and evidence; what two people took of a banned store.
CREATE TABLE refunds.adjustment (
  id          uuid PRIMARY KEY,                        -- the key of who asked for it
  kind        text NOT NULL CHECK (kind IN ('adjustment', 'forfeit')),
  user_id     uuid REFERENCES identity.users,
  seller_id   uuid REFERENCES sellers.seller,
  amount      bigint NOT NULL CHECK (amount <> 0),     -- above nothing: to them; below: from them
  currency    char(3) NOT NULL,
  why         text NOT NULL CHECK (length(why) BETWEEN 3 AND 500),
  evidence    text NOT NULL CHECK (length(evidence) BETWEEN 3 AND 5000),
  actor       text NOT NULL,
  approval_id uuid UNIQUE REFERENCES approvals.request, -- by which two people agreed
  journal_id  bigint NOT NULL UNIQUE REFERENCES ledger.journal,
  created_at  timestamptz NOT NULL DEFAULT now(),
  CHECK (num_nonnulls(user_id, seller_id) = 1),
  CONSTRAINT adjustment_forfeit CHECK (kind <> 'forfeit' OR seller_id IS NOT NULL AND amount < 0 AND approval_id IS NOT NULL)
);
CREATE INDEX adjustment_newest ON refunds.adjustment (created_at DESC, id DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON refunds.adjustment
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE refunds.adjustment ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT, INSERT ON refunds.adjustment TO fondaco_app;
SELECT core.wall('refunds.adjustment', 'user_id', 'seller_id');

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
                AND w.amount = refund.amount - refund.promo - refund.credit - refund.recovered
                AND w.currency = refund.currency)
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
