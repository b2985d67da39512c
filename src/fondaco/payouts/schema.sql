-- payouts: sellers' accounts at the provider, and the money that leaves to them.
CREATE SCHEMA payouts;
GRANT USAGE ON SCHEMA payouts TO fondaco_app;

-- A seller's own account at the provider, as it was last fetched from there.
CREATE TABLE payouts.account (
  id                uuid PRIMARY KEY,                  -- names the call that makes it: 'account:<id>'
  seller_id         uuid NOT NULL REFERENCES sellers.seller,
  state             text NOT NULL,
  provider_id       text UNIQUE,                       -- acct_...
  country           char(2) NOT NULL,                  -- what the call was made with: compared when it is repeated
  email             text NOT NULL,
  details_submitted boolean NOT NULL DEFAULT false,
  payouts_enabled   boolean NOT NULL DEFAULT false,
  transfers_active  boolean NOT NULL DEFAULT false,
  currently_due     text[] NOT NULL DEFAULT '{}',
  past_due          text[] NOT NULL DEFAULT '{}',
  disabled_reason   text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  checked_at        timestamptz,                       -- when it was last fetched
  changed_at        timestamptz NOT NULL DEFAULT now(),
  CHECK (provider_id IS NOT NULL OR state IN ('NONE', 'CLOSED'))
);
CREATE UNIQUE INDEX account_live ON payouts.account (seller_id) WHERE state <> 'CLOSED';
CREATE INDEX account_seller ON payouts.account (seller_id);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON payouts.account
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('payout_account', 'state');

CREATE TABLE payouts.payout (
  id             uuid PRIMARY KEY,                     -- names the transfer's group: 'payout:<id>'
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  account_id     uuid NOT NULL REFERENCES payouts.account,
  destination    text NOT NULL,                        -- the provider's account, pinned at the intent
  amount         bigint NOT NULL CHECK (amount > 0),
  currency       char(3) NOT NULL,
  kind           text NOT NULL CHECK (kind IN ('daily', 'withdrawal')),
  batch_date     date NOT NULL,
  state          text NOT NULL,
  gates          jsonb NOT NULL,                       -- what was looked at when it was decided, and how it stood
  requested_by   text NOT NULL,
  attempt        int NOT NULL DEFAULT 0,
  lease_until    timestamptz,                          -- until when its sender may still be at it
  called_at      timestamptz,                          -- when this attempt was first sent
  key_burnt      boolean NOT NULL DEFAULT false,       -- the provider keeps a failure under this attempt's key
  checked_at     timestamptz,                          -- when the provider was last asked about it
  transfer_id    text UNIQUE,
  second_id      text,                                 -- a second transfer at the provider: nothing goes on by itself
  reversed       bigint NOT NULL DEFAULT 0,
  held_by        text,                                 -- 'system', or the person who must let it go
  held_because   text,
  failure_code   text,
  failure        text,                                 -- in words for the seller
  bank_payout_id text,                                 -- the provider's payout from the seller's account to the bank
  created_at     timestamptz NOT NULL DEFAULT now(),
  sent_at        timestamptz,
  paid_at        timestamptz,
  done_at        timestamptz,
  CHECK (reversed BETWEEN 0 AND amount),
  CHECK ((state = 'HELD') = (held_by IS NOT NULL)),
  CHECK (transfer_id IS NOT NULL OR state NOT IN ('SENT', 'PAID', 'BANK_FAILED', 'REVERSED'))
);
CREATE UNIQUE INDEX payout_daily_once ON payouts.payout (seller_id, currency, batch_date) WHERE kind = 'daily';
CREATE INDEX payout_seller ON payouts.payout (seller_id, created_at DESC, id DESC);
CREATE INDEX payout_newest ON payouts.payout (created_at DESC, id DESC);
CREATE INDEX payout_open ON payouts.payout (created_at) WHERE state IN ('CREATED', 'HELD', 'SENDING', 'UNKNOWN');
CREATE INDEX payout_at_bank ON payouts.payout (destination, sent_at) WHERE state IN ('SENT', 'PAID', 'BANK_FAILED');
CREATE INDEX payout_twice ON payouts.payout (id) WHERE second_id IS NOT NULL;
CREATE INDEX payout_date ON payouts.payout (batch_date, state);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON payouts.payout
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('payout', 'state');

-- What was decided never changes.
CREATE FUNCTION payouts.stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.seller_id, NEW.account_id, NEW.destination, NEW.amount, NEW.currency, NEW.kind, NEW.batch_date)
     <> (OLD.id, OLD.seller_id, OLD.account_id, OLD.destination, OLD.amount, OLD.currency, OLD.kind, OLD.batch_date)
     OR OLD.transfer_id <> NEW.transfer_id OR (OLD.transfer_id IS NOT NULL AND NEW.transfer_id IS NULL) THEN
    RAISE EXCEPTION 'amount, currency and destination of a payout never change'
      USING ERRCODE = '23514', CONSTRAINT = 'payout_pinned';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER pinned BEFORE UPDATE ON payouts.payout FOR EACH ROW EXECUTE FUNCTION payouts.stays();
CREATE TRIGGER never_gone BEFORE DELETE OR TRUNCATE ON payouts.payout
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();

-- Each call to the provider, written down before it is made. With a closed gate none is made.
CREATE TABLE payouts.attempt (
  payout_id  uuid NOT NULL REFERENCES payouts.payout,
  no         int NOT NULL CHECK (no > 0),
  key        text NOT NULL UNIQUE,
  gates      text[] NOT NULL CHECK (gates = '{}'),
  started_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (payout_id, no)
);

-- What is still to be paid of each matured line: filled when it matures, lowered by refunds.
CREATE TABLE payouts.payable (
  line_id    uuid PRIMARY KEY,
  seller_id  uuid NOT NULL,
  currency   char(3) NOT NULL,
  matured_at timestamptz NOT NULL,
  net        bigint NOT NULL,                          -- the seller's part
  paid       bigint NOT NULL DEFAULT 0,                -- in payouts that were not given back
  CHECK (paid BETWEEN 0 AND net)
) WITH (fillfactor = 80);
CREATE INDEX payable_next ON payouts.payable (seller_id, currency, matured_at, line_id) WHERE paid < net;

-- What a payout pays: lines, the oldest first; the rest (corrections, goodwill, freed reserve) has no line.
CREATE TABLE payouts.item (
  payout_id uuid NOT NULL REFERENCES payouts.payout,
  line_id   uuid,
  seller_id uuid NOT NULL,
  amount    bigint NOT NULL CHECK (amount > 0),
  returned  bigint NOT NULL DEFAULT 0,                 -- the payout failed or was reversed: to be paid again
  CHECK (returned BETWEEN 0 AND amount),
  CONSTRAINT item_once UNIQUE NULLS NOT DISTINCT (payout_id, line_id)
);
CREATE INDEX item_line ON payouts.item (line_id) WHERE line_id IS NOT NULL;

-- A transfer taken back, wholly or in part: three commits like the transfer itself.
CREATE TABLE payouts.reversal (
  id          uuid PRIMARY KEY,                        -- names the call: 'reversal:<id>'
  payout_id   uuid NOT NULL REFERENCES payouts.payout,
  transfer_id text NOT NULL,
  amount      bigint NOT NULL CHECK (amount > 0),
  reason      text NOT NULL,
  state       text NOT NULL,
  provider_id text UNIQUE,                             -- trr_...
  asked_by    text NOT NULL,
  failure     text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  called_at   timestamptz,
  checked_at  timestamptz,
  done_at     timestamptz
);
CREATE INDEX reversal_payout ON payouts.reversal (payout_id);
CREATE INDEX reversal_open ON payouts.reversal (created_at) WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN');
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON payouts.reversal
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('transfer_reversal', 'state');

-- One run a day over all sellers; it goes on where its last step ended.
CREATE TABLE payouts.run (
  batch_date date PRIMARY KEY,
  asked_by   text NOT NULL,                            -- 'clock' or who started it
  started_at timestamptz NOT NULL DEFAULT now(),
  beat_at    timestamptz NOT NULL DEFAULT now(),
  ended_at   timestamptz,
  owner      text NOT NULL DEFAULT '',                 -- the last account looked at
  currency   text NOT NULL DEFAULT '',
  accounts   int NOT NULL,                             -- how many there were to look at when it began
  looked     int NOT NULL DEFAULT 0,
  created    int NOT NULL DEFAULT 0,
  held       int NOT NULL DEFAULT 0
);

-- Whom a run did not pay, how much, and why.
CREATE TABLE payouts.withheld (
  seller_id  uuid NOT NULL REFERENCES sellers.seller,
  currency   char(3) NOT NULL,
  batch_date date NOT NULL,
  amount     bigint NOT NULL,
  reasons    text[] NOT NULL,
  at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (seller_id, currency, batch_date)
);
CREATE INDEX withheld_date ON payouts.withheld (batch_date, seller_id);

-- What was kept back at maturity, until it is freed.
CREATE TABLE payouts.reserve (
  id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  seller_id uuid NOT NULL REFERENCES sellers.seller,
  currency  char(3) NOT NULL,
  amount    bigint NOT NULL CHECK (amount > 0),
  bps       int NOT NULL,
  held_at   timestamptz NOT NULL DEFAULT now(),
  freed_at  timestamptz
);
CREATE INDEX reserve_due ON payouts.reserve (held_at) WHERE freed_at IS NULL;
CREATE INDEX reserve_seller ON payouts.reserve (seller_id, currency) WHERE freed_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON payouts.account, payouts.reversal TO fondaco_app;
GRANT SELECT, INSERT ON payouts.attempt TO fondaco_app;
GRANT SELECT ON payouts.payout, payouts.payable, payouts.item, payouts.run, payouts.withheld, payouts.reserve TO fondaco_app;
GRANT UPDATE (state, attempt, lease_until, called_at, key_burnt, checked_at, transfer_id, second_id, held_by, held_because,
  bank_payout_id, failure, sent_at, paid_at, done_at) ON payouts.payout TO fondaco_app;
SELECT core.wall('payouts.account', '', 'seller_id');
SELECT core.wall('payouts.payout', '', 'seller_id');
SELECT core.wall('payouts.attempt', '', '');
SELECT core.wall('payouts.payable', '', 'seller_id');
SELECT core.wall('payouts.item', '', 'seller_id');
SELECT core.wall('payouts.reversal', '', '');
SELECT core.wall('payouts.run', '', '');
SELECT core.wall('payouts.withheld', '', 'seller_id');
SELECT core.wall('payouts.reserve', '', 'seller_id');

-- A line that matures becomes payable; a refund of a matured line lowers what is still to be paid of it.
CREATE FUNCTION payouts.follow_line() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payouts, pg_temp AS $$
BEGIN
  IF OLD.matured_at IS NULL AND NEW.matured_at IS NOT NULL THEN
    INSERT INTO payable (line_id, seller_id, currency, matured_at, net)
      VALUES (NEW.id, NEW.seller_id, NEW.currency, NEW.matured_at, orders.seller_part(NEW));
  ELSIF NEW.matured_at IS NOT NULL AND NEW.refunded <> OLD.refunded THEN
    UPDATE payable SET net = greatest(paid, orders.seller_part(NEW)) WHERE line_id = NEW.id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER payable AFTER UPDATE OF matured_at, refunded ON orders.order_line FOR EACH ROW
  WHEN (NEW.matured_at IS NOT NULL) EXECUTE FUNCTION payouts.follow_line();

-- The seller's risk tier.
CREATE FUNCTION payouts.tier(p_seller uuid) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT t.tier FROM risk.standing t WHERE t.seller_id = p_seller), 'NORMAL')
$$;

-- Basis points of maturing money that are kept back for a while.
CREATE FUNCTION payouts.reserve_bps(p_seller uuid) RETURNS int LANGUAGE sql STABLE AS $$
  SELECT (risk.seller_limits(p_seller)).reserve_bps
$$;

-- Why no payout at all may leave now, in words; NULL when they may.
CREATE FUNCTION payouts.stopped() RETURNS text LANGUAGE sql STABLE AS $$ SELECT NULL::text $$;

CREATE FUNCTION payouts.balance_of(p_kind text, p_seller uuid, p_currency text) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT b.amount FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
    WHERE a.kind = p_kind AND a.owner = 'seller:' || p_seller AND a.currency = p_currency::char(3)), 0)
$$;

-- Why this seller is not paid now; {} when nothing stands in the way.
CREATE FUNCTION payouts.gates(p_seller uuid, p_currency text) RETURNS text[] LANGUAGE sql STABLE AS $$
  SELECT array_remove(ARRAY[
    CASE WHEN s.state <> 'OPEN' THEN 'store_' || lower(s.state) END,
    CASE WHEN a.state IS DISTINCT FROM 'ACTIVE' THEN 'account_' || lower(coalesce(a.state, 'NONE')) END,
    CASE WHEN NOT (risk.seller_limits(s.id)).payouts THEN 'risk' END,
    CASE WHEN payouts.balance_of('seller_receivable', s.id, p_currency) > 0 THEN 'debt' END,
    CASE WHEN payouts.stopped() IS NOT NULL THEN 'stopped' END], NULL)
  FROM sellers.seller s LEFT JOIN payouts.account a ON a.seller_id = s.id AND a.state <> 'CLOSED'
  WHERE s.id = p_seller
$$;

-- What a seller owes is taken from what they may be paid, first of all. Answers how much.
CREATE FUNCTION payouts.net_debt(p_seller uuid, p_currency text, p_actor text) RETURNS bigint
LANGUAGE plpgsql SET search_path = payouts, pg_temp AS $$
DECLARE
  available bigint := (SELECT a.id FROM ledger.account a WHERE a.kind = 'seller_available'
    AND a.owner = 'seller:' || p_seller AND a.currency = p_currency);
  owed bigint := (SELECT a.id FROM ledger.account a WHERE a.kind = 'seller_receivable'
    AND a.owner = 'seller:' || p_seller AND a.currency = p_currency);
  have bigint;
  debt ledger.balance;
  x bigint;
BEGIN
  IF available IS NULL OR owed IS NULL THEN RETURN 0; END IF;
  PERFORM 1 FROM ledger.balance b WHERE b.account_id IN (available, owed) ORDER BY b.account_id FOR UPDATE;
  SELECT b.amount INTO have FROM ledger.balance b WHERE b.account_id = available;
  SELECT * INTO debt FROM ledger.balance b WHERE b.account_id = owed;
  x := least(have, debt.amount);
  IF x <= 0 THEN RETURN 0; END IF;
  PERFORM audit.record('seller.debt_netted', 'seller:' || p_seller, p_actor,
    jsonb_build_object('amount', x, 'currency', p_currency));
  PERFORM ledger.post('netting', 'net:' || p_seller || ':' || p_currency || ':' || debt.version, 'seller:' || p_seller,
    p_actor, ARRAY[available, owed], ARRAY[x, -x]);
  RETURN x;
END $$;

-- The intent of payouts, one for each seller and currency given, whose available balances are locked and hold
-- enough and whose accounts are active: the payout with its lines (the oldest first, the last perhaps in part), the
-- money in flight, the event; all or nothing.
CREATE FUNCTION payouts.set_aside(p_ids uuid[], p_sellers uuid[], p_currencies text[], p_amounts bigint[],
                                  p_kind text, p_date date, p_actor text) RETURNS void
LANGUAGE plpgsql SET search_path = payouts, pg_temp AS $$
DECLARE
  sources bigint[];
  flights bigint[];
BEGIN
  INSERT INTO payout (id, seller_id, account_id, destination, amount, currency, kind, batch_date, state, gates, requested_by)
    SELECT w.id, w.seller_id, a.id, a.provider_id, w.amount, w.currency, p_kind, p_date, 'CREATED',
           jsonb_build_object('account', a.state, 'account_checked_at', a.checked_at, 'store', s.state, 'tier', tier(s.id),
             'debt', 0, 'stopped', stopped() IS NOT NULL), p_actor
    FROM unnest(p_ids, p_sellers, p_currencies, p_amounts) w(id, seller_id, currency, amount)
    JOIN sellers.seller s ON s.id = w.seller_id
    JOIN account a ON a.seller_id = w.seller_id AND a.state = 'ACTIVE';
  WITH open AS MATERIALIZED (
    SELECT w.id, w.seller_id, w.amount, p.line_id, p.net - p.paid AS owed,
           sum(p.net - p.paid) OVER (PARTITION BY w.id ORDER BY p.matured_at, p.line_id) AS upto
    FROM unnest(p_ids, p_sellers, p_currencies, p_amounts) w(id, seller_id, currency, amount)
    JOIN payable p ON p.seller_id = w.seller_id AND p.currency = w.currency::char(3) AND p.paid < p.net),
  chosen AS MATERIALIZED (
    SELECT o.id, o.seller_id, o.line_id, least(o.owed, o.amount - (o.upto - o.owed))::bigint AS take
    FROM open o WHERE o.upto - o.owed < o.amount),
  marked AS (
    UPDATE payable p SET paid = p.paid + c.take FROM chosen c WHERE p.line_id = c.line_id
    RETURNING c.id, c.line_id, c.seller_id, c.take)
  INSERT INTO item (payout_id, line_id, seller_id, amount) SELECT m.id, m.line_id, m.seller_id, m.take FROM marked m;
  INSERT INTO item (payout_id, line_id, seller_id, amount)
    SELECT w.id, NULL, w.seller_id, w.amount - coalesce(i.amount, 0)
    FROM unnest(p_ids, p_sellers, p_amounts) w(id, seller_id, amount)
    LEFT JOIN (SELECT payout_id, sum(amount)::bigint AS amount FROM item WHERE payout_id = ANY (p_ids)
               GROUP BY payout_id) i ON i.payout_id = w.id
    WHERE w.amount > coalesce(i.amount, 0);
  PERFORM audit.record_many('payout.created', array_agg('payout:' || w.id ORDER BY w.n), array_agg(p_actor),
      array_agg(jsonb_build_object('seller_id', w.seller_id, 'amount', w.amount, 'currency', w.currency,
        'kind', p_kind, 'date', p_date) ORDER BY w.n))
    FROM unnest(p_ids, p_sellers, p_currencies, p_amounts) WITH ORDINALITY w(id, seller_id, currency, amount, n);
  SELECT array_agg(ledger.open_account('seller_available', 'seller:' || w.seller_id, w.currency) ORDER BY w.n)
    INTO sources FROM unnest(p_sellers, p_currencies) WITH ORDINALITY w(seller_id, currency, n);
  flights := ledger.open_accounts('payout_in_flight', ARRAY(SELECT 'payout:' || id FROM unnest(p_ids) id), p_currencies);
  PERFORM ledger.post_many('payout_intent', ARRAY(SELECT 'po:' || id FROM unnest(p_ids) id),
    ARRAY(SELECT 'payout:' || id FROM unnest(p_ids) id), ARRAY(SELECT p_actor FROM unnest(p_ids)), sources || flights,
    p_amounts || ARRAY(SELECT -amount FROM unnest(p_amounts) WITH ORDINALITY t(amount, n) ORDER BY n));
END $$;

-- A withdrawal: so much of what is available (NULL: all of it) of one seller. Answers created, same (this very
-- request was made before), key_reused, closed (with the reasons), below_minimum, insufficient; and what was available.
CREATE FUNCTION payouts.intend(p_id uuid, p_seller uuid, p_currency text, p_amount bigint, p_least bigint, p_actor text,
                               OUT verdict text, OUT reasons text[], OUT available bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payouts, pg_temp AS $$
DECLARE
  known payout;
  wanted bigint;
BEGIN
  reasons := '{}';
  PERFORM 1 FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
    WHERE a.kind = 'seller_available' AND a.owner = 'seller:' || p_seller AND a.currency = p_currency FOR UPDATE OF b;
  SELECT * INTO known FROM payout WHERE id = p_id;
  IF known.id IS NOT NULL THEN
    available := 0;
    verdict := CASE WHEN known.seller_id = p_seller AND known.currency = p_currency AND known.kind = 'withdrawal'
                     AND known.amount = coalesce(p_amount, known.amount) THEN 'same' ELSE 'key_reused' END;
    RETURN;
  END IF;
  PERFORM net_debt(p_seller, p_currency, p_actor);
  available := balance_of('seller_available', p_seller, p_currency);
  reasons := gates(p_seller, p_currency);
  wanted := coalesce(p_amount, available);
  verdict := CASE WHEN cardinality(reasons) > 0 THEN 'closed' WHEN wanted > available OR available = 0 THEN 'insufficient'
    WHEN wanted < greatest(p_least, 1) THEN 'below_minimum' ELSE 'created' END;
  IF verdict = 'created' THEN
    PERFORM set_aside(ARRAY[p_id], ARRAY[p_seller], ARRAY[p_currency], ARRAY[wanted], 'withdrawal',
      (now() AT TIME ZONE 'UTC')::date, p_actor);
  END IF;
END $$;

-- Begins the run of a day, or opens an ended one again for whoever was not paid in it. False: it is under way, or
-- over and p_again was not said.
CREATE FUNCTION payouts.begin_run(p_date date, p_actor text, p_again boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payouts, pg_temp AS $$
DECLARE
  n int := (SELECT count(*) FROM ledger.account a WHERE a.kind = 'seller_available');
BEGIN
  INSERT INTO run AS r (batch_date, asked_by, accounts) VALUES (p_date, p_actor, n)
    ON CONFLICT (batch_date) DO UPDATE SET asked_by = p_actor, started_at = now(), beat_at = now(), ended_at = NULL,
      owner = '', currency = '', accounts = n, looked = 0, created = 0, held = 0
      WHERE p_again AND r.ended_at IS NOT NULL;
  IF NOT FOUND THEN RETURN false; END IF;
  PERFORM audit.record('payouts.run_started', 'payouts:' || p_date, p_actor, jsonb_build_object('accounts', n));
  RETURN true;
END $$;

-- What one seller could be paid in one currency, and why not.
CREATE TYPE payouts.due AS (seller_id uuid, currency text, amount bigint, reasons text[]);

-- Whom a run does not pay is written down. A seller is told when the reasons are others than the last time; that an
-- amount is still too small is no news.
CREATE FUNCTION payouts.note_withheld(p_date date, p_dues payouts.due[]) RETURNS void
LANGUAGE plpgsql SET search_path = payouts, pg_temp AS $$
BEGIN
  PERFORM audit.record('payout.withheld', 'seller:' || d.seller_id, 'system', jsonb_build_object('amount', d.amount,
            'currency', d.currency, 'reasons', array_remove(d.reasons, 'below_minimum'), 'date', p_date))
    FROM unnest(p_dues) d
    WHERE array_remove(d.reasons, 'below_minimum') <> '{}' AND d.reasons IS DISTINCT FROM (
      SELECT w.reasons FROM withheld w WHERE w.seller_id = d.seller_id AND w.currency = d.currency::char(3)
      ORDER BY w.batch_date DESC LIMIT 1);
  INSERT INTO withheld AS w (seller_id, currency, batch_date, amount, reasons)
    SELECT d.seller_id, d.currency, p_date, d.amount, d.reasons FROM unnest(p_dues) d
    ON CONFLICT (seller_id, currency, batch_date) DO UPDATE
      SET amount = excluded.amount, reasons = excluded.reasons, at = now();
END $$;

-- What these sellers owe is taken from what they may be paid. Where that cannot be, the gate 'debt' stays closed.
CREATE FUNCTION payouts.net_debts(p_accounts bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = payouts, pg_temp AS $$
DECLARE
  s record;
BEGIN
  FOR s IN SELECT a.owner, a.currency::text AS currency FROM ledger.account a
           JOIN ledger.account d ON d.kind = 'seller_receivable' AND d.owner = a.owner AND d.currency = a.currency
           JOIN ledger.balance b ON b.account_id = d.id AND b.amount > 0
           WHERE a.id = ANY (p_accounts) ORDER BY a.id LOOP
    BEGIN
      PERFORM net_debt(substr(s.owner, 8)::uuid, s.currency, 'system');
    EXCEPTION WHEN insufficient_privilege OR integrity_constraint_violation THEN
      RAISE WARNING 'what % owes is not set against its money: %', s.owner, SQLERRM;
    END;
  END LOOP;
END $$;

-- A daily payout for each of these, all at once; when one of them cannot be made, each by itself, so that it holds
-- up no other. Answers those that could not be made.
CREATE FUNCTION payouts.pay_dues(p_date date, p_dues payouts.due[]) RETURNS payouts.due[]
LANGUAGE plpgsql SET search_path = payouts, pg_temp AS $$
DECLARE
  d due;
  failed due[] := '{}';
BEGIN
  IF cardinality(p_dues) = 0 THEN RETURN failed; END IF;
  BEGIN
    PERFORM set_aside(array_agg(gen_random_uuid()), array_agg(t.seller_id), array_agg(t.currency), array_agg(t.amount),
      'daily', p_date, 'system') FROM unnest(p_dues) t;
    RETURN failed;
  EXCEPTION WHEN insufficient_privilege OR integrity_constraint_violation OR data_exception THEN
    RAISE WARNING 'of % payouts one cannot be made: %', cardinality(p_dues), SQLERRM;
  END;
  FOREACH d IN ARRAY p_dues LOOP
    BEGIN
      PERFORM set_aside(ARRAY[gen_random_uuid()], ARRAY[d.seller_id], ARRAY[d.currency], ARRAY[d.amount], 'daily',
        p_date, 'system');
    EXCEPTION WHEN insufficient_privilege OR integrity_constraint_violation OR data_exception THEN
      RAISE WARNING 'store % is not paid: %', d.seller_id, SQLERRM;
      d.reasons := ARRAY['blocked'];
      failed := failed || d;
    END;
  END LOOP;
  RETURN failed;
END $$;

-- The next p_limit accounts of a run: debts first, then a payout to each seller who may be paid, and a note on each
-- who may not. Two at it at once take turns. Answers how many were looked at; 0 when the run is over.
CREATE FUNCTION payouts.run_step(p_date date, p_least bigint, p_limit int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payouts, pg_temp AS $$
DECLARE
  r run;
  accounts bigint[];
  owners text[];
  currencies text[];
  dues due[];
  kept due[];
  n int;
BEGIN
  SELECT * INTO r FROM run WHERE batch_date = p_date FOR UPDATE;
  IF r.batch_date IS NULL OR r.ended_at IS NOT NULL THEN RETURN 0; END IF;
  SELECT coalesce(array_agg(t.id), '{}'), array_agg(t.owner), array_agg(t.currency) INTO accounts, owners, currencies
    FROM (SELECT a.id, a.owner, a.currency::text FROM ledger.account a
          WHERE a.kind = 'seller_available' AND (a.owner, a.currency) > (r.owner, r.currency::char(3))
          ORDER BY a.owner, a.currency LIMIT p_limit) t;
  n := cardinality(accounts);
  PERFORM 1 FROM ledger.balance b WHERE b.account_id = ANY (accounts) ORDER BY b.account_id FOR UPDATE;
  PERFORM net_debts(accounts);
  dues := ARRAY(
    SELECT ROW(d.seller_id, d.currency, d.amount, gates(d.seller_id, d.currency)
               || CASE WHEN d.amount < p_least THEN ARRAY['below_minimum'] ELSE '{}' END)::due
    FROM (SELECT substr(a.owner, 8)::uuid AS seller_id, a.currency::text AS currency, b.amount
          FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
          WHERE a.id = ANY (accounts) AND b.amount > 0) d
    WHERE NOT EXISTS (SELECT 1 FROM payout p WHERE p.seller_id = d.seller_id AND p.currency = d.currency::char(3)
                      AND p.batch_date = p_date AND p.kind = 'daily')
    ORDER BY d.seller_id, d.currency);
  kept := ARRAY(SELECT d FROM unnest(dues) d WHERE d.reasons <> '{}')
    || pay_dues(p_date, ARRAY(SELECT d FROM unnest(dues) d WHERE d.reasons = '{}'));
  PERFORM note_withheld(p_date, kept);
  UPDATE run SET looked = looked + n, created = created + cardinality(dues) - cardinality(kept),
      held = held + cardinality(kept),
      owner = coalesce(owners[n], run.owner), currency = coalesce(currencies[n], run.currency),
      beat_at = clock_timestamp(), ended_at = CASE WHEN n < p_limit THEN clock_timestamp() END
    WHERE batch_date = p_date;
  RETURN n;
END $$;

-- So much of a payout is to be paid again: the newest of its lines first.
CREATE FUNCTION payouts.unpay(p_id uuid, p_amount bigint) RETURNS void
LANGUAGE plpgsql SET search_path = payouts, pg_temp AS $$
BEGIN
  WITH open AS MATERIALIZED (
    SELECT i.line_id, i.amount - i.returned AS there,
           sum(i.amount - i.returned) OVER (ORDER BY p.matured_at DESC NULLS FIRST, i.line_id DESC NULLS FIRST) AS upto
    FROM item i LEFT JOIN payable p ON p.line_id = i.line_id WHERE i.payout_id = p_id AND i.returned < i.amount),
  chosen AS MATERIALIZED (
    SELECT o.line_id, least(o.there, p_amount - (o.upto - o.there))::bigint AS back FROM open o WHERE o.upto - o.there < p_amount),
  marked AS (
    UPDATE item i SET returned = i.returned + c.back FROM chosen c
    WHERE i.payout_id = p_id AND i.line_id IS NOT DISTINCT FROM c.line_id)
  UPDATE payable p SET paid = p.paid - c.back, net = greatest(p.paid - c.back, orders.seller_part(l))
    FROM chosen c JOIN orders.order_line l ON l.id = c.line_id WHERE p.line_id = c.line_id;
END $$;

-- A payout that certainly did not leave ends, FAILED or CANCELLED, and its money is the seller's to be paid again.
CREATE FUNCTION payouts.give_back(p_id uuid, p_state text, p_code text, p_failure text, p_actor text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payouts, pg_temp AS $$
DECLARE
  p payout;
  failed boolean := p_state = 'FAILED';
BEGIN
  IF p_state NOT IN ('FAILED', 'CANCELLED') THEN RAISE EXCEPTION 'no such end' USING ERRCODE = '22023'; END IF;
  SELECT * INTO STRICT p FROM payout WHERE id = p_id FOR UPDATE;
  UPDATE payout SET state = p_state, failure_code = p_code, failure = p_failure, held_by = NULL, held_because = NULL,
    lease_until = NULL, done_at = now() WHERE id = p_id;
  PERFORM unpay(p_id, p.amount);
  PERFORM audit.record(CASE WHEN failed THEN 'payout.failed' ELSE 'payout.cancelled' END, 'payout:' || p_id, p_actor,
    jsonb_build_object('seller_id', p.seller_id, 'amount', p.amount, 'currency', p.currency, 'code', p_code,
      'because', p_failure));
  PERFORM ledger.post(CASE WHEN failed THEN 'payout_failed' ELSE 'payout_cancelled' END,
    CASE WHEN failed THEN 'pofail:' ELSE 'pocancel:' END || p_id, 'payout:' || p_id, p_actor,
    ARRAY[ledger.open_account('payout_in_flight', 'payout:' || p_id, p.currency),
          ledger.open_account('seller_available', 'seller:' || p.seller_id, p.currency)], ARRAY[p.amount, -p.amount]);
  IF NOT failed THEN PERFORM net_debt(p.seller_id, p.currency, p_actor); END IF;
END $$;

-- The provider took so much of a transfer back: the seller's to be paid again. Known reversals change nothing.
CREATE FUNCTION payouts.note_reversal(p_id uuid, p_reversal text, p_amount bigint, p_actor text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payouts, pg_temp AS $$
DECLARE
  p payout;
BEGIN
  SELECT * INTO STRICT p FROM payout WHERE id = p_id FOR UPDATE;
  IF EXISTS (SELECT 1 FROM ledger.journal j WHERE j.idem = 'trr:' || p_reversal) THEN RETURN false; END IF;
  UPDATE payout SET reversed = reversed + p_amount,
      state = CASE WHEN reversed + p_amount = amount THEN 'REVERSED' ELSE state END,
      done_at = CASE WHEN reversed + p_amount = amount THEN now() ELSE done_at END WHERE id = p_id;
  PERFORM unpay(p_id, p_amount);
  PERFORM audit.record('payout.reversed', 'payout:' || p_id, p_actor, jsonb_build_object('seller_id', p.seller_id,
    'amount', p_amount, 'currency', p.currency, 'reversal', p_reversal));
  PERFORM ledger.post('payout_reversed', 'trr:' || p_reversal, 'payout:' || p_id, p_actor,
    ARRAY[ledger.open_account('psp_clearing', 'platform', p.currency),
          ledger.open_account('seller_available', 'seller:' || p.seller_id, p.currency)], ARRAY[p_amount, -p_amount]);
  RETURN true;
END $$;

-- Kept-back money whose time is over becomes payable; at most p_limit reserves. What refunds took of it is gone.
CREATE FUNCTION payouts.free_reserve(p_days int, p_limit int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payouts, pg_temp AS $$
DECLARE
  s record;
  source bigint;
  x bigint;
  n int := 0;
BEGIN
  FOR s IN
    SELECT d.seller_id, d.currency, array_agg(d.id ORDER BY d.held_at, d.id) AS ids, sum(d.amount)::bigint AS amount
    FROM (SELECT * FROM reserve r WHERE freed_at IS NULL AND held_at <= now() - make_interval(days => p_days)
            AND NOT EXISTS (SELECT 1 FROM ledger.account a WHERE a.frozen AND a.currency = r.currency
              AND a.owner = 'seller:' || r.seller_id AND a.kind IN ('seller_reserve', 'seller_available'))
          ORDER BY held_at LIMIT p_limit FOR UPDATE SKIP LOCKED) d
    GROUP BY d.seller_id, d.currency ORDER BY d.seller_id, d.currency
  LOOP
    source := ledger.open_account('seller_reserve', 'seller:' || s.seller_id, s.currency);
    SELECT least(s.amount, b.amount) INTO x FROM ledger.balance b WHERE b.account_id = source FOR UPDATE;
    UPDATE reserve SET freed_at = now() WHERE id = ANY (s.ids);
    n := n + cardinality(s.ids);
    CONTINUE WHEN x = 0;
    PERFORM audit.record('seller.reserve_freed', 'seller:' || s.seller_id, 'system',
      jsonb_build_object('amount', x, 'currency', s.currency));
    PERFORM ledger.post('reserve_free', 'reserve:' || s.seller_id || ':' || s.ids[1], 'seller:' || s.seller_id, 'system',
      ARRAY[source, ledger.open_account('seller_available', 'seller:' || s.seller_id, s.currency)], ARRAY[x, -x]);
  END LOOP;
  RETURN n;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA payouts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION payouts.tier, payouts.reserve_bps, payouts.stopped, payouts.balance_of, payouts.gates,
  payouts.intend, payouts.begin_run, payouts.run_step, payouts.give_back, payouts.note_reversal,
  payouts.free_reserve TO fondaco_app;
