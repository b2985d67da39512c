-- checks: what was looked at, when, and what was found not to be as it must be.
CREATE SCHEMA checks;
GRANT USAGE ON SCHEMA checks TO fondaco_app;

CREATE TABLE checks.run (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind       text NOT NULL CHECK (kind IN ('minute', 'full')),
  asked_by   text NOT NULL,                            -- 'clock' or 'user:<uuid>'
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  beat_at    timestamptz NOT NULL DEFAULT clock_timestamp(),  -- when the worker last said it is at it
  ended_at   timestamptz,                              -- NULL: under way, or its worker died
  doing      text NOT NULL DEFAULT '',                 -- what is being looked at, for whoever waits
  looked     int NOT NULL DEFAULT 0 CHECK (looked >= 0),
  faults     int NOT NULL DEFAULT 0 CHECK (faults >= 0),
  left_out   text[] NOT NULL DEFAULT '{}'              -- what took too long and was left for another time
);
CREATE INDEX run_newest ON checks.run (kind, id DESC);

-- One row per fault, from the first time it was seen until it was gone; a fault that comes back is the same row.
CREATE TABLE checks.fault (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rule       text NOT NULL,                            -- which check
  name       text NOT NULL,                            -- 'I03', as in the list of invariants
  place      text NOT NULL,                            -- 'account 17 slot 0'
  words      text NOT NULL,                            -- as last seen
  first_seen timestamptz NOT NULL DEFAULT now(),
  last_seen  timestamptz NOT NULL DEFAULT now(),
  gone_at    timestamptz,
  told_at    timestamptz,                              -- when the operator was written to about it
  UNIQUE (rule, place)
);
CREATE INDEX fault_open ON checks.fault (id) WHERE gone_at IS NULL;
CREATE INDEX fault_newest ON checks.fault (last_seen DESC, id DESC);

GRANT SELECT, INSERT, UPDATE, DELETE ON checks.run TO fondaco_app;
GRANT SELECT, INSERT, UPDATE ON checks.fault TO fondaco_app;
SELECT core.wall('checks.run', '', '');
SELECT core.wall('checks.fault', '', '');

-- What must be quick to find every minute.
CREATE INDEX jobs_failed ON public.procrastinate_jobs (id) WHERE status = 'failed';
CREATE INDEX event_dead ON inbox.event (id) WHERE state = 'DEAD';
