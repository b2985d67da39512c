-- core: what every module leans on. The application role is fondaco_app; it owns nothing.
CREATE SCHEMA core;
GRANT USAGE ON SCHEMA core TO fondaco_app;

-- The permitted moves of every state machine, filled from the Python tables. '' is birth.
CREATE TABLE core.edge (
  machine text NOT NULL,
  source  text NOT NULL,
  target  text NOT NULL,
  PRIMARY KEY (machine, source, target)
);
GRANT SELECT ON core.edge TO fondaco_app;

-- Trigger: core.guard_state('<machine>', '<column>') refuses a state that no edge leads to. The usual columns
-- are read by name; any other through JSON, which takes several times as long.
CREATE FUNCTION core.guard_state() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  old_state text := '';
  new_state text;
BEGIN
  CASE TG_ARGV[1]
    WHEN 'state' THEN
      new_state := NEW.state;
      IF TG_OP = 'UPDATE' THEN old_state := OLD.state; END IF;
    WHEN 'delivery_state' THEN
      new_state := NEW.delivery_state;
      IF TG_OP = 'UPDATE' THEN old_state := OLD.delivery_state; END IF;
    WHEN 'escrow_state' THEN
      new_state := NEW.escrow_state;
      IF TG_OP = 'UPDATE' THEN old_state := OLD.escrow_state; END IF;
    ELSE
      new_state := to_jsonb(NEW) ->> TG_ARGV[1];
      IF TG_OP = 'UPDATE' THEN old_state := to_jsonb(OLD) ->> TG_ARGV[1]; END IF;
  END CASE;
  IF TG_OP = 'UPDATE' AND old_state OPERATOR(pg_catalog.=) new_state THEN RETURN NEW; END IF;
  PERFORM 1 FROM core.edge e WHERE e.machine OPERATOR(pg_catalog.=) TG_ARGV[0]
    AND e.source OPERATOR(pg_catalog.=) old_state AND e.target OPERATOR(pg_catalog.=) new_state;
  IF NOT FOUND THEN
    RAISE EXCEPTION '% may not go from "%" to "%"', TG_ARGV[0], old_state, new_state
      USING ERRCODE = '23514', CONSTRAINT = 'state_machine';
  END IF;
  RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION core.guard_state FROM PUBLIC;

-- Append-only tables: nobody updates, deletes or truncates, the owner included.
CREATE FUNCTION core.deny() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '23001';
END $$;

-- Who is asking, set per transaction by the application: scope system | user | seller | public.
CREATE FUNCTION core.is_system() RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT current_setting('fondaco.scope', true) = 'system' $$;
CREATE FUNCTION core.viewer_user() RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT nullif(current_setting('fondaco.user', true), '')::uuid $$;
CREATE FUNCTION core.viewer_seller() RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT nullif(current_setting('fondaco.seller', true), '')::uuid $$;

-- Row-level security for a table with a buyer and/or a seller column ('' when it has none).
CREATE FUNCTION core.wall(p_table regclass, p_user_column text, p_seller_column text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  rule text := '(SELECT core.is_system())';
BEGIN
  IF p_user_column <> '' THEN
    rule := rule || format(' OR %I = (SELECT core.viewer_user())', p_user_column);
  END IF;
  IF p_seller_column <> '' THEN
    rule := rule || format(' OR %I = (SELECT core.viewer_seller())', p_seller_column);
  END IF;
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_table);
  EXECUTE format('CREATE POLICY wall ON %s TO fondaco_app USING (%s)', p_table, rule);
END $$;
REVOKE ALL ON FUNCTION core.wall FROM PUBLIC;

-- Idempotency keys of API callers: the first answer is kept and given again.
CREATE TABLE core.idempotency (
  actor       text NOT NULL,
  key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  fingerprint bytea NOT NULL,
  status      int,
  body        bytea,
  media_type  text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (actor, key)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON core.idempotency TO fondaco_app;

-- Shared rate limits: a fixed window per key. Unlogged: a crash forgives.
CREATE UNLOGGED TABLE core.throttle (
  key          text PRIMARY KEY,
  window_start timestamptz NOT NULL,
  hits         int NOT NULL
);
GRANT SELECT, DELETE ON core.throttle TO fondaco_app;

-- Counts one hit; answers how many seconds to wait (0: go on).
CREATE FUNCTION core.hit(p_key text, p_limit int, p_window_seconds int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
  r throttle;
BEGIN
  INSERT INTO throttle AS t VALUES (p_key, clock_timestamp(), 1)
  ON CONFLICT (key) DO UPDATE SET
    hits = CASE WHEN t.window_start < clock_timestamp() - make_interval(secs => p_window_seconds)
                THEN 1 ELSE t.hits + 1 END,
    window_start = CASE WHEN t.window_start < clock_timestamp() - make_interval(secs => p_window_seconds)
                THEN clock_timestamp() ELSE t.window_start END
  RETURNING * INTO r;
  IF r.hits <= p_limit THEN RETURN 0; END IF;
  RETURN greatest(1, ceil(extract(epoch FROM
    r.window_start + make_interval(secs => p_window_seconds) - clock_timestamp()))::int);
END $$;
REVOKE ALL ON FUNCTION core.hit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.hit TO fondaco_app;

-- When each periodic job last began. Unlogged: after a crash everything is simply due.
CREATE UNLOGGED TABLE core.schedule (
  name     text PRIMARY KEY,
  last_run timestamptz NOT NULL
);
GRANT SELECT ON core.schedule TO fondaco_app;

-- Claims a run of a periodic job by the database's clock: 0 when it is the caller's to run now, else
-- the seconds until anybody may. Of several workers asking together one gets it.
CREATE FUNCTION core.claim_run(p_name text, p_every float8) RETURNS float8
LANGUAGE plpgsql SECURITY DEFINER SET search_path = core, pg_temp AS $$
DECLARE
  due timestamptz;
BEGIN
  SELECT last_run + make_interval(secs => p_every) INTO due FROM schedule WHERE name = p_name;
  IF due > clock_timestamp() THEN
    RETURN extract(epoch FROM due - clock_timestamp());
  END IF;
  INSERT INTO schedule AS s VALUES (p_name, clock_timestamp())
  ON CONFLICT (name) DO UPDATE SET last_run = clock_timestamp()
    WHERE s.last_run + make_interval(secs => p_every) <= clock_timestamp();
  RETURN CASE WHEN FOUND THEN 0 ELSE p_every END;
END $$;
REVOKE ALL ON FUNCTION core.claim_run FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.claim_run TO fondaco_app;
