-- statements: papers about money that never change: invoices, credit notes, statements.
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
