-- risk: recorded signals, decisions that can be replayed, where everybody stands, what each tier forbids.
CREATE SCHEMA risk;
GRANT USAGE ON SCHEMA risk TO fondaco_app;

CREATE TABLE risk.signal (
  id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  party text NOT NULL CHECK (party ~ '^(user|seller):[0-9a-f-]{36}$'),
  kind  text NOT NULL CHECK (kind ~ '^[a-z_]+[.][a-z_]+$'),
  ref   text NOT NULL,                                 -- what it is about: the same fact counts once
  at    timestamptz NOT NULL DEFAULT now(),
  data  jsonb NOT NULL DEFAULT '{}',
  UNIQUE (party, kind, ref)
);
CREATE INDEX signal_newest ON risk.signal (id DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.signal
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE risk.signal ENABLE ALWAYS TRIGGER append_only;

CREATE TABLE risk.decision (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  party   text NOT NULL,
  at      timestamptz NOT NULL DEFAULT now(),
  actor   text NOT NULL,                               -- 'rules', 'user:<id>' of staff
  before  text NOT NULL,
  after   text NOT NULL,
  since   timestamptz NOT NULL,                        -- how long they had been in `before`
  score   bigint NOT NULL,                             -- thousandths of a point
  rules   text NOT NULL,
  signals bigint[] NOT NULL,                           -- all that was known
  reasons text[] NOT NULL,
  note    text NOT NULL DEFAULT '',
  CHECK (before <> after)
);
CREATE INDEX decision_party ON risk.decision (party, id DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.decision
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE risk.decision ENABLE ALWAYS TRIGGER append_only;

-- Who is anything but NORMAL without a past has a row.
CREATE TABLE risk.standing (
  party       text PRIMARY KEY CHECK (party ~ '^(user|seller):[0-9a-f-]{36}$'),
  user_id     uuid GENERATED ALWAYS AS (CASE WHEN party LIKE 'user:%' THEN substr(party, 6)::uuid END) STORED,
  seller_id   uuid GENERATED ALWAYS AS (CASE WHEN party LIKE 'seller:%' THEN substr(party, 8)::uuid END) STORED,
  tier        text NOT NULL,
  score       bigint NOT NULL DEFAULT 0,
  rules       text NOT NULL,
  since       timestamptz NOT NULL DEFAULT now(),
  reasons     text[] NOT NULL DEFAULT '{}',
  decision_id bigint REFERENCES risk.decision,
  store_shut  boolean NOT NULL DEFAULT false,          -- a store: suspended by its tier, not by a person
  looked_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF tier ON risk.standing
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('risk_tier', 'tier');
CREATE UNIQUE INDEX standing_user ON risk.standing (user_id) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX standing_seller ON risk.standing (seller_id) WHERE seller_id IS NOT NULL;
CREATE INDEX standing_newest ON risk.standing (since DESC, (party COLLATE "C") DESC) WHERE tier <> 'NORMAL';
CREATE INDEX standing_raised ON risk.standing (tier, score DESC) WHERE tier <> 'NORMAL';

CREATE TABLE risk.appeal (
  id          uuid PRIMARY KEY,
  party       text NOT NULL,
  decision_id bigint NOT NULL REFERENCES risk.decision,
  made_by     uuid NOT NULL REFERENCES identity.users,
  text        text NOT NULL CHECK (length(text) BETWEEN 1 AND 5000),
  state       text NOT NULL,
  answer      text,
  decided_by  uuid REFERENCES identity.users,
  made_at     timestamptz NOT NULL DEFAULT now(),
  decided_at  timestamptz,
  due_at      timestamptz NOT NULL DEFAULT now() + interval '5 days', -- until then it should be answered
  CHECK ((state = 'OPEN') = (decided_at IS NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON risk.appeal
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('risk_appeal', 'state');
CREATE UNIQUE INDEX appeal_one ON risk.appeal (party) WHERE state = 'OPEN';
CREATE INDEX appeal_newest ON risk.appeal (made_at DESC, id DESC);
CREATE INDEX appeal_due ON risk.appeal (due_at, id) WHERE state = 'OPEN';

-- Addresses and cards nobody may use, until when and why; and mail domains that are, or are not, throw-away
-- ones whatever the list says.
CREATE TABLE risk.blocked (
  kind     text NOT NULL CHECK (kind IN ('domain', 'card', 'disposable', 'genuine')),
  value    text NOT NULL,
  reason   text NOT NULL,
  until    timestamptz,
  added_by uuid REFERENCES identity.users,
  added_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (kind, value)
);

-- Which cards somebody paid with, by the provider's mark of the card (never its number).
CREATE TABLE risk.card (
  user_id  uuid NOT NULL REFERENCES identity.users,
  mark     text NOT NULL,
  first_at timestamptz NOT NULL,
  PRIMARY KEY (user_id, mark)
);
CREATE INDEX card_mark ON risk.card (mark, first_at DESC, user_id);

-- Signals nobody has decided about yet.
CREATE TABLE risk.unread (
  signal_id bigint PRIMARY KEY REFERENCES risk.signal,
  party     text NOT NULL
);
CREATE INDEX unread_party ON risk.unread (party);

-- Which browsers somebody signed in or went to the checkout with, by the keyed hash of a cookie.
CREATE TABLE risk.device (
  user_id  uuid NOT NULL REFERENCES identity.users,
  mark     text NOT NULL,
  first_at timestamptz NOT NULL,
  last_at  timestamptz NOT NULL,
  PRIMARY KEY (user_id, mark)
);
CREATE INDEX device_mark ON risk.device (mark, first_at DESC, user_id);
CREATE INDEX device_last ON risk.device (last_at);

-- What ties accounts together.
CREATE VIEW risk.tie WITH (security_invoker = true) AS
  SELECT user_id, 'card' AS kind, mark, first_at FROM risk.card
  UNION ALL SELECT user_id, 'device', mark, first_at FROM risk.device;

-- Cards and browsers of more than one account, counted whenever one joins or leaves.
CREATE TABLE risk.shared (
  kind     text NOT NULL CHECK (kind IN ('card', 'device')),
  mark     text NOT NULL,
  accounts int NOT NULL CHECK (accounts > 1),
  first_at timestamptz NOT NULL,
  last_at  timestamptz NOT NULL,                       -- when the newest account joined
  PRIMARY KEY (kind, mark)
);
CREATE INDEX shared_newest ON risk.shared (last_at DESC, kind DESC, mark DESC);

-- What is said in an appeal after it was made, until it is decided.
CREATE TABLE risk.appeal_word (
  id        uuid PRIMARY KEY,
  appeal_id uuid NOT NULL REFERENCES risk.appeal,
  by_staff  boolean NOT NULL,
  said_by   uuid NOT NULL REFERENCES identity.users,
  text      text NOT NULL CHECK (length(text) BETWEEN 1 AND 5000),
  at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX appeal_word_appeal ON risk.appeal_word (appeal_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.appeal_word
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE risk.appeal_word ENABLE ALWAYS TRIGGER append_only;

-- What each tier forbids; the same as ENFORCEMENT in the code.
CREATE TABLE risk.enforcement (
  side                 text NOT NULL CHECK (side IN ('user', 'seller')),
  tier                 text NOT NULL,
  hidden               boolean NOT NULL,
  maturity_days        int NOT NULL,
  reserve_bps          int NOT NULL,
  payouts              boolean NOT NULL,
  quarantine           boolean NOT NULL,
  buys                 boolean NOT NULL,
  units_per_day        int,
  open_cases           int,
  reveal_after_minutes int NOT NULL,
  source_only          boolean NOT NULL,
  PRIMARY KEY (side, tier)
);
INSERT INTO risk.enforcement VALUES
  ('user', 'NORMAL', false, 0, 0, true, false, true, NULL, NULL, 0, false),
  ('user', 'WARNING', false, 0, 0, true, false, true, 20, NULL, 0, false),
  ('user', 'AT_RISK', false, 0, 0, true, false, true, 5, 1, 60, false),
  ('user', 'RESTRICTED', false, 0, 0, true, false, false, NULL, 1, 60, true),
  ('user', 'BANNED', false, 0, 0, true, false, false, NULL, 0, 60, true),
  ('seller', 'NORMAL', false, 0, 0, true, false, true, NULL, NULL, 0, false),
  ('seller', 'WARNING', false, 7, 500, true, false, true, NULL, NULL, 0, false),
  ('seller', 'AT_RISK', false, 14, 2000, true, true, true, NULL, NULL, 0, false),
  ('seller', 'RESTRICTED', true, 14, 2000, false, true, true, NULL, NULL, 0, false),
  ('seller', 'BANNED', true, 14, 2000, false, true, true, NULL, NULL, 0, false);

-- What holds for a store and for a buyer now, by their tier.
CREATE FUNCTION risk.seller_limits(p_seller uuid) RETURNS risk.enforcement LANGUAGE sql STABLE AS $$
  SELECT e FROM risk.enforcement e WHERE e.side = 'seller'
    AND e.tier = coalesce((SELECT s.tier FROM risk.standing s WHERE s.seller_id = p_seller), 'NORMAL')
$$;
CREATE FUNCTION risk.buyer_limits(p_user uuid) RETURNS risk.enforcement LANGUAGE sql STABLE AS $$
  SELECT e FROM risk.enforcement e WHERE e.side = 'user'
    AND e.tier = coalesce((SELECT s.tier FROM risk.standing s WHERE s.user_id = p_user), 'NORMAL')
$$;

-- Nobody signs up with a mail address of a blocked domain, or of one below it.
CREATE FUNCTION risk.refuse_blocked() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = risk, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM blocked b WHERE b.kind = 'domain' AND (b.until IS NULL OR b.until > now())
             AND '.' || split_part(lower(NEW.email), '@', 2) LIKE '%.' || b.value) THEN
    RAISE EXCEPTION 'this mail domain is blocked' USING ERRCODE = '23514', CONSTRAINT = 'address_blocked';
  END IF;
  RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION risk.seller_limits, risk.buyer_limits, risk.refuse_blocked FROM PUBLIC;
GRANT EXECUTE ON FUNCTION risk.seller_limits, risk.buyer_limits TO fondaco_app;
CREATE TRIGGER address_blocked BEFORE INSERT OR UPDATE OF email ON identity.users
  FOR EACH ROW EXECUTE FUNCTION risk.refuse_blocked();

GRANT SELECT, INSERT ON risk.signal, risk.decision, risk.card TO fondaco_app;
GRANT SELECT, INSERT, UPDATE ON risk.standing, risk.appeal TO fondaco_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON risk.blocked TO fondaco_app;
GRANT SELECT ON risk.enforcement TO fondaco_app;
SELECT core.wall('risk.signal', '', '');
SELECT core.wall('risk.decision', '', '');
SELECT core.wall('risk.standing', 'user_id', 'seller_id');
SELECT core.wall('risk.appeal', 'made_by', '');
SELECT core.wall('risk.blocked', '', '');
SELECT core.wall('risk.card', '', '');
GRANT SELECT, INSERT ON risk.appeal_word TO fondaco_app;
GRANT SELECT ON risk.tie TO fondaco_app;
GRANT SELECT, INSERT, DELETE ON risk.unread TO fondaco_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON risk.device, risk.shared TO fondaco_app;
SELECT core.wall('risk.unread', '', '');
SELECT core.wall('risk.device', '', '');
SELECT core.wall('risk.shared', '', '');
SELECT core.wall('risk.appeal_word', '', '');
