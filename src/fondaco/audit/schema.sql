-- audit: every critical act is one row, written in the transaction of the act, never changed.
-- It is also the outbox: consumers read it in order of (xid, id) and keep their place.
CREATE SCHEMA audit;
GRANT USAGE ON SCHEMA audit TO fondaco_app;

CREATE TABLE audit.event (
  id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xid   xid8 NOT NULL DEFAULT pg_current_xact_id(),
  at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind  text NOT NULL CHECK (kind ~ '^[a-z_]+\.[a-z_]+$'),  -- 'order.paid'
  ref   text NOT NULL,                                        -- 'order:<uuid>'
  actor text NOT NULL,                                        -- 'user:<uuid>', 'system', 'stripe'
  data  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX event_outbox ON audit.event (xid, id);
CREATE INDEX event_ref ON audit.event (ref, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.event
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE audit.event ENABLE ALWAYS TRIGGER append_only;

-- Signed blocks: each covers the events between two places, links to the block before it.
CREATE TABLE audit.block (
  number     bigint PRIMARY KEY CHECK (number > 0),
  first_xid  xid8 NOT NULL,
  first_id   bigint NOT NULL,
  last_xid   xid8 NOT NULL,
  last_id    bigint NOT NULL,
  events     int NOT NULL CHECK (events > 0),
  root       bytea NOT NULL,           -- SHA-256 over the events' hashes in order
  previous   bytea NOT NULL UNIQUE,    -- hash of the block before, 32 zero bytes for the first
  hash       bytea NOT NULL UNIQUE,
  signature  bytea NOT NULL,           -- Ed25519 over hash
  key_id     text NOT NULL,
  sealed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.block
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE audit.block ENABLE ALWAYS TRIGGER append_only;

-- Where each consumer of the events stands.
CREATE TABLE audit.place (
  consumer text PRIMARY KEY,
  xid      xid8 NOT NULL DEFAULT '0',
  id       bigint NOT NULL DEFAULT 0
);

CREATE FUNCTION audit.record(p_kind text, p_ref text, p_actor text, p_data jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = audit, pg_temp AS $$
  INSERT INTO event (kind, ref, actor, data) VALUES (p_kind, p_ref, p_actor, p_data) RETURNING id
$$;

-- Several events of one kind, in order.
CREATE FUNCTION audit.record_many(p_kind text, p_refs text[], p_actors text[], p_data jsonb[]) RETURNS void
LANGUAGE plpgsql SET search_path = audit, pg_temp AS $$
BEGIN
  INSERT INTO event (kind, ref, actor, data)
    SELECT p_kind, t.ref, t.actor, t.data FROM unnest(p_refs, p_actors, p_data) t(ref, actor, data);
END $$;
REVOKE ALL ON FUNCTION audit.record, audit.record_many FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.record TO fondaco_app;
GRANT SELECT ON audit.event, audit.block TO fondaco_app;
GRANT INSERT ON audit.block TO fondaco_app;
GRANT SELECT, INSERT, UPDATE ON audit.place TO fondaco_app;
