-- ledger: one append-only double-entry book. Debit > 0, credit < 0, integer minor units.
-- The application may call post() and open_account() and read; PostgreSQL refuses the rest.
CREATE SCHEMA ledger;
GRANT USAGE ON SCHEMA ledger TO fondaco_app;

CREATE TABLE ledger.account_kind (
  kind    text PRIMARY KEY,
  side    smallint NOT NULL CHECK (side IN (1, -1)),        -- +1 debit-normal, -1 credit-normal
  floor   bigint,                                           -- least allowed balance; NULL: none
  slots   smallint NOT NULL DEFAULT 1 CHECK (slots BETWEEN 1 AND 64),
  meaning text NOT NULL,
  CHECK (floor IS NULL OR slots = 1)                        -- a floor needs one row to be checked on
);

-- Which kind of journal may move which kind of account, and on which side.
CREATE TABLE ledger.posting_rule (
  journal_kind text NOT NULL,
  account_kind text NOT NULL REFERENCES ledger.account_kind,
  sign         smallint NOT NULL CHECK (sign IN (1, -1)),
  PRIMARY KEY (journal_kind, account_kind, sign)
);

CREATE TABLE ledger.account (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind     text NOT NULL REFERENCES ledger.account_kind,
  owner    text NOT NULL,                                   -- 'platform', 'user:<id>', 'line:<id>', ...
  currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  slots    smallint NOT NULL,
  frozen   boolean NOT NULL DEFAULT false,
  UNIQUE (kind, owner, currency),
  UNIQUE (id, currency)
);

-- The running balance, one row per slot; hot accounts without a floor have several.
CREATE TABLE ledger.balance (
  account_id bigint NOT NULL,
  slot       smallint NOT NULL,
  currency   char(3) NOT NULL,
  side       smallint NOT NULL,
  floor      bigint,
  amount     bigint NOT NULL DEFAULT 0,                     -- on the account's normal side
  version    bigint NOT NULL DEFAULT 0,                     -- entries so far, without a gap
  chain      bytea NOT NULL DEFAULT '\x',                   -- hash over all entries so far
  PRIMARY KEY (account_id, slot),
  FOREIGN KEY (account_id, currency) REFERENCES ledger.account (id, currency),
  CONSTRAINT balance_floor CHECK (floor IS NULL OR amount >= floor)
) WITH (fillfactor = 50);

CREATE TABLE ledger.journal (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind        text NOT NULL,
  idem        text NOT NULL UNIQUE,                         -- one effect per source, for ever
  fingerprint bytea NOT NULL,
  ref         text NOT NULL,
  actor       text NOT NULL,
  reverses    bigint UNIQUE REFERENCES ledger.journal,
  posted_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
  CHECK ((kind = 'reversal') = (reverses IS NOT NULL))
);
CREATE INDEX journal_ref ON ledger.journal (ref, id);
CREATE INDEX journal_kind ON ledger.journal (kind, id);

CREATE TABLE ledger.entry (
  account_id    bigint NOT NULL,
  slot          smallint NOT NULL,
  version       bigint NOT NULL,
  journal_id    bigint NOT NULL REFERENCES ledger.journal,
  currency      char(3) NOT NULL,
  amount        bigint NOT NULL CHECK (amount <> 0),        -- debit > 0, credit < 0
  balance_after bigint NOT NULL,
  hash          bytea NOT NULL,
  PRIMARY KEY (account_id, slot, version),
  FOREIGN KEY (account_id, currency) REFERENCES ledger.account (id, currency)
);
CREATE INDEX entry_journal ON ledger.entry (journal_id, account_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entry
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.journal
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger.journal ENABLE ALWAYS TRIGGER append_only;

CREATE FUNCTION ledger.check_journal() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger.journal DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger.check_journal();

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

-- A balance row is born empty and moves by one entry at a time.
CREATE FUNCTION ledger.check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.amount <> 0 OR NEW.version <> 0 OR NEW.chain <> '\x' OR NOT EXISTS (
      SELECT 1 FROM ledger.account a JOIN ledger.account_kind k ON k.kind = a.kind
      WHERE a.id = NEW.account_id AND k.side = NEW.side AND k.floor IS NOT DISTINCT FROM NEW.floor
        AND NEW.slot >= 0 AND NEW.slot < a.slots) THEN
      RAISE EXCEPTION 'a balance begins at nothing, as its kind says'
        USING ERRCODE = '23514', CONSTRAINT = 'balance_birth';
    END IF;
  ELSIF (NEW.account_id, NEW.slot, NEW.currency, NEW.side) <> (OLD.account_id, OLD.slot, OLD.currency, OLD.side)
     OR NEW.floor IS DISTINCT FROM OLD.floor OR NEW.version <> OLD.version + 1 THEN
    RAISE EXCEPTION 'a balance moves by one entry at a time'
      USING ERRCODE = '23514', CONSTRAINT = 'balance_by_entry';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER by_entry BEFORE INSERT OR UPDATE ON ledger.balance
  FOR EACH ROW EXECUTE FUNCTION ledger.check_balance();

-- At commit each move of a balance has its entry: same amount, same place, chained to what was there.
CREATE FUNCTION ledger.check_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM ledger.entry e JOIN ledger.journal j ON j.id = e.journal_id
    WHERE e.account_id = NEW.account_id AND e.slot = NEW.slot AND e.version = NEW.version
      AND e.amount * NEW.side = NEW.amount - OLD.amount AND j.xid = pg_current_xact_id()
      AND NEW.chain = sha256(OLD.chain || int8send(NEW.account_id) || int2send(NEW.slot)
        || int8send(NEW.version) || int8send(j.id) || int8send(e.amount) || int8send(NEW.amount)
        || j.fingerprint)) THEN
    RAISE EXCEPTION 'balance of account % moved without its entry', NEW.account_id
      USING ERRCODE = '23514', CONSTRAINT = 'balance_by_entry';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER has_entry AFTER UPDATE ON ledger.balance DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger.check_move();
CREATE TRIGGER never_gone BEFORE DELETE OR TRUNCATE ON ledger.balance
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE ledger.balance ENABLE ALWAYS TRIGGER by_entry;
ALTER TABLE ledger.balance ENABLE ALWAYS TRIGGER has_entry;
ALTER TABLE ledger.balance ENABLE ALWAYS TRIGGER never_gone;
ALTER TABLE ledger.journal ENABLE ALWAYS TRIGGER balanced;

-- An account may be frozen and thawed; what it is never changes.
CREATE FUNCTION ledger.check_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.kind, NEW.owner, NEW.currency, NEW.slots)
     <> (OLD.id, OLD.kind, OLD.owner, OLD.currency, OLD.slots) THEN
    RAISE EXCEPTION 'what an account is never changes'
      USING ERRCODE = '23514', CONSTRAINT = 'account_stays';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER stays BEFORE UPDATE ON ledger.account
  FOR EACH ROW EXECUTE FUNCTION ledger.check_account();
CREATE TRIGGER never_gone BEFORE DELETE OR TRUNCATE ON ledger.account
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE ledger.account ENABLE ALWAYS TRIGGER stays;
ALTER TABLE ledger.account ENABLE ALWAYS TRIGGER never_gone;

CREATE FUNCTION ledger.open_account(p_kind text, p_owner text, p_currency text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  found_id bigint;
  k account_kind;
BEGIN
  SELECT id INTO found_id FROM account
    WHERE kind = p_kind AND owner = p_owner AND currency = p_currency;
  IF FOUND THEN RETURN found_id; END IF;
  SELECT * INTO STRICT k FROM account_kind WHERE kind = p_kind;
  INSERT INTO account (kind, owner, currency, slots) VALUES (p_kind, p_owner, p_currency, k.slots)
    ON CONFLICT (kind, owner, currency) DO NOTHING RETURNING id INTO found_id;
  IF found_id IS NULL THEN
    SELECT id INTO STRICT found_id FROM account
      WHERE kind = p_kind AND owner = p_owner AND currency = p_currency;
    RETURN found_id;
  END IF;
  INSERT INTO balance (account_id, slot, currency, side, floor)
    SELECT found_id, s, p_currency, k.side, k.floor FROM generate_series(0, k.slots - 1) s;
  RETURN found_id;
END $$;

-- The one verb. One call is one journal; legs on the same account are added up, balance rows are locked in
-- account order. The same key with the same content moves nothing and answers the first journal; with
-- other content it is refused. The fingerprint is over the legs as entered, so it can be recomputed.
CREATE FUNCTION ledger.post(p_kind text, p_idem text, p_ref text, p_actor text,
                            p_accounts bigint[], p_amounts bigint[], p_reverses bigint DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  j bigint;
  accs bigint[];
  amts bigint[];
  leg_slot smallint;
  b record;
  fp bytea;
  known bytea;
BEGIN
  IF cardinality(p_accounts) IS DISTINCT FROM cardinality(p_amounts)
     OR cardinality(p_accounts) NOT BETWEEN 2 AND 500 THEN
    RAISE EXCEPTION 'a journal has 2 to 500 legs' USING ERRCODE = '22023';
  END IF;
  SELECT array_agg(acc ORDER BY acc), array_agg(amt ORDER BY acc) INTO accs, amts FROM (
    SELECT acc, sum(amt)::bigint AS amt FROM unnest(p_accounts, p_amounts) t(acc, amt)
    GROUP BY acc HAVING sum(amt) <> 0) legs;
  fp := sha256(convert_to(jsonb_build_array(p_kind, p_ref, accs, amts, p_reverses)::text, 'UTF8'));
  INSERT INTO journal (kind, idem, fingerprint, ref, actor, reverses)
    VALUES (p_kind, p_idem, fp, p_ref, p_actor, p_reverses)
    ON CONFLICT (idem) DO NOTHING RETURNING id INTO j;
  IF j IS NULL THEN
    SELECT id, fingerprint INTO STRICT j, known FROM journal WHERE idem = p_idem;
    IF known IS DISTINCT FROM fp THEN
      RAISE EXCEPTION 'ledger key % was used for something else', p_idem
        USING ERRCODE = '23505', CONSTRAINT = 'journal_other_content';
    END IF;
    RETURN j;
  END IF;
  FOR i IN 1 .. coalesce(cardinality(accs), 0) LOOP
    SELECT (j % a.slots)::smallint INTO leg_slot FROM account a WHERE a.id = accs[i];
    IF leg_slot IS NULL THEN
      RAISE EXCEPTION 'there is no account %', accs[i] USING ERRCODE = '22023';
    END IF;
    UPDATE balance SET
      amount = amount + amts[i] * side,
      version = version + 1,
      chain = sha256(chain || int8send(accs[i]) || int2send(leg_slot) || int8send(version + 1)
                     || int8send(j) || int8send(amts[i]) || int8send(amount + amts[i] * side) || fp)
      WHERE account_id = accs[i] AND slot = leg_slot
      RETURNING amount, version, currency, chain INTO STRICT b;
    INSERT INTO entry (account_id, slot, version, journal_id, currency, amount, balance_after, hash)
      VALUES (accs[i], leg_slot, b.version, j, b.currency, amts[i], b.amount, b.chain);
  END LOOP;
  RETURN j;
END $$;

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

CREATE VIEW ledger.account_balance AS
  SELECT a.id AS account_id, a.kind, a.owner, a.currency,
         sum(b.amount)::bigint AS amount, sum(b.version)::bigint AS entries
  FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
  GROUP BY a.id;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO fondaco_app;
GRANT EXECUTE ON FUNCTION ledger.post, ledger.open_account TO fondaco_app;

INSERT INTO ledger.account_kind (kind, side, floor, slots, meaning) VALUES
  ('psp_clearing',     1, NULL, 16, 'What the payment provider owes us: its balance transactions to the cent'),
  ('wallet',          -1, 0, 1, 'What a user can spend'),
  ('escrow',          -1, 0, 1, 'Money of one order line, held until release'),
  ('seller_pending',  -1, 0, 1, 'Released to a seller, maturing'),
  ('seller_available',-1, 0, 1, 'Payable to a seller'),
  ('refund_in_flight',-1, 0, 1, 'A refund to the source, outcome open'),
  ('suspense',        -1, 0, 1, 'Money that matches nothing; somebody must look'),
  ('commission',      -1, NULL, 16, 'The marketplace''s share'),
  ('tax_payable',     -1, NULL, 4, 'Tax collected, to be remitted'),
  ('psp_fees',         1, NULL, 4, 'What the payment provider charges');

INSERT INTO ledger.posting_rule (journal_kind, account_kind, sign) VALUES
  ('top_up', 'psp_clearing', 1), ('top_up', 'wallet', -1),
  ('provider_fee', 'psp_fees', 1), ('provider_fee', 'psp_clearing', -1),
  ('suspense', 'psp_clearing', 1), ('suspense', 'suspense', -1),
  ('purchase', 'wallet', 1), ('purchase', 'escrow', -1),
  ('release', 'escrow', 1), ('release', 'seller_pending', -1), ('release', 'commission', -1),
  ('release', 'tax_payable', -1),
  ('mature', 'seller_pending', 1), ('mature', 'seller_available', -1),
  ('refund_line', 'escrow', 1), ('refund_line', 'wallet', -1),
  ('refund_intent', 'wallet', 1), ('refund_intent', 'refund_in_flight', -1),
  ('refund_done', 'refund_in_flight', 1), ('refund_done', 'psp_clearing', -1),
  ('refund_failed', 'refund_in_flight', 1), ('refund_failed', 'wallet', -1),
  ('refund_late_failure', 'psp_clearing', 1), ('refund_late_failure', 'wallet', -1),
  ('reversal', 'psp_clearing', 1), ('reversal', 'psp_clearing', -1), ('reversal', 'wallet', 1),
  ('reversal', 'wallet', -1), ('reversal', 'suspense', 1), ('reversal', 'suspense', -1),
  ('reversal', 'psp_fees', 1), ('reversal', 'psp_fees', -1);

-- Every other way money goes: credit, refunds after release, chargebacks, payouts, exchange.
INSERT INTO ledger.account_kind (kind, side, floor, slots, meaning) VALUES
  ('wallet_hold', -1, 0, 1, 'Part of a wallet that waits for a chargeback''s outcome'),
  ('promo_credit', -1, 0, 1, 'Credit given to a user; it buys goods and is never paid out'),
  ('credit_out', 1, 0, 1, 'What a buyer owes for goods delivered on credit'),
  ('seller_reserve', -1, 0, 1, 'Kept back from a seller for a time, by risk tier'),
  ('seller_receivable', 1, 0, 1, 'What a seller owes after refunds of money already paid out; netted first'),
  ('buyer_receivable', 1, 0, 1, 'What a buyer owes after a lost chargeback'),
  ('payout_in_flight', -1, 0, 1, 'A payout whose outcome is open'),
  ('chargeback_held', 1, 0, 1, 'What the card network took while a chargeback is open'),
  ('dest_clearing', 1, NULL, 1, 'Money of a seller''s own account passing through; ends at 0'),
  ('other_income', -1, NULL, 16, 'Income that is not commission'),
  ('chargeback_fees', 1, NULL, 4, 'What the payment provider charges for chargebacks'),
  ('chargeback_loss', 1, NULL, 4, 'Lost chargebacks nobody repaid'),
  ('bad_debt', 1, NULL, 4, 'Credit and sellers'' debts written off'),
  ('promo_expense', 1, NULL, 4, 'Credit given away'),
  ('goodwill', 1, NULL, 4, 'Paid to buyers and sellers without owing it'),
  ('fx', 1, NULL, 1, 'Both legs of an exchange between two currencies'),
  ('bank', 1, NULL, 1, 'The marketplace''s own bank account');

INSERT INTO ledger.posting_rule (journal_kind, account_kind, sign) VALUES
  ('purchase', 'promo_credit', 1),
  ('refund_line', 'promo_credit', -1), ('refund_line', 'credit_out', -1), ('refund_line', 'bad_debt', -1),
  ('release', 'seller_receivable', -1),
  ('mature', 'seller_reserve', -1),
  ('promo_grant', 'promo_expense', 1), ('promo_grant', 'promo_credit', -1),
  ('goodwill', 'goodwill', 1), ('goodwill', 'wallet', -1), ('goodwill', 'seller_available', -1),
  ('adjustment', 'goodwill', 1), ('adjustment', 'goodwill', -1), ('adjustment', 'other_income', 1),
  ('adjustment', 'other_income', -1), ('adjustment', 'wallet', 1), ('adjustment', 'wallet', -1),
  ('adjustment', 'seller_available', 1), ('adjustment', 'seller_available', -1),
  ('adjustment', 'seller_receivable', 1), ('adjustment', 'seller_receivable', -1),
  ('forfeit', 'seller_available', 1), ('forfeit', 'seller_reserve', 1), ('forfeit', 'seller_pending', 1),
  ('forfeit', 'other_income', -1),
  ('suspense_resolved', 'suspense', 1), ('suspense_resolved', 'wallet', -1),
  ('suspense_resolved', 'psp_clearing', -1), ('suspense_resolved', 'other_income', -1),
  ('credit_sale', 'credit_out', 1), ('credit_sale', 'escrow', -1),
  ('credit_paid', 'wallet', 1), ('credit_paid', 'credit_out', -1),
  ('credit_loss', 'bad_debt', 1), ('credit_loss', 'credit_out', -1),
  ('reserve_free', 'seller_reserve', 1), ('reserve_free', 'seller_available', -1),
  ('refund_released', 'seller_pending', 1), ('refund_released', 'seller_available', 1),
  ('refund_released', 'seller_reserve', 1), ('refund_released', 'seller_receivable', 1),
  ('refund_released', 'commission', 1), ('refund_released', 'tax_payable', 1),
  ('refund_released', 'wallet', -1), ('refund_released', 'promo_credit', -1),
  ('refund_released', 'credit_out', -1), ('refund_released', 'bad_debt', -1),
  ('netting', 'seller_available', 1), ('netting', 'seller_receivable', -1),
  ('debt_written_off', 'bad_debt', 1), ('debt_written_off', 'seller_receivable', -1),
  ('chargeback_opened', 'chargeback_held', 1), ('chargeback_opened', 'psp_clearing', -1),
  ('chargeback_opened', 'wallet', 1), ('chargeback_opened', 'wallet_hold', -1),
  ('chargeback_hold', 'wallet', 1), ('chargeback_hold', 'wallet_hold', -1),
  ('chargeback_unhold', 'wallet_hold', 1), ('chargeback_unhold', 'wallet', -1),
  ('chargeback_fee', 'chargeback_fees', 1), ('chargeback_fee', 'psp_clearing', -1),
  ('chargeback_fee_back', 'psp_clearing', 1), ('chargeback_fee_back', 'chargeback_fees', -1),
  ('chargeback_won', 'psp_clearing', 1), ('chargeback_won', 'chargeback_held', -1),
  ('chargeback_won', 'wallet_hold', 1), ('chargeback_won', 'wallet', -1),
  ('chargeback_lost', 'wallet_hold', 1), ('chargeback_lost', 'buyer_receivable', 1),
  ('chargeback_lost', 'chargeback_held', -1), ('chargeback_lost', 'dest_clearing', 1),
  ('chargeback_lost', 'chargeback_loss', 1),
  ('chargeback_reversed', 'psp_clearing', 1), ('chargeback_reversed', 'buyer_receivable', -1),
  ('chargeback_reversed', 'chargeback_loss', -1), ('chargeback_reversed', 'wallet', -1),
  ('chargeback_reversed', 'dest_clearing', -1),
  ('chargeback_written_off', 'chargeback_loss', 1), ('chargeback_written_off', 'buyer_receivable', -1),
  ('chargeback_repaid', 'wallet', 1), ('chargeback_repaid', 'buyer_receivable', -1),
  ('liability', 'seller_pending', 1), ('liability', 'seller_available', 1),
  ('liability', 'seller_reserve', 1), ('liability', 'seller_receivable', 1),
  ('liability', 'buyer_receivable', -1),
  ('liability_back', 'buyer_receivable', 1), ('liability_back', 'psp_clearing', 1),
  ('liability_back', 'seller_available', -1), ('liability_back', 'seller_receivable', -1),
  ('payout_intent', 'seller_available', 1), ('payout_intent', 'payout_in_flight', -1),
  ('payout_sent', 'payout_in_flight', 1), ('payout_sent', 'psp_clearing', -1),
  ('payout_failed', 'payout_in_flight', 1), ('payout_failed', 'seller_available', -1),
  ('payout_cancelled', 'payout_in_flight', 1), ('payout_cancelled', 'seller_available', -1),
  ('payout_reversed', 'psp_clearing', 1), ('payout_reversed', 'seller_available', -1),
  ('payout_reversed', 'seller_receivable', -1),
  ('destination_charge', 'psp_clearing', 1), ('destination_charge', 'commission', -1),
  ('destination_charge', 'tax_payable', -1), ('destination_charge', 'dest_clearing', -1),
  ('destination_transfer', 'dest_clearing', 1), ('destination_transfer', 'psp_clearing', -1),
  ('destination_refund', 'commission', 1), ('destination_refund', 'tax_payable', 1),
  ('destination_refund', 'dest_clearing', 1), ('destination_refund', 'psp_clearing', -1),
  ('destination_refund', 'wallet', -1),
  ('destination_reversed', 'psp_clearing', 1), ('destination_reversed', 'dest_clearing', -1),
  ('destination_debt', 'seller_receivable', 1), ('destination_debt', 'dest_clearing', -1),
  ('destination_returned', 'dest_clearing', 1), ('destination_returned', 'seller_receivable', -1),
  ('destination_returned', 'seller_available', -1),
  ('exchange', 'wallet', 1), ('exchange', 'wallet', -1), ('exchange', 'fx', 1), ('exchange', 'fx', -1),
  ('exchange', 'psp_fees', 1), ('exchange', 'psp_fees', -1), ('exchange', 'psp_clearing', 1),
  ('exchange', 'psp_clearing', -1),
  ('tax_remitted', 'tax_payable', 1), ('tax_remitted', 'bank', -1), ('tax_remitted', 'psp_clearing', -1),
  ('sweep', 'bank', 1), ('sweep', 'bank', -1), ('sweep', 'psp_clearing', 1), ('sweep', 'psp_clearing', -1);
-- A correction may mirror any journal.
INSERT INTO ledger.posting_rule (journal_kind, account_kind, sign)
  SELECT 'reversal', kind, sign FROM ledger.account_kind, (VALUES (1), (-1)) s(sign) ON CONFLICT DO NOTHING;
