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
  xid         xid8 NOT NULL DEFAULT pg_current_xact_id()
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
CREATE INDEX entry_journal ON ledger.entry (journal_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entry
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.journal
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger.journal ENABLE ALWAYS TRIGGER append_only;

CREATE FUNCTION ledger.check_journal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM ledger.entry WHERE journal_id = NEW.id) < 2
     OR EXISTS (SELECT 1 FROM ledger.entry WHERE journal_id = NEW.id
                GROUP BY currency HAVING sum(amount) <> 0) THEN
    RAISE EXCEPTION 'journal % does not balance', NEW.id
      USING ERRCODE = '23514', CONSTRAINT = 'journal_balanced';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger.journal DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger.check_journal();

-- An entry may only join a journal of its own transaction: nobody adds lines to a closed one.
CREATE FUNCTION ledger.check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM ledger.journal
                 WHERE id = NEW.journal_id AND xid = pg_current_xact_id()) THEN
    RAISE EXCEPTION 'journal % is closed', NEW.journal_id
      USING ERRCODE = '23514', CONSTRAINT = 'journal_closed';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER same_transaction BEFORE INSERT ON ledger.entry
  FOR EACH ROW EXECUTE FUNCTION ledger.check_entry();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER same_transaction;

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

-- The one verb. One call is one journal; balance rows are locked in account order. The same key with
-- the same content moves nothing and answers the first journal; with other content it is refused.
CREATE FUNCTION ledger.post(p_kind text, p_idem text, p_ref text, p_actor text,
                            p_accounts bigint[], p_amounts bigint[], p_reverses bigint DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  j bigint;
  leg record;
  b record;
  fp bytea;
  known bytea;
BEGIN
  IF cardinality(p_accounts) IS DISTINCT FROM cardinality(p_amounts)
     OR cardinality(p_accounts) NOT BETWEEN 2 AND 500 THEN
    RAISE EXCEPTION 'a journal has 2 to 500 legs' USING ERRCODE = '22023';
  END IF;
  fp := sha256(convert_to(jsonb_build_array(p_kind, p_ref, p_accounts, p_amounts, p_reverses)::text, 'UTF8'));
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
  FOR leg IN
    SELECT t.acc, (j % (SELECT a.slots FROM account a WHERE a.id = t.acc))::smallint AS slot,
           sum(t.amt)::bigint AS amt
    FROM unnest(p_accounts, p_amounts) t(acc, amt) GROUP BY t.acc ORDER BY t.acc
  LOOP
    CONTINUE WHEN leg.amt = 0;
    IF NOT EXISTS (
      SELECT 1 FROM posting_rule p JOIN account a
        ON a.id = leg.acc AND a.kind = p.account_kind AND NOT a.frozen
      WHERE p.journal_kind = p_kind AND p.sign = sign(leg.amt)) THEN
      RAISE EXCEPTION 'a % journal may not move account % that way', p_kind, leg.acc
        USING ERRCODE = '42501';
    END IF;
    UPDATE balance SET
      amount = amount + leg.amt * side,
      version = version + 1,
      chain = sha256(chain || int8send(leg.acc) || int2send(leg.slot) || int8send(version + 1)
                     || int8send(j) || int8send(leg.amt) || int8send(amount + leg.amt * side) || fp)
      WHERE account_id = leg.acc AND slot = leg.slot
      RETURNING amount, version, currency, chain INTO STRICT b;
    INSERT INTO entry (account_id, slot, version, journal_id, currency, amount, balance_after, hash)
      VALUES (leg.acc, leg.slot, b.version, j, b.currency, leg.amt, b.amount, b.chain);
  END LOOP;
  RETURN j;
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
