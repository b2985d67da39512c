-- reconciliation: every movement of our balance at the provider against our journals, both ways, to the cent.
CREATE SCHEMA reconciliation;
GRANT USAGE ON SCHEMA reconciliation TO fondaco_app;

CREATE TABLE reconciliation.run (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  asked_by   text NOT NULL,                            -- 'clock' or 'user:<uuid>'
  state      text NOT NULL,
  since      timestamptz NOT NULL,                     -- movements made from then on ...
  until      timestamptz NOT NULL,                     -- ... and before then
  place      text NOT NULL DEFAULT '',                 -- the last movement read: newest first, from here on
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  beat_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at   timestamptz,
  doing      text NOT NULL DEFAULT '',
  seen       bigint NOT NULL DEFAULT 0,
  matched    bigint NOT NULL DEFAULT 0,
  breaks     bigint NOT NULL DEFAULT 0,                -- open ones at its end
  report     text,                                     -- canonical JSON
  signature  bytea,                                    -- Ed25519 over the report
  key_id     text,
  CHECK (since < until),
  CHECK ((state = 'DONE') = (report IS NOT NULL AND signature IS NOT NULL AND key_id IS NOT NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON reconciliation.run
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('reconciliation_run', 'state');
CREATE UNIQUE INDEX run_one ON reconciliation.run ((true)) WHERE state = 'RUNNING';
CREATE INDEX run_newest ON reconciliation.run (id DESC) WHERE state = 'DONE';

-- A balance transaction of the provider, as it was told; and the journals that say the same.
CREATE TABLE reconciliation.movement (
  id             text PRIMARY KEY,
  type           text NOT NULL,
  category       text NOT NULL,
  amount         bigint NOT NULL,                      -- before the fee; below zero when money left
  fee            bigint NOT NULL,
  net            bigint NOT NULL,
  currency       char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  source_id      text,
  intent_id      text,                                 -- of a charge nothing here knows: what it paid
  made_at        timestamptz NOT NULL,
  seen_in        bigint NOT NULL REFERENCES reconciliation.run,
  journal_id     bigint UNIQUE REFERENCES ledger.journal,
  fee_journal_id bigint UNIQUE REFERENCES ledger.journal,
  CHECK (net = amount - fee)
);
CREATE INDEX movement_unmatched ON reconciliation.movement (id)
  WHERE amount <> 0 AND journal_id IS NULL OR fee <> 0 AND fee_journal_id IS NULL;
CREATE INDEX movement_made ON reconciliation.movement USING brin (made_at);

-- What was told never changes; only what is known of it grows.
CREATE FUNCTION reconciliation.check_movement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.type, NEW.category, NEW.amount, NEW.fee, NEW.net, NEW.currency, NEW.made_at, NEW.seen_in)
     <> (OLD.id, OLD.type, OLD.category, OLD.amount, OLD.fee, OLD.net, OLD.currency, OLD.made_at, OLD.seen_in)
     OR NEW.source_id IS DISTINCT FROM OLD.source_id
     OR OLD.intent_id IS NOT NULL AND NEW.intent_id IS DISTINCT FROM OLD.intent_id
     OR OLD.journal_id IS NOT NULL AND NEW.journal_id IS DISTINCT FROM OLD.journal_id
     OR OLD.fee_journal_id IS NOT NULL AND NEW.fee_journal_id IS DISTINCT FROM OLD.fee_journal_id THEN
    RAISE EXCEPTION 'what a movement is never changes'
      USING ERRCODE = '23514', CONSTRAINT = 'movement_stays';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER stays BEFORE UPDATE ON reconciliation.movement
  FOR EACH ROW EXECUTE FUNCTION reconciliation.check_movement();
CREATE TRIGGER never_gone BEFORE DELETE OR TRUNCATE ON reconciliation.movement
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE reconciliation.movement ENABLE ALWAYS TRIGGER stays;
ALTER TABLE reconciliation.movement ENABLE ALWAYS TRIGGER never_gone;

-- The sum of all movements seen: with none missing it is the provider's balance.
CREATE TABLE reconciliation.total (
  currency char(3) PRIMARY KEY,
  net      bigint NOT NULL,
  n        bigint NOT NULL
) WITH (fillfactor = 50);

-- A difference nobody has explained, or somebody has. One row per place, for ever.
CREATE TABLE reconciliation.break (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  class      text NOT NULL CHECK (class IN ('missing_here', 'other_amount', 'missing_there', 'balance')),
  place      text NOT NULL UNIQUE,                     -- 'movement:<id>', 'journal:<id>', 'balance:EUR'
  movement_id text REFERENCES reconciliation.movement,
  journal_id bigint REFERENCES ledger.journal,
  currency   char(3) NOT NULL,
  amount     bigint NOT NULL,                          -- theirs less ours, minor units
  words      text NOT NULL,
  state      text NOT NULL,
  owner_id   uuid REFERENCES identity.users,           -- who looks into it
  reason     text,                                     -- why it is all right, as somebody said
  decided_by uuid REFERENCES identity.users,
  opened_at  timestamptz NOT NULL DEFAULT now(),
  last_run   bigint NOT NULL REFERENCES reconciliation.run,
  ended_at   timestamptz,
  version    int NOT NULL DEFAULT 1,
  CHECK ((state = 'EXPLAINED') <= (reason IS NOT NULL AND decided_by IS NOT NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON reconciliation.break
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('break', 'state');
CREATE INDEX break_open ON reconciliation.break (opened_at, id) WHERE state = 'OPEN';
CREATE INDEX break_newest ON reconciliation.break (id DESC);

GRANT SELECT, INSERT, UPDATE ON reconciliation.run, reconciliation.movement, reconciliation.total,
  reconciliation.break TO fondaco_app;
SELECT core.wall('reconciliation.run', '', '');
SELECT core.wall('reconciliation.movement', '', '');
SELECT core.wall('reconciliation.total', '', '');
SELECT core.wall('reconciliation.break', '', '');

-- Journals by time: what a window of movements is compared with.
CREATE INDEX journal_posted ON ledger.journal USING brin (posted_at) WITH (pages_per_range = 32);

-- The keys a journal may have that books this movement.
CREATE FUNCTION reconciliation.keys(p_type text, p_id text, p_source text, p_intent text, p_amount bigint)
RETURNS text[] LANGUAGE sql STABLE SET search_path = reconciliation, pg_temp AS $$
  SELECT array_append(CASE
    WHEN p_type IN ('charge', 'payment') THEN (
      SELECT ARRAY['topup:' || i.intent, 'suspense:' || i.intent, 'dc:' || p_source]
      FROM (SELECT coalesce((SELECT f.intent_id FROM wallets.funding f WHERE f.charge_id = p_source),
                            p_intent)) i(intent))
    WHEN p_type IN ('refund', 'payment_refund') THEN ARRAY['rfok:' || p_source]
    WHEN p_type IN ('refund_failure', 'payment_failure_refund') THEN ARRAY['rflate:' || p_source]
    WHEN p_type = 'transfer' THEN ARRAY['tr:' || p_source]
    WHEN p_type IN ('transfer_refund', 'transfer_cancel', 'transfer_failure') THEN ARRAY['trr:' || p_source]
    WHEN p_type = 'adjustment' AND p_amount < 0 THEN ARRAY['dp:' || p_source]
    WHEN p_type = 'adjustment' THEN ARRAY['dpwon:' || p_source, 'dprev:' || p_source]
    WHEN p_type = 'payout' THEN ARRAY['sweep:' || p_source]
    WHEN p_type IN ('payout_failure', 'payout_cancel') THEN ARRAY['sweepback:' || p_source]
    WHEN p_type = 'stripe_fee' THEN ARRAY['fee:' || p_id]
    ELSE '{}'
  END, 'movement:' || p_id)
$$;

-- Finds the journals of these movements where they say the same to the cent; answers how many are whole.
CREATE FUNCTION reconciliation.match(p_ids text[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = reconciliation, pg_temp AS $$
BEGIN
  WITH booked AS MATERIALIZED (
    SELECT m.id, j.id AS journal_id FROM movement m
    CROSS JOIN LATERAL unnest(keys(m.type, m.id, m.source_id, m.intent_id, m.amount)) k(key)
    JOIN ledger.journal j ON j.idem = k.key
    CROSS JOIN LATERAL (
      SELECT sum(e.amount) AS amount FROM ledger.entry e JOIN ledger.account a ON a.id = e.account_id
      WHERE e.journal_id = j.id AND a.kind = 'psp_clearing' AND a.currency = m.currency) b
    WHERE m.id = ANY (p_ids) AND m.journal_id IS NULL AND m.amount <> 0 AND b.amount = m.amount)
  UPDATE movement m SET journal_id = b.journal_id FROM booked b WHERE m.id = b.id
    AND NOT EXISTS (SELECT 1 FROM movement o WHERE o.journal_id = b.journal_id)
    AND NOT EXISTS (SELECT 1 FROM movement o WHERE o.fee_journal_id = b.journal_id);
  WITH booked AS MATERIALIZED (
    SELECT m.id, j.id AS journal_id FROM movement m
    JOIN ledger.journal j ON j.idem = 'fee:' || m.id
    CROSS JOIN LATERAL (
      SELECT sum(e.amount) AS amount FROM ledger.entry e JOIN ledger.account a ON a.id = e.account_id
      WHERE e.journal_id = j.id AND a.kind = 'psp_clearing' AND a.currency = m.currency) b
    WHERE m.id = ANY (p_ids) AND m.fee_journal_id IS NULL AND m.fee <> 0 AND b.amount = -m.fee)
  UPDATE movement m SET fee_journal_id = b.journal_id FROM booked b WHERE m.id = b.id
    AND NOT EXISTS (SELECT 1 FROM movement o WHERE o.journal_id = b.journal_id)
    AND NOT EXISTS (SELECT 1 FROM movement o WHERE o.fee_journal_id = b.journal_id);
  RETURN (SELECT count(*) FROM movement WHERE id = ANY (p_ids) AND (amount = 0 OR journal_id IS NOT NULL)
          AND (fee = 0 OR fee_journal_id IS NOT NULL));
END $$;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA reconciliation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reconciliation.keys, reconciliation.match TO fondaco_app;

-- No payout leaves while a difference is unexplained.
CREATE OR REPLACE FUNCTION payouts.stopped() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = reconciliation, pg_temp AS $$
  SELECT 'The books and the payment provider differ: ' || count(*) || ' unexplained.'
  FROM break WHERE state = 'OPEN' HAVING count(*) > 0
$$;
