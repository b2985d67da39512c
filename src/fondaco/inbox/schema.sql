-- inbox: what arrives unasked, kept once, handled once.
CREATE SCHEMA inbox;
GRANT USAGE ON SCHEMA inbox TO fondaco_app;

CREATE TABLE inbox.event (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider       text NOT NULL CHECK (provider IN ('stripe')),
  event_id       text NOT NULL,
  account        text NOT NULL DEFAULT '',
  type           text NOT NULL,
  api_version    text NOT NULL,
  livemode       boolean NOT NULL,
  object_id      text NOT NULL,
  object_created timestamptz NOT NULL,
  body           jsonb NOT NULL,
  source         text NOT NULL CHECK (source IN ('webhook', 'backfill')),
  received_at    timestamptz NOT NULL DEFAULT now(),
  state          text NOT NULL,
  attempts       int NOT NULL DEFAULT 0,
  next_at        timestamptz NOT NULL DEFAULT now(),
  failure        text,                                -- why it waits, failed or was ignored
  handled_at     timestamptz,
  UNIQUE (provider, event_id)
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON inbox.event
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('inbox_event', 'state');
CREATE INDEX event_open ON inbox.event (next_at) WHERE state NOT IN ('PROCESSED', 'IGNORED', 'DEAD');
CREATE INDEX event_object ON inbox.event (object_id);
CREATE INDEX event_newest ON inbox.event (received_at DESC, id DESC);
CREATE INDEX event_state ON inbox.event (state, received_at DESC, id DESC);

-- Deliveries refused at the door: counted, never kept.
CREATE TABLE inbox.refusal (
  day    date NOT NULL DEFAULT current_date,
  reason text NOT NULL,
  n      bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (day, reason)
);
-- How far back the provider's own list has been compared.
CREATE TABLE inbox.backfill (
  provider text PRIMARY KEY,
  seen_to  timestamptz NOT NULL,
  types    text[]                                      -- of which types
);
GRANT SELECT, INSERT, UPDATE ON inbox.event, inbox.refusal, inbox.backfill TO fondaco_app;
