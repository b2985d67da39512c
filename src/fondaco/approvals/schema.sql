-- approvals: acts that need two people. One asks, another decides, and the act happens with the decision.
CREATE SCHEMA approvals;
GRANT USAGE ON SCHEMA approvals TO fondaco_app;

CREATE TABLE approvals.request (
  id         uuid PRIMARY KEY,
  kind       text NOT NULL,                            -- a registered verb
  ref        text NOT NULL,                            -- what it is about: 'order:<uuid>'
  payload    jsonb NOT NULL,                           -- what the verb is given; never changes
  words      text NOT NULL,                            -- what will happen, as the one who decides reads it
  reason     text NOT NULL CHECK (length(reason) BETWEEN 3 AND 500),
  permission text NOT NULL,                            -- who may decide
  state      text NOT NULL,
  asked_by   uuid REFERENCES identity.users,           -- NULL: the marketplace itself
  asked_at   timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  decided_by uuid REFERENCES identity.users,
  decided_at timestamptz,
  note       text CHECK (length(note) <= 500),
  CONSTRAINT request_two_people CHECK (decided_by <> asked_by),
  CHECK ((state IN ('APPROVED', 'REFUSED')) = (decided_by IS NOT NULL)),
  CHECK ((state = 'OPEN') = (decided_at IS NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON approvals.request
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('approval', 'state');
CREATE UNIQUE INDEX request_open ON approvals.request (kind, ref) WHERE state = 'OPEN';
CREATE INDEX request_waiting ON approvals.request (asked_at, id) WHERE state = 'OPEN';
CREATE INDEX request_newest ON approvals.request (asked_at DESC, id DESC);
CREATE INDEX request_ref ON approvals.request (ref);
GRANT SELECT, INSERT ON approvals.request TO fondaco_app;
GRANT UPDATE (state, decided_by, decided_at, note) ON approvals.request TO fondaco_app;
SELECT core.wall('approvals.request', '', '');
