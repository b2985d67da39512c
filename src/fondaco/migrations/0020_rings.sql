-- Rings: browsers and cards several accounts share; signals that wait; appeals with a deadline.
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

ALTER TABLE risk.appeal ADD COLUMN due_at timestamptz NOT NULL DEFAULT now() + interval '5 days';
CREATE INDEX appeal_due ON risk.appeal (due_at, id) WHERE state = 'OPEN';
CREATE INDEX standing_newest ON risk.standing (since DESC, (party COLLATE "C") DESC) WHERE tier <> 'NORMAL';
ALTER TABLE risk.blocked DROP CONSTRAINT blocked_kind_check;
ALTER TABLE risk.blocked ADD CONSTRAINT blocked_kind_check
  CHECK (kind IN ('domain', 'card', 'disposable', 'genuine')) NOT VALID;
ALTER TABLE risk.blocked VALIDATE CONSTRAINT blocked_kind_check;

GRANT SELECT, INSERT ON risk.appeal_word TO fondaco_app;
GRANT SELECT ON risk.tie TO fondaco_app;
GRANT SELECT, INSERT, DELETE ON risk.unread TO fondaco_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON risk.device, risk.shared TO fondaco_app;
SELECT core.wall('risk.unread', '', '');
SELECT core.wall('risk.device', '', '');
SELECT core.wall('risk.shared', '', '');
SELECT core.wall('risk.appeal_word', '', '');

-- What is there already.
INSERT INTO risk.unread (signal_id, party)
  SELECT g.id, g.party FROM risk.signal g LEFT JOIN risk.standing s ON s.party = g.party
  WHERE s.party IS NULL OR g.at > s.looked_at;
INSERT INTO risk.shared (kind, mark, accounts, first_at, last_at)
  SELECT 'card', mark, count(*), min(first_at), max(first_at) FROM risk.card
  GROUP BY mark HAVING count(*) > 1;
