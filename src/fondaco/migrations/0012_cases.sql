-- Cases and evidence.
CREATE SCHEMA cases;
GRANT USAGE ON SCHEMA cases TO fondaco_app;

-- What was so at one moment: canonical JSON whose hash the database itself checks. No code is in it.
CREATE TABLE cases.snapshot (
  id       uuid PRIMARY KEY,
  why      text NOT NULL,                              -- 'case', 'chargeback'
  taken_at timestamptz NOT NULL DEFAULT now(),
  body     bytea NOT NULL,
  hash     bytea NOT NULL CHECK (hash = sha256(body))
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cases.snapshot
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE cases.snapshot ENABLE ALWAYS TRIGGER append_only;

CREATE TABLE cases.case (
  id          uuid PRIMARY KEY,
  number      text NOT NULL UNIQUE,
  order_id    uuid NOT NULL REFERENCES orders.orders,
  buyer_id    uuid NOT NULL REFERENCES identity.users,
  seller_id   uuid NOT NULL REFERENCES sellers.seller,
  reason      text NOT NULL CHECK (reason IN ('NOT_WORKING', 'ALREADY_USED', 'WRONG_ITEM', 'WRONG_REGION',
                'NOT_AS_DESCRIBED', 'NOT_RECEIVED', 'OTHER')),
  wish        text NOT NULL CHECK (wish IN ('REFUND', 'PART', 'REPLACEMENT')),
  currency    char(3) NOT NULL,
  snapshot_id uuid NOT NULL REFERENCES cases.snapshot,
  opened_at   timestamptz NOT NULL DEFAULT now(),
  state       text NOT NULL,
  outcome     text CHECK (outcome IN ('SELLER', 'BUYER', 'SPLIT', 'WITHDRAWN')),
  asked_party text CHECK (asked_party IN ('buyer', 'seller')),
  deadline    timestamptz,                             -- what happens then depends on the state
  version     int NOT NULL DEFAULT 1,                  -- of the newest event
  taken_by    uuid REFERENCES identity.users,
  decided_by  uuid REFERENCES identity.users,          -- null: by the clock
  decided_at  timestamptz,
  appeal_by   text CHECK (appeal_by IN ('buyer', 'seller')),
  closed_at   timestamptz,
  CHECK ((state IN ('OPEN', 'UNDER_REVIEW', 'NEEDS_RESPONSE')) = (outcome IS NULL)),
  CHECK (state <> 'WON' OR outcome = 'SELLER'),
  CHECK (state <> 'LOST' OR outcome IN ('BUYER', 'SPLIT')),
  CHECK (state NOT IN ('WON', 'LOST') OR decided_at IS NOT NULL),
  CHECK ((state = 'NEEDS_RESPONSE') = (asked_party IS NOT NULL)),
  CHECK ((state = 'CLOSED') = (deadline IS NULL)),
  CHECK ((state = 'CLOSED') = (closed_at IS NOT NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON cases.case
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('case', 'state');
CREATE INDEX case_buyer ON cases.case (buyer_id, opened_at DESC, id DESC);
CREATE INDEX case_seller ON cases.case (seller_id, opened_at DESC, id DESC);
CREATE INDEX case_order ON cases.case (order_id);
CREATE INDEX case_state ON cases.case (state, opened_at DESC, id DESC);
CREATE INDEX case_clock ON cases.case (deadline, id) WHERE deadline IS NOT NULL;
-- Lists by deadline; what is closed has none and comes last.
CREATE INDEX case_due ON cases.case ((coalesce(deadline, 'infinity'::timestamptz)), id);
CREATE INDEX case_seller_due ON cases.case (seller_id, (coalesce(deadline, 'infinity'::timestamptz)), id);
CREATE INDEX case_decided ON cases.case (decided_at) WHERE decided_at IS NOT NULL;
CREATE INDEX case_settled ON cases.case (closed_at) WHERE decided_at IS NULL AND closed_at IS NOT NULL;

-- The lines a case is about. One open case for a line at a time.
CREATE TABLE cases.case_line (
  case_id   uuid NOT NULL REFERENCES cases.case,
  line_id   uuid NOT NULL REFERENCES orders.order_line,
  buyer_id  uuid NOT NULL REFERENCES identity.users,
  seller_id uuid NOT NULL REFERENCES sellers.seller,
  open      boolean NOT NULL DEFAULT true,
  frozen    boolean NOT NULL,                          -- its money was in escrow when the case was opened
  at_stake  bigint NOT NULL CHECK (at_stake > 0),      -- not refunded yet when the case was opened
  refund    bigint CHECK (refund BETWEEN 0 AND at_stake),  -- what the case gave back; null: nothing decided
  refund_id uuid REFERENCES refunds.refund,
  PRIMARY KEY (case_id, line_id),
  CHECK ((refund > 0) = (refund_id IS NOT NULL))
);
CREATE UNIQUE INDEX case_line_open ON cases.case_line (line_id) WHERE open;
CREATE INDEX case_line_line ON cases.case_line (line_id);
-- A case moves the money of a line once.
CREATE UNIQUE INDEX refund_of_case ON refunds.refund (case_id, line_id) WHERE case_id IS NOT NULL;
ALTER TABLE refunds.refund ADD FOREIGN KEY (case_id) REFERENCES cases.case;

-- Every step of every case, for ever.
CREATE TABLE cases.event (
  case_id  uuid NOT NULL REFERENCES cases.case,
  version  int NOT NULL CHECK (version > 0),
  at       timestamptz NOT NULL DEFAULT now(),
  kind     text NOT NULL,
  party    text NOT NULL CHECK (party IN ('buyer', 'seller', 'staff', 'system')),
  actor    text NOT NULL,
  source   text NOT NULL,
  target   text NOT NULL,
  deadline timestamptz,
  data     jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (case_id, version)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cases.event
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE cases.event ENABLE ALWAYS TRIGGER append_only;

-- A case moves one version at a time, and no version stands without its event in the same transaction.
CREATE FUNCTION cases.one_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.version <> OLD.version + 1 THEN
    RAISE EXCEPTION 'case % may not go from version % to %', NEW.number, OLD.version, NEW.version
      USING ERRCODE = '23514', CONSTRAINT = 'case_version';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER one_version BEFORE UPDATE ON cases.case FOR EACH ROW EXECUTE FUNCTION cases.one_version();

CREATE FUNCTION cases.with_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM cases.event e WHERE e.case_id = NEW.id AND e.version = NEW.version AND e.target = NEW.state
    AND e.source = CASE TG_OP WHEN 'INSERT' THEN '' ELSE OLD.state END;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'case % has no event for version %', NEW.number, NEW.version
      USING ERRCODE = '23514', CONSTRAINT = 'case_event';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER with_event AFTER INSERT OR UPDATE ON cases.case
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cases.with_event();

-- Its lines are open as long as it is undecided.
CREATE FUNCTION cases.close_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE cases.case_line SET open = false WHERE case_id = NEW.id AND open;
  RETURN NULL;
END $$;
CREATE TRIGGER close_lines AFTER UPDATE OF state ON cases.case FOR EACH ROW
  WHEN (NEW.state IN ('WON', 'LOST', 'CLOSED')) EXECUTE FUNCTION cases.close_lines();
REVOKE ALL ON FUNCTION cases.one_version, cases.with_event, cases.close_lines FROM PUBLIC;

-- What was said. `internal`: among the staff only.
CREATE TABLE cases.message (
  id       uuid PRIMARY KEY,
  case_id  uuid NOT NULL REFERENCES cases.case,
  at       timestamptz NOT NULL DEFAULT now(),
  party    text NOT NULL CHECK (party IN ('buyer', 'seller', 'staff')),
  author_id uuid REFERENCES identity.users,             -- null: an API key of the store
  kind     text NOT NULL CHECK (kind IN ('opening', 'message', 'answer', 'question', 'offer', 'decision',
             'appeal', 'note')),
  body     text NOT NULL CHECK (length(body) BETWEEN 1 AND 4000),
  internal boolean NOT NULL DEFAULT false,
  CHECK (NOT internal OR party = 'staff')
);
CREATE INDEX message_case ON cases.message (case_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cases.message
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE cases.message ENABLE ALWAYS TRIGGER append_only;

-- Files of the parties; the bytes are a blob under an opaque name.
CREATE TABLE cases.attachment (
  id         uuid PRIMARY KEY,
  case_id    uuid NOT NULL REFERENCES cases.case,
  at         timestamptz NOT NULL DEFAULT now(),
  party      text NOT NULL CHECK (party IN ('buyer', 'seller', 'staff')),
  name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
  media_type text NOT NULL CHECK (media_type IN ('image/png', 'image/jpeg', 'image/webp', 'application/pdf',
               'text/plain')),
  size       int NOT NULL CHECK (size BETWEEN 1 AND 5242880),
  hash       bytea NOT NULL CHECK (length(hash) = 32),
  blob       text NOT NULL UNIQUE
);
CREATE INDEX attachment_case ON cases.attachment (case_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cases.attachment
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE cases.attachment ENABLE ALWAYS TRIGGER append_only;

-- What a seller offers to settle it; one at a time.
CREATE TABLE cases.offer (
  id       uuid PRIMARY KEY,
  case_id  uuid NOT NULL REFERENCES cases.case,
  kind     text NOT NULL CHECK (kind IN ('REFUND', 'REPLACEMENT')),
  amount   bigint NOT NULL CHECK (amount >= 0),        -- minor units of the case's currency
  made_at  timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz,
  ending   text CHECK (ending IN ('ACCEPTED', 'DECLINED', 'TAKEN_BACK', 'LAPSED')),
  CHECK ((kind = 'REFUND') = (amount > 0)),
  CHECK ((ended_at IS NULL) = (ending IS NULL))
);
CREATE UNIQUE INDEX offer_open ON cases.offer (case_id) WHERE ended_at IS NULL;
CREATE INDEX offer_case ON cases.offer (case_id, id);

GRANT SELECT, INSERT ON cases.snapshot, cases.case, cases.case_line, cases.event, cases.message,
  cases.attachment, cases.offer TO fondaco_app;
GRANT UPDATE (state, outcome, asked_party, deadline, version, taken_by, decided_by, decided_at, appeal_by,
  closed_at) ON cases.case TO fondaco_app;
GRANT UPDATE (open, refund, refund_id) ON cases.case_line TO fondaco_app;
GRANT UPDATE (ended_at, ending) ON cases.offer TO fondaco_app;
SELECT core.wall('cases.snapshot', '', '');
SELECT core.wall('cases.case', 'buyer_id', 'seller_id');
SELECT core.wall('cases.case_line', 'buyer_id', 'seller_id');
-- Whoever sees a case sees what belongs to it, but for the staff's own notes. Asked row by row: an EXISTS might
-- gather all cases somebody sees.
ALTER TABLE cases.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE cases.message ENABLE ROW LEVEL SECURITY;
ALTER TABLE cases.attachment ENABLE ROW LEVEL SECURITY;
ALTER TABLE cases.offer ENABLE ROW LEVEL SECURITY;
CREATE POLICY wall ON cases.event TO fondaco_app USING ((SELECT core.is_system())
  OR (SELECT true FROM cases.case c WHERE c.id = case_id));
CREATE POLICY wall ON cases.message TO fondaco_app USING ((SELECT core.is_system())
  OR NOT internal AND (SELECT true FROM cases.case c WHERE c.id = case_id));
CREATE POLICY wall ON cases.attachment TO fondaco_app USING ((SELECT core.is_system())
  OR (SELECT true FROM cases.case c WHERE c.id = case_id));
CREATE POLICY wall ON cases.offer TO fondaco_app USING ((SELECT core.is_system())
  OR (SELECT true FROM cases.case c WHERE c.id = case_id));

INSERT INTO core.edge (machine, source, target) VALUES
  ('case', '', 'OPEN'),
  ('case', 'OPEN', 'UNDER_REVIEW'), ('case', 'OPEN', 'CLOSED'),
  ('case', 'UNDER_REVIEW', 'NEEDS_RESPONSE'), ('case', 'UNDER_REVIEW', 'WON'), ('case', 'UNDER_REVIEW', 'LOST'),
  ('case', 'UNDER_REVIEW', 'CLOSED'),
  ('case', 'NEEDS_RESPONSE', 'UNDER_REVIEW'), ('case', 'NEEDS_RESPONSE', 'WON'),
  ('case', 'NEEDS_RESPONSE', 'LOST'), ('case', 'NEEDS_RESPONSE', 'CLOSED'),
  ('case', 'WON', 'CLOSED'), ('case', 'LOST', 'CLOSED');
