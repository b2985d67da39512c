-- The job queue's tables, as its package declares them.
-- Procrastinate Schema

DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;
EXCEPTION
    WHEN OTHERS THEN
        -- On managed PostgreSQL services (e.g. Azure Database for PostgreSQL, Amazon RDS,
        -- Google Cloud SQL), CREATE EXTENSION may fail with various error codes:
        -- insufficient_privilege, feature_not_supported, or provider-specific errors.
        -- Before ignoring, verify the extension actually exists — if it does not exist
        -- and cannot be created, re-raise so the failure is explicit.
        IF EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'plpgsql') THEN
            RAISE NOTICE 'plpgsql extension already exists, skipping creation.';
        ELSE
            RAISE;
        END IF;
END;
$$;

-- Enums

CREATE TYPE procrastinate_job_status AS ENUM (
    'todo',  -- The job is queued
    'doing',  -- The job has been fetched by a worker
    'succeeded',  -- The job ended successfully
    'failed',  -- The job ended with an error
    'cancelled', -- The job was cancelled
    'aborting',  -- legacy, not used anymore since v3.0.0
    'aborted'  -- The job was aborted
);

CREATE TYPE procrastinate_job_event_type AS ENUM (
    'deferred',  -- Job created, in todo
    'started',  -- todo -> doing
    'deferred_for_retry',  -- doing -> todo
    'failed',  -- doing -> failed
    'succeeded',  -- doing -> succeeded
    'cancelled', -- todo -> cancelled
    'abort_requested', -- not a state transition, but set in a separate field
    'aborted', -- doing -> aborted (only allowed when abort_requested field is set)
    'scheduled', -- not a state transition, but recording when a task is scheduled for
    'retried' -- Manually retried failed job
);

-- Composite Types

CREATE TYPE procrastinate_job_to_defer_v1 AS (
    queue_name character varying,
    task_name character varying,
    priority integer,
    lock text,
    queueing_lock text,
    args jsonb,
    scheduled_at timestamp with time zone
);

-- Tables

CREATE TABLE procrastinate_workers(
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    last_heartbeat timestamp with time zone NOT NULL DEFAULT NOW()
);

CREATE TABLE procrastinate_jobs (
    id bigserial PRIMARY KEY,
    queue_name character varying(128) NOT NULL,
    task_name character varying(128) NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    lock text,
    queueing_lock text,
    args jsonb DEFAULT '{}' NOT NULL,
    status procrastinate_job_status DEFAULT 'todo'::procrastinate_job_status NOT NULL,
    scheduled_at timestamp with time zone NULL,
    attempts integer DEFAULT 0 NOT NULL,
    abort_requested boolean DEFAULT false NOT NULL,
    worker_id bigint REFERENCES procrastinate_workers(id) ON DELETE SET NULL,
    CONSTRAINT check_not_todo_abort_requested CHECK (NOT (status = 'todo' AND abort_requested = true))
);

CREATE TABLE procrastinate_periodic_defers (
    id bigserial PRIMARY KEY,
    task_name character varying(128) NOT NULL,
    defer_timestamp bigint,
    job_id bigint REFERENCES procrastinate_jobs(id) NULL,
    periodic_id character varying(128) NOT NULL DEFAULT '',
    CONSTRAINT procrastinate_periodic_defers_unique UNIQUE (task_name, periodic_id, defer_timestamp)
);

CREATE TABLE procrastinate_events (
    id bigserial PRIMARY KEY,
    job_id bigint NOT NULL REFERENCES procrastinate_jobs ON DELETE CASCADE,
    type procrastinate_job_event_type,
    at timestamp with time zone DEFAULT NOW() NULL
);

-- Constraints & Indices

-- this prevents from having several jobs with the same queueing lock in the "todo" state
CREATE UNIQUE INDEX procrastinate_jobs_queueing_lock_idx_v1 ON procrastinate_jobs (queueing_lock) WHERE status = 'todo';
-- this prevents from having several jobs with the same lock in the "doing" state
CREATE UNIQUE INDEX procrastinate_jobs_lock_idx_v1 ON procrastinate_jobs (lock) WHERE status = 'doing';

-- Index for select_stalled_jobs_by_heartbeat query
CREATE INDEX idx_procrastinate_jobs_worker_not_null ON procrastinate_jobs(worker_id) WHERE worker_id IS NOT NULL AND status = 'doing'::procrastinate_job_status;

CREATE INDEX procrastinate_jobs_queue_name_idx_v1 ON procrastinate_jobs(queue_name);
CREATE INDEX procrastinate_jobs_id_lock_idx_v1 ON procrastinate_jobs (id, lock) WHERE status = ANY (ARRAY['todo'::procrastinate_job_status, 'doing'::procrastinate_job_status]);
CREATE INDEX procrastinate_jobs_priority_idx_v1 ON procrastinate_jobs(priority desc, id asc) WHERE (status = 'todo'::procrastinate_job_status);

CREATE INDEX procrastinate_events_job_id_fkey_v1 ON procrastinate_events(job_id);

CREATE INDEX procrastinate_periodic_defers_job_id_fkey_v1 ON procrastinate_periodic_defers(job_id);

CREATE INDEX idx_procrastinate_workers_last_heartbeat ON procrastinate_workers(last_heartbeat);

-- Functions
CREATE FUNCTION procrastinate_defer_jobs_v1(
    jobs procrastinate_job_to_defer_v1[]
)
    RETURNS bigint[]
    LANGUAGE plpgsql
AS $$
DECLARE
    job_ids bigint[];
BEGIN
    WITH inserted_jobs AS (
        INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
        SELECT (job).queue_name,
               (job).task_name,
               (job).priority,
               (job).lock,
               (job).queueing_lock,
               (job).args,
               (job).scheduled_at
        FROM unnest(jobs) AS job
        RETURNING id
    )
    SELECT array_agg(id) FROM inserted_jobs INTO job_ids;

    RETURN job_ids;
END;
$$;

CREATE FUNCTION procrastinate_defer_periodic_job_v2(
    _queue_name character varying,
    _lock character varying,
    _queueing_lock character varying,
    _task_name character varying,
    _priority integer,
    _periodic_id character varying,
    _defer_timestamp bigint,
    _args jsonb
)
    RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
	_job_id bigint;
	_defer_id bigint;
BEGIN
    INSERT
        INTO procrastinate_periodic_defers (task_name, periodic_id, defer_timestamp)
        VALUES (_task_name, _periodic_id, _defer_timestamp)
        ON CONFLICT DO NOTHING
        RETURNING id into _defer_id;

    IF _defer_id IS NULL THEN
        RETURN NULL;
    END IF;

    UPDATE procrastinate_periodic_defers
        SET job_id = (
            SELECT COALESCE((
                SELECT unnest(procrastinate_defer_jobs_v1(
                    ARRAY[
                        ROW(
                            _queue_name,
                            _task_name,
                            _priority,
                            _lock,
                            _queueing_lock,
                            _args,
                            NULL::timestamptz
                        )
                    ]::procrastinate_job_to_defer_v1[]
                ))
            ), NULL)
        )
        WHERE id = _defer_id
        RETURNING job_id INTO _job_id;

    DELETE
        FROM procrastinate_periodic_defers
        USING (
            SELECT id
            FROM procrastinate_periodic_defers
            WHERE procrastinate_periodic_defers.task_name = _task_name
            AND procrastinate_periodic_defers.periodic_id = _periodic_id
            AND procrastinate_periodic_defers.defer_timestamp < _defer_timestamp
            ORDER BY id
            FOR UPDATE
        ) to_delete
        WHERE procrastinate_periodic_defers.id = to_delete.id;

    RETURN _job_id;
END;
$$;

CREATE FUNCTION procrastinate_fetch_job_v2(
    target_queue_names character varying[],
    p_worker_id bigint
)
    RETURNS procrastinate_jobs
    LANGUAGE plpgsql
AS $$
DECLARE
	found_jobs procrastinate_jobs;
BEGIN
    WITH candidate AS (
        SELECT jobs.*
            FROM procrastinate_jobs AS jobs
            WHERE
                -- reject the job if its lock has earlier or higher priority jobs
                NOT EXISTS (
                    SELECT 1
                        FROM procrastinate_jobs AS other_jobs
                        WHERE
                            jobs.lock IS NOT NULL
                            AND other_jobs.lock = jobs.lock
                            AND (
                                -- job with same lock is already running
                                other_jobs.status = 'doing'
                                OR
                                -- job with same lock is waiting and has higher priority (or same priority but was queued first)
                                (
                                    other_jobs.status = 'todo'
                                    AND (
                                        other_jobs.priority > jobs.priority
                                        OR (
                                        other_jobs.priority = jobs.priority
                                        AND other_jobs.id < jobs.id
                                        )
                                    )
                                )
                            )
                )
                AND jobs.status = 'todo'
                AND (target_queue_names IS NULL OR jobs.queue_name = ANY( target_queue_names ))
                AND (jobs.scheduled_at IS NULL OR jobs.scheduled_at <= now())
            ORDER BY jobs.priority DESC, jobs.id ASC LIMIT 1
            FOR UPDATE OF jobs SKIP LOCKED
    )
    UPDATE procrastinate_jobs
        SET status = 'doing', worker_id = p_worker_id
        FROM candidate
        WHERE procrastinate_jobs.id = candidate.id
        RETURNING procrastinate_jobs.* INTO found_jobs;

 RETURN found_jobs;
END;
$$;

CREATE FUNCTION procrastinate_finish_job_v1(job_id bigint, end_status procrastinate_job_status, delete_job boolean)
    RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    _job_id bigint;
BEGIN
    IF end_status NOT IN ('succeeded', 'failed', 'aborted') THEN
        RAISE 'End status should be either "succeeded", "failed" or "aborted" (job id: %)', job_id;
    END IF;
    IF delete_job THEN
        DELETE FROM procrastinate_jobs
        WHERE id = job_id AND status IN ('todo', 'doing')
        RETURNING id INTO _job_id;
    ELSE
        UPDATE procrastinate_jobs
        SET status = end_status,
            abort_requested = false,
            attempts = CASE status
                WHEN 'doing' THEN attempts + 1 ELSE attempts
            END
        WHERE id = job_id AND status IN ('todo', 'doing')
        RETURNING id INTO _job_id;
    END IF;
    IF _job_id IS NULL THEN
        RAISE 'Job was not found or not in "doing" or "todo" status (job id: %)', job_id;
    END IF;
END;
$$;

CREATE FUNCTION procrastinate_cancel_job_v1(job_id bigint, abort boolean, delete_job boolean)
    RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
    _job_id bigint;
BEGIN
    IF delete_job THEN
        DELETE FROM procrastinate_jobs
        WHERE id = job_id AND status = 'todo'
        RETURNING id INTO _job_id;
    END IF;
    IF _job_id IS NULL THEN
        IF abort THEN
            UPDATE procrastinate_jobs
            SET abort_requested = true,
                status = CASE status
                    WHEN 'todo' THEN 'cancelled'::procrastinate_job_status ELSE status
                END
            WHERE id = job_id AND status IN ('todo', 'doing')
            RETURNING id INTO _job_id;
        ELSE
            UPDATE procrastinate_jobs
            SET status = 'cancelled'::procrastinate_job_status
            WHERE id = job_id AND status = 'todo'
            RETURNING id INTO _job_id;
        END IF;
    END IF;
    RETURN _job_id;
END;
$$;

CREATE FUNCTION procrastinate_retry_job_v1(
    job_id bigint,
    retry_at timestamp with time zone,
    new_priority integer,
    new_queue_name character varying,
    new_lock character varying
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    _job_id bigint;
    _abort_requested boolean;
BEGIN
    SELECT abort_requested FROM procrastinate_jobs
    WHERE id = job_id AND status = 'doing'
    FOR UPDATE
    INTO _abort_requested;
    IF _abort_requested THEN
        UPDATE procrastinate_jobs
        SET status = 'failed'::procrastinate_job_status
        WHERE id = job_id AND status = 'doing'
        RETURNING id INTO _job_id;
    ELSE
        UPDATE procrastinate_jobs
        SET status = 'todo'::procrastinate_job_status,
            attempts = attempts + 1,
            scheduled_at = retry_at,
            priority = COALESCE(new_priority, priority),
            queue_name = COALESCE(new_queue_name, queue_name),
            lock = COALESCE(new_lock, lock)
        WHERE id = job_id AND status = 'doing'
        RETURNING id INTO _job_id;
    END IF;

    IF _job_id IS NULL THEN
        RAISE 'Job was not found or not in "doing" status (job id: %)', job_id;
    END IF;
END;
$$;

CREATE FUNCTION procrastinate_retry_job_v2(
    job_id bigint,
    retry_at timestamp with time zone,
    new_priority integer,
    new_queue_name character varying,
    new_lock character varying
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    _job_id bigint;
    _abort_requested boolean;
    _current_status procrastinate_job_status;
BEGIN
    SELECT status, abort_requested FROM procrastinate_jobs
    WHERE id = job_id AND status IN ('doing', 'failed')
    FOR UPDATE
    INTO _current_status, _abort_requested;
    IF _current_status = 'doing' AND _abort_requested THEN
        UPDATE procrastinate_jobs
        SET status = 'failed'::procrastinate_job_status
        WHERE id = job_id AND status = 'doing'
        RETURNING id INTO _job_id;
    ELSE
        UPDATE procrastinate_jobs
        SET status = 'todo'::procrastinate_job_status,
            attempts = attempts + 1,
            scheduled_at = retry_at,
            priority = COALESCE(new_priority, priority),
            queue_name = COALESCE(new_queue_name, queue_name),
            lock = COALESCE(new_lock, lock)
        WHERE id = job_id AND status IN ('doing', 'failed')
        RETURNING id INTO _job_id;
    END IF;

    IF _job_id IS NULL THEN
        RAISE 'Job was not found or has an invalid status to retry (job id: %)', job_id;
    END IF;

END;
$$;

CREATE FUNCTION procrastinate_notify_queue_job_inserted_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    payload TEXT;
BEGIN
    SELECT json_build_object('type', 'job_inserted', 'job_id', NEW.id)::text INTO payload;
	PERFORM pg_notify('procrastinate_queue_v1#' || NEW.queue_name, payload);
	PERFORM pg_notify('procrastinate_any_queue_v1', payload);
	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_notify_queue_abort_job_v1()
RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    payload TEXT;
BEGIN
    SELECT json_build_object('type', 'abort_job_requested', 'job_id', NEW.id)::text INTO payload;
	PERFORM pg_notify('procrastinate_queue_v1#' || NEW.queue_name, payload);
	PERFORM pg_notify('procrastinate_any_queue_v1', payload);
	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_trigger_function_status_events_insert_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO procrastinate_events(job_id, type)
        VALUES (NEW.id, 'deferred'::procrastinate_job_event_type);
	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_trigger_function_status_events_update_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    WITH t AS (
        SELECT CASE
            WHEN OLD.status = 'todo'::procrastinate_job_status
                AND NEW.status = 'doing'::procrastinate_job_status
                THEN 'started'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'todo'::procrastinate_job_status
                THEN 'deferred_for_retry'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'failed'::procrastinate_job_status
                THEN 'failed'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'succeeded'::procrastinate_job_status
                THEN 'succeeded'::procrastinate_job_event_type
            WHEN OLD.status = 'todo'::procrastinate_job_status
                AND (
                    NEW.status = 'cancelled'::procrastinate_job_status
                    OR NEW.status = 'failed'::procrastinate_job_status
                    OR NEW.status = 'succeeded'::procrastinate_job_status
                )
                THEN 'cancelled'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'aborted'::procrastinate_job_status
                THEN 'aborted'::procrastinate_job_event_type
            WHEN OLD.status = 'failed'::procrastinate_job_status
                AND NEW.status = 'todo'::procrastinate_job_status
                THEN 'retried'::procrastinate_job_event_type
            ELSE NULL
        END as event_type
    )
    INSERT INTO procrastinate_events(job_id, type)
        SELECT NEW.id, t.event_type
        FROM t
        WHERE t.event_type IS NOT NULL;
	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_trigger_function_scheduled_events_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO procrastinate_events(job_id, type, at)
        VALUES (NEW.id, 'scheduled'::procrastinate_job_event_type, NEW.scheduled_at);

	RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_trigger_abort_requested_events_procedure_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO procrastinate_events(job_id, type)
        VALUES (NEW.id, 'abort_requested'::procrastinate_job_event_type);
    RETURN NEW;
END;
$$;

CREATE FUNCTION procrastinate_unlink_periodic_defers_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE procrastinate_periodic_defers
    SET job_id = NULL
    WHERE job_id = OLD.id;
    RETURN OLD;
END;
$$;

CREATE FUNCTION procrastinate_register_worker_v1()
    RETURNS TABLE(worker_id bigint)
    LANGUAGE plpgsql
AS $$
BEGIN
    RETURN QUERY
    INSERT INTO procrastinate_workers DEFAULT VALUES
    RETURNING procrastinate_workers.id;
END;
$$;

CREATE FUNCTION procrastinate_unregister_worker_v1(worker_id bigint)
    RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM procrastinate_workers
    WHERE id = worker_id;
END;
$$;

CREATE FUNCTION procrastinate_update_heartbeat_v1(worker_id bigint)
    RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE procrastinate_workers
    SET last_heartbeat = NOW()
    WHERE id = worker_id;
END;
$$;

CREATE FUNCTION procrastinate_prune_stalled_workers_v1(seconds_since_heartbeat float)
    RETURNS TABLE(worker_id bigint)
    LANGUAGE plpgsql
AS $$
BEGIN
    RETURN QUERY
    DELETE FROM procrastinate_workers
    WHERE last_heartbeat < NOW() - (seconds_since_heartbeat || 'SECOND')::INTERVAL
    RETURNING procrastinate_workers.id;
END;
$$;

-- Triggers

CREATE TRIGGER procrastinate_jobs_notify_queue_job_inserted_v1
    AFTER INSERT ON procrastinate_jobs
    FOR EACH ROW WHEN ((new.status = 'todo'::procrastinate_job_status))
    EXECUTE PROCEDURE procrastinate_notify_queue_job_inserted_v1();

CREATE TRIGGER procrastinate_jobs_notify_queue_job_aborted_v1
    AFTER UPDATE OF abort_requested ON procrastinate_jobs
    FOR EACH ROW WHEN ((old.abort_requested = false AND new.abort_requested = true AND new.status = 'doing'::procrastinate_job_status))
    EXECUTE PROCEDURE procrastinate_notify_queue_abort_job_v1();

CREATE TRIGGER procrastinate_trigger_status_events_update_v1
    AFTER UPDATE OF status ON procrastinate_jobs
    FOR EACH ROW
    EXECUTE PROCEDURE procrastinate_trigger_function_status_events_update_v1();

CREATE TRIGGER procrastinate_trigger_status_events_insert_v1
    AFTER INSERT ON procrastinate_jobs
    FOR EACH ROW WHEN ((new.status = 'todo'::procrastinate_job_status))
    EXECUTE PROCEDURE procrastinate_trigger_function_status_events_insert_v1();

CREATE TRIGGER procrastinate_trigger_scheduled_events_v1
    AFTER UPDATE OR INSERT ON procrastinate_jobs
    FOR EACH ROW WHEN ((new.scheduled_at IS NOT NULL AND new.status = 'todo'::procrastinate_job_status))
    EXECUTE PROCEDURE procrastinate_trigger_function_scheduled_events_v1();

CREATE TRIGGER procrastinate_trigger_abort_requested_events_v1
    AFTER UPDATE OF abort_requested ON procrastinate_jobs
    FOR EACH ROW WHEN ((new.abort_requested = true))
    EXECUTE PROCEDURE procrastinate_trigger_abort_requested_events_procedure_v1();

CREATE TRIGGER procrastinate_trigger_delete_jobs_v1
    BEFORE DELETE ON procrastinate_jobs
    FOR EACH ROW EXECUTE PROCEDURE procrastinate_unlink_periodic_defers_v1();


GRANT USAGE ON SCHEMA public TO fondaco_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO fondaco_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO fondaco_app;
REVOKE ALL ON alembic_version FROM fondaco_app;
GRANT SELECT ON alembic_version TO fondaco_app;

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

-- Trigger: core.guard_state('<machine>', '<column>') refuses a state that no edge leads to.
CREATE FUNCTION core.guard_state() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = core, pg_temp AS $$
DECLARE
  old_state text := '';
  new_state text := to_jsonb(NEW) ->> TG_ARGV[1];
BEGIN
  IF TG_OP = 'UPDATE' THEN
    old_state := to_jsonb(OLD) ->> TG_ARGV[1];
    IF old_state = new_state THEN RETURN NEW; END IF;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM core.edge
                 WHERE machine = TG_ARGV[0] AND source = old_state AND target = new_state) THEN
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
REVOKE ALL ON FUNCTION audit.record FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.record TO fondaco_app;
GRANT SELECT ON audit.event, audit.block TO fondaco_app;
GRANT INSERT ON audit.block TO fondaco_app;
GRANT SELECT, INSERT, UPDATE ON audit.place TO fondaco_app;

-- vault: data keys, each wrapped by a key-encryption key that the database never sees.
CREATE SCHEMA vault;
GRANT USAGE ON SCHEMA vault TO fondaco_app;

CREATE TABLE vault.data_key (
  id         uuid PRIMARY KEY,
  purpose    text NOT NULL,            -- 'stock', 'upload', 'totp'; part of what the wrapping binds
  kek        text NOT NULL,            -- name of the key-encryption key that wraps it now
  wrapped    bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  rotated_at timestamptz
);
CREATE INDEX data_key_kek ON vault.data_key (kek);
GRANT SELECT, INSERT, UPDATE ON vault.data_key TO fondaco_app;

-- identity: who signs in, as what.
CREATE SCHEMA identity;
GRANT USAGE ON SCHEMA identity TO fondaco_app;

CREATE TABLE identity.users (
  id                uuid PRIMARY KEY,
  email             text NOT NULL UNIQUE CHECK (email = lower(email) AND length(email) <= 254),
  name              text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
  password_hash     text NOT NULL,
  country           char(2) CHECK (country ~ '^[A-Z]{2}$'),
  email_verified_at timestamptz,
  staff_role        text CHECK (staff_role IN ('support', 'ops', 'finance', 'admin', 'auditor')),
  totp_key          uuid REFERENCES vault.data_key,
  totp_sealed       bytea,
  totp_confirmed_at timestamptz,
  totp_last_step    bigint NOT NULL DEFAULT 0,     -- a code is used once
  banned_at         timestamptz,
  theme             text NOT NULL DEFAULT 'auto' CHECK (theme IN ('auto', 'light', 'dark')),
  created_at        timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE identity.recovery_code (
  user_id   uuid NOT NULL REFERENCES identity.users,
  code_hash bytea NOT NULL,
  used_at   timestamptz,
  PRIMARY KEY (user_id, code_hash)
);

CREATE TABLE identity.sessions (
  token_hash   bytea PRIMARY KEY,
  id           uuid NOT NULL UNIQUE,                -- names the session in lists, opens nothing
  user_id      uuid NOT NULL REFERENCES identity.users,
  seller_id    uuid,                                -- the store this session works in
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz NOT NULL,
  mfa_at       timestamptz,
  ip           text NOT NULL,
  user_agent   text NOT NULL
);
CREATE INDEX sessions_user ON identity.sessions (user_id);
CREATE INDEX sessions_expiry ON identity.sessions (expires_at);

-- Links sent by mail: bound to a purpose and an address, used once.
CREATE TABLE identity.mail_token (
  token_hash bytea PRIMARY KEY,
  purpose    text NOT NULL CHECK (purpose IN ('verify', 'reset')),
  user_id    uuid NOT NULL REFERENCES identity.users,
  email      text NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at    timestamptz
);

-- A user's place in a seller's team; sellers.seller is declared later and referenced from there.
CREATE TABLE identity.membership (
  user_id    uuid NOT NULL REFERENCES identity.users,
  seller_id  uuid NOT NULL,
  role       text NOT NULL CHECK (role IN ('owner', 'manager', 'fulfilment', 'finance', 'read_only')),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, seller_id)
);
CREATE INDEX membership_seller ON identity.membership (seller_id);

CREATE TABLE identity.api_key (
  id           uuid PRIMARY KEY,
  seller_id    uuid NOT NULL,
  name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
  prefix       text NOT NULL,                       -- shown in lists: fk_AbC4...
  key_hash     bytea NOT NULL UNIQUE,
  scopes       text[] NOT NULL,
  created_by   uuid NOT NULL REFERENCES identity.users,
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz,
  last_used_at timestamptz,
  revoked_at   timestamptz
);
CREATE INDEX api_key_seller ON identity.api_key (seller_id);

-- Networks a user has signed in from: strangers' wrong tries elsewhere do not slow the owner down.
CREATE TABLE identity.known_place (
  user_id    uuid NOT NULL REFERENCES identity.users,
  place_hash bytea NOT NULL,                        -- SHA-256 over user and network
  seen_at    timestamptz NOT NULL,
  PRIMARY KEY (user_id, place_hash)
);

-- A list's filter somebody wants to come back to.
CREATE TABLE identity.saved_view (
  id         uuid PRIMARY KEY,
  user_id    uuid NOT NULL REFERENCES identity.users,
  list       text NOT NULL,
  name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
  query      text NOT NULL CHECK (length(query) <= 2000),
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (user_id, list, name)
);

SELECT core.wall('identity.sessions', 'user_id', '');
SELECT core.wall('identity.mail_token', 'user_id', '');
SELECT core.wall('identity.recovery_code', 'user_id', '');
SELECT core.wall('identity.known_place', 'user_id', '');
SELECT core.wall('identity.saved_view', 'user_id', '');
SELECT core.wall('identity.api_key', '', 'seller_id');

GRANT SELECT, INSERT, UPDATE ON identity.users, identity.api_key TO fondaco_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON identity.recovery_code, identity.sessions, identity.mail_token,
  identity.membership, identity.known_place, identity.saved_view TO fondaco_app;

-- Who a session's token stands for, in one trip; no row when it stands for nobody (any more).
-- Being seen is written down every five minutes at most.
CREATE FUNCTION identity.resolve_session(p_hash bytea, p_now timestamptz)
RETURNS TABLE (
  user_id uuid, email text, name text, country text, verified boolean, session_id uuid, mfa boolean,
  mfa_enrolled boolean, staff_role text, seller_id uuid, seller_role text, seller_name text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_temp AS $$
#variable_conflict use_column
DECLARE
  seen timestamptz;
BEGIN
  SELECT s.last_seen_at INTO seen FROM sessions s JOIN users u ON u.id = s.user_id
  WHERE s.token_hash = p_hash AND s.expires_at > p_now AND s.last_seen_at > p_now - interval '24 hours'
    AND u.banned_at IS NULL;
  IF NOT FOUND THEN RETURN; END IF;
  IF seen < p_now - interval '5 minutes' THEN
    UPDATE sessions SET last_seen_at = p_now WHERE token_hash = p_hash AND last_seen_at = seen;
  END IF;
  RETURN QUERY
    SELECT u.id, u.email, u.name, u.country::text, u.email_verified_at IS NOT NULL, s.id,
           s.mfa_at IS NOT NULL, u.totp_confirmed_at IS NOT NULL, u.staff_role, m.seller_id, m.role,
           coalesce(l.name, '')
    FROM sessions s
    JOIN users u ON u.id = s.user_id
    LEFT JOIN membership m ON m.user_id = s.user_id AND m.seller_id = s.seller_id
    LEFT JOIN sellers.seller l ON l.id = m.seller_id
    WHERE s.token_hash = p_hash;
END $$;

-- Which store an API key works for, and what it may do; no row when it is not (or no longer) good.
CREATE FUNCTION identity.resolve_api_key(p_hash bytea, p_now timestamptz)
RETURNS TABLE (api_key_id uuid, seller_id uuid, seller_name text, scopes text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_temp AS $$
#variable_conflict use_column
BEGIN
  UPDATE api_key SET last_used_at = p_now
  WHERE key_hash = p_hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > p_now)
    AND (last_used_at IS NULL OR last_used_at < p_now - interval '5 minutes');
  RETURN QUERY
    SELECT k.id, k.seller_id, l.name, k.scopes
    FROM api_key k
    JOIN sellers.seller l ON l.id = k.seller_id
    JOIN users u ON u.id = k.created_by
    WHERE k.key_hash = p_hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > p_now)
      AND l.state <> 'CLOSED' AND u.banned_at IS NULL;
END $$;
REVOKE ALL ON FUNCTION identity.resolve_session, identity.resolve_api_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.resolve_session, identity.resolve_api_key TO fondaco_app;

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
  xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
  CHECK ((kind = 'reversal') = (reverses IS NOT NULL))
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
CREATE INDEX entry_journal ON ledger.entry (journal_id, account_id);

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
  IF NEW.reverses IS NOT NULL AND EXISTS (
    SELECT 1 FROM ledger.entry WHERE journal_id IN (NEW.id, NEW.reverses)
    GROUP BY account_id HAVING sum(amount) <> 0) THEN
    RAISE EXCEPTION 'journal % is not the mirror of what it reverses', NEW.id
      USING ERRCODE = '23514', CONSTRAINT = 'journal_mirror';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger.journal DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger.check_journal();

-- An entry joins a journal of its own transaction only (nobody adds lines to a closed one), is what its
-- balance row has just become, and moves an account that this kind of journal may move that way.
CREATE FUNCTION ledger.check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  j_kind text;
BEGIN
  SELECT kind INTO j_kind FROM ledger.journal WHERE id = NEW.journal_id AND xid = pg_current_xact_id();
  IF NOT FOUND THEN
    RAISE EXCEPTION 'journal % is closed', NEW.journal_id
      USING ERRCODE = '23514', CONSTRAINT = 'journal_closed';
  END IF;
  IF NOT EXISTS (
    SELECT 1 FROM ledger.posting_rule p JOIN ledger.account a
      ON a.id = NEW.account_id AND a.kind = p.account_kind AND NOT a.frozen
    WHERE p.journal_kind = j_kind AND p.sign = sign(NEW.amount)) THEN
    RAISE EXCEPTION 'a % journal may not move account % that way', j_kind, NEW.account_id
      USING ERRCODE = '42501';
  END IF;
  IF NOT EXISTS (
    SELECT 1 FROM ledger.balance b
    WHERE b.account_id = NEW.account_id AND b.slot = NEW.slot AND b.version = NEW.version
      AND b.amount = NEW.balance_after AND b.chain = NEW.hash) THEN
    RAISE EXCEPTION 'entry % of account % is not what its balance says', NEW.version, NEW.account_id
      USING ERRCODE = '23514', CONSTRAINT = 'entry_is_balance';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER same_transaction BEFORE INSERT ON ledger.entry
  FOR EACH ROW EXECUTE FUNCTION ledger.check_entry();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER same_transaction;

-- A balance row is born empty and moves by one entry at a time.
CREATE FUNCTION ledger.check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.amount <> 0 OR NEW.version <> 0 OR NEW.chain <> '\x' OR NOT EXISTS (
      SELECT 1 FROM ledger.account a JOIN ledger.account_kind k ON k.kind = a.kind
      WHERE a.id = NEW.account_id AND k.side = NEW.side AND k.floor IS NOT DISTINCT FROM NEW.floor
        AND NEW.slot >= 0 AND NEW.slot < a.slots) THEN
      RAISE EXCEPTION 'a balance begins at nothing, as its kind says'
        USING ERRCODE = '23514', CONSTRAINT = 'balance_birth';
    END IF;
  ELSIF (NEW.account_id, NEW.slot, NEW.currency, NEW.side) <> (OLD.account_id, OLD.slot, OLD.currency, OLD.side)
     OR NEW.floor IS DISTINCT FROM OLD.floor OR NEW.version <> OLD.version + 1 THEN
    RAISE EXCEPTION 'a balance moves by one entry at a time'
      USING ERRCODE = '23514', CONSTRAINT = 'balance_by_entry';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER by_entry BEFORE INSERT OR UPDATE ON ledger.balance
  FOR EACH ROW EXECUTE FUNCTION ledger.check_balance();

-- At commit each move of a balance has its entry: same amount, same place, chained to what was there.
CREATE FUNCTION ledger.check_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM ledger.entry e JOIN ledger.journal j ON j.id = e.journal_id
    WHERE e.account_id = NEW.account_id AND e.slot = NEW.slot AND e.version = NEW.version
      AND e.amount * NEW.side = NEW.amount - OLD.amount AND j.xid = pg_current_xact_id()
      AND NEW.chain = sha256(OLD.chain || int8send(NEW.account_id) || int2send(NEW.slot)
        || int8send(NEW.version) || int8send(j.id) || int8send(e.amount) || int8send(NEW.amount)
        || j.fingerprint)) THEN
    RAISE EXCEPTION 'balance of account % moved without its entry', NEW.account_id
      USING ERRCODE = '23514', CONSTRAINT = 'balance_by_entry';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER has_entry AFTER UPDATE ON ledger.balance DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger.check_move();
CREATE TRIGGER never_gone BEFORE DELETE OR TRUNCATE ON ledger.balance
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE ledger.balance ENABLE ALWAYS TRIGGER by_entry;
ALTER TABLE ledger.balance ENABLE ALWAYS TRIGGER has_entry;
ALTER TABLE ledger.balance ENABLE ALWAYS TRIGGER never_gone;
ALTER TABLE ledger.journal ENABLE ALWAYS TRIGGER balanced;

-- An account may be frozen and thawed; what it is never changes.
CREATE FUNCTION ledger.check_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.kind, NEW.owner, NEW.currency, NEW.slots)
     <> (OLD.id, OLD.kind, OLD.owner, OLD.currency, OLD.slots) THEN
    RAISE EXCEPTION 'what an account is never changes'
      USING ERRCODE = '23514', CONSTRAINT = 'account_stays';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER stays BEFORE UPDATE ON ledger.account
  FOR EACH ROW EXECUTE FUNCTION ledger.check_account();
CREATE TRIGGER never_gone BEFORE DELETE OR TRUNCATE ON ledger.account
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE ledger.account ENABLE ALWAYS TRIGGER stays;
ALTER TABLE ledger.account ENABLE ALWAYS TRIGGER never_gone;

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

-- The one verb. One call is one journal; legs on the same account are added up, balance rows are locked in
-- account order. The same key with the same content moves nothing and answers the first journal; with
-- other content it is refused. The fingerprint is over the legs as entered, so it can be recomputed.
CREATE FUNCTION ledger.post(p_kind text, p_idem text, p_ref text, p_actor text,
                            p_accounts bigint[], p_amounts bigint[], p_reverses bigint DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
  j bigint;
  accs bigint[];
  amts bigint[];
  leg_slot smallint;
  b record;
  fp bytea;
  known bytea;
BEGIN
  IF cardinality(p_accounts) IS DISTINCT FROM cardinality(p_amounts)
     OR cardinality(p_accounts) NOT BETWEEN 2 AND 500 THEN
    RAISE EXCEPTION 'a journal has 2 to 500 legs' USING ERRCODE = '22023';
  END IF;
  SELECT array_agg(acc ORDER BY acc), array_agg(amt ORDER BY acc) INTO accs, amts FROM (
    SELECT acc, sum(amt)::bigint AS amt FROM unnest(p_accounts, p_amounts) t(acc, amt)
    GROUP BY acc HAVING sum(amt) <> 0) legs;
  fp := sha256(convert_to(jsonb_build_array(p_kind, p_ref, accs, amts, p_reverses)::text, 'UTF8'));
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
  FOR i IN 1 .. coalesce(cardinality(accs), 0) LOOP
    SELECT (j % a.slots)::smallint INTO leg_slot FROM account a WHERE a.id = accs[i];
    IF leg_slot IS NULL THEN
      RAISE EXCEPTION 'there is no account %', accs[i] USING ERRCODE = '22023';
    END IF;
    UPDATE balance SET
      amount = amount + amts[i] * side,
      version = version + 1,
      chain = sha256(chain || int8send(accs[i]) || int2send(leg_slot) || int8send(version + 1)
                     || int8send(j) || int8send(amts[i]) || int8send(amount + amts[i] * side) || fp)
      WHERE account_id = accs[i] AND slot = leg_slot
      RETURNING amount, version, currency, chain INTO STRICT b;
    INSERT INTO entry (account_id, slot, version, journal_id, currency, amount, balance_after, hash)
      VALUES (accs[i], leg_slot, b.version, j, b.currency, amts[i], b.amount, b.chain);
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

-- sellers: the parties that list, deliver and are paid. The seller is the tenant boundary.
CREATE SCHEMA sellers;
GRANT USAGE ON SCHEMA sellers TO fondaco_app;

CREATE TABLE sellers.seller (
  id             uuid PRIMARY KEY,
  slug           text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) <= 60),
  name           text NOT NULL CHECK (length(name) BETWEEN 2 AND 80),
  about          text NOT NULL DEFAULT '' CHECK (length(about) <= 5000),       -- Markdown
  support_email  text NOT NULL,
  country        char(2) NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  state          text NOT NULL,
  commission_bps int CHECK (commission_bps BETWEEN 0 AND 5000),                -- NULL: the marketplace's
  created_at     timestamptz NOT NULL DEFAULT now(),
  version        int NOT NULL DEFAULT 1
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON sellers.seller
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('seller', 'state');
ALTER TABLE identity.membership ADD FOREIGN KEY (seller_id) REFERENCES sellers.seller;
ALTER TABLE identity.api_key ADD FOREIGN KEY (seller_id) REFERENCES sellers.seller;
ALTER TABLE identity.sessions ADD FOREIGN KEY (seller_id) REFERENCES sellers.seller;
GRANT SELECT, INSERT, UPDATE ON sellers.seller TO fondaco_app;

-- catalog: products (what a thing is), variants of them, and sellers' listings.
CREATE SCHEMA catalog;
GRANT USAGE ON SCHEMA catalog TO fondaco_app;

-- Words as the search compares them: without accents, case and ASCII punctuation. What is written and
-- what is asked go through the same function.
CREATE FUNCTION catalog.search_text(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT regexp_replace(regexp_replace(lower(normalize(p_text, NFKD)), U&'[\0300-\036f]+', '', 'g'),
                        U&'[\0001-\002f\003a-\0040\005b-\0060\007b-\007f]+', ' ', 'g')
$$;

-- A question to the search: every word must be there, the last one may be only begun.
CREATE FUNCTION catalog.search_query(p_text text) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = catalog, pg_catalog, pg_temp AS $$
  SELECT to_tsquery('simple', coalesce(string_agg(
      quote_literal(word) || CASE WHEN place = last THEN ':*' ELSE '' END, ' & ' ORDER BY place), ''))
  FROM (SELECT word, place, max(place) OVER () AS last
        FROM regexp_split_to_table(search_text(p_text), '\s+') WITH ORDINALITY AS t(word, place)
        WHERE word <> '' LIMIT 12) words
$$;
GRANT EXECUTE ON FUNCTION catalog.search_text, catalog.search_query TO fondaco_app;

-- Whether a key of this region can be activated in this country (NULL: unknown). Equal to
-- fondaco.catalog.can_activate; a test compares them.
CREATE FUNCTION catalog.can_activate(p_region text, p_country text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_region = 'GLOBAL' OR coalesce(p_region = p_country OR (p_region = 'EU' AND p_country IN (
    'AT', 'BE', 'BG', 'CY', 'CZ', 'DE', 'DK', 'EE', 'ES', 'FI', 'FR', 'GR', 'HR', 'HU', 'IE', 'IT', 'LT',
    'LU', 'LV', 'MT', 'NL', 'PL', 'PT', 'RO', 'SE', 'SI', 'SK')), false)
$$;
GRANT EXECUTE ON FUNCTION catalog.can_activate TO fondaco_app;

CREATE TABLE catalog.category (
  slug     text PRIMARY KEY,
  name     text NOT NULL,
  position int NOT NULL
);

CREATE TABLE catalog.product (
  id         uuid PRIMARY KEY,
  slug       text NOT NULL UNIQUE,
  title      text NOT NULL CHECK (length(title) BETWEEN 2 AND 140),
  category   text NOT NULL REFERENCES catalog.category,
  created_by uuid NOT NULL REFERENCES sellers.seller,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Platform, region and edition: what a buyer must know before paying.
CREATE TABLE catalog.variant (
  id         uuid PRIMARY KEY,
  product_id uuid NOT NULL REFERENCES catalog.product,
  platform   text NOT NULL,                        -- 'Steam', 'PlayStation', 'Windows', ...
  region     text NOT NULL,                        -- 'GLOBAL', 'EU', 'US', or a country code
  edition    text NOT NULL DEFAULT 'Standard',
  UNIQUE (product_id, platform, region, edition)
);

CREATE TABLE catalog.listing (
  id             uuid PRIMARY KEY,
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  variant_id     uuid NOT NULL REFERENCES catalog.variant,
  kind           text NOT NULL CHECK (kind IN ('stocked_secret')),
  slug           text NOT NULL UNIQUE,
  title          text NOT NULL CHECK (length(title) BETWEEN 2 AND 140),
  summary        text NOT NULL DEFAULT '' CHECK (length(summary) <= 300),
  description    text NOT NULL DEFAULT '' CHECK (length(description) <= 20000),   -- Markdown
  activation     text NOT NULL DEFAULT '' CHECK (length(activation) <= 5000),     -- Markdown: how to redeem
  key_format     text NOT NULL DEFAULT '' CHECK (length(key_format) <= 120),      -- pattern such as AAAAA-AAAAA
  cover          text,                                   -- blob name; NULL: generated from the title
  category       text NOT NULL REFERENCES catalog.category,
  platform       text NOT NULL,                          -- copied from the variant for filtering
  region         text NOT NULL,
  edition        text NOT NULL,
  price          bigint NOT NULL CHECK (price BETWEEN 1 AND 100000000),           -- minor units
  currency       char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  price_version  int NOT NULL DEFAULT 1,
  max_per_order  int NOT NULL DEFAULT 10 CHECK (max_per_order BETWEEN 1 AND 100),
  state          text NOT NULL,
  in_stock       boolean NOT NULL DEFAULT false,         -- moved at the edges: import, last unit sold
  sold           bigint NOT NULL DEFAULT 0,              -- ranks, never pays; rebuilt from orders
  created_at     timestamptz NOT NULL DEFAULT now(),
  published_at   timestamptz,
  version        int NOT NULL DEFAULT 1,
  document       tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('simple', catalog.search_text(title)), 'A') ||
    setweight(to_tsvector('simple', catalog.search_text(platform || ' ' || region || ' ' || edition)), 'B') ||
    setweight(to_tsvector('simple', catalog.search_text(summary)), 'C')) STORED
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON catalog.listing
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('listing', 'state');
CREATE INDEX listing_newest ON catalog.listing (published_at DESC, id DESC) WHERE state = 'PUBLISHED';
CREATE INDEX listing_price ON catalog.listing (price, id) WHERE state = 'PUBLISHED';
CREATE INDEX listing_popular ON catalog.listing (sold DESC, id DESC) WHERE state = 'PUBLISHED';
CREATE INDEX listing_category ON catalog.listing (category, published_at DESC, id DESC) WHERE state = 'PUBLISHED';
CREATE INDEX listing_filter ON catalog.listing (platform, region, category) WHERE state = 'PUBLISHED';
CREATE INDEX listing_seller ON catalog.listing (seller_id, created_at DESC, id DESC);
CREATE INDEX listing_variant ON catalog.listing (variant_id);
CREATE INDEX listing_document ON catalog.listing USING gin (document);
GRANT SELECT ON catalog.category TO fondaco_app;
GRANT SELECT, INSERT ON catalog.product, catalog.variant TO fondaco_app;
GRANT SELECT, INSERT, UPDATE ON catalog.listing TO fondaco_app;

-- The second wall: the public sees what is published, a seller all of its own.
ALTER TABLE catalog.listing ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON catalog.listing FOR SELECT TO fondaco_app USING (
  state = 'PUBLISHED' OR (SELECT core.is_system()) OR seller_id = (SELECT core.viewer_seller()));
CREATE POLICY made ON catalog.listing FOR INSERT TO fondaco_app WITH CHECK (
  (SELECT core.is_system()) OR seller_id = (SELECT core.viewer_seller()));
CREATE POLICY changed ON catalog.listing FOR UPDATE TO fondaco_app USING (
  (SELECT core.is_system()) OR seller_id = (SELECT core.viewer_seller()));

-- What everybody may see, and nothing else. Read as the view's owner: the wall's conditions would keep the
-- search from using its index, so this WHERE clause is the wall here.
CREATE VIEW catalog.on_sale AS
  SELECT l.*, s.slug AS seller_slug, s.name AS seller_name
  FROM catalog.listing l JOIN sellers.seller s ON s.id = l.seller_id
  WHERE l.state = 'PUBLISHED' AND s.state = 'OPEN';
GRANT SELECT ON catalog.on_sale TO fondaco_app;

INSERT INTO catalog.category (slug, name, position) VALUES
  ('games', 'Games', 1), ('gift-cards', 'Gift cards', 2), ('software', 'Software', 3),
  ('subscriptions', 'Subscriptions', 4), ('game-credit', 'Game credit', 5), ('learning', 'Learning', 6);

-- inventory: one row per secret. A unit handed out can never return to stock.
CREATE SCHEMA inventory;
GRANT USAGE ON SCHEMA inventory TO fondaco_app;

CREATE TABLE inventory.stock_batch (
  id              uuid PRIMARY KEY,
  seller_id       uuid NOT NULL REFERENCES sellers.seller,
  listing_id      uuid NOT NULL REFERENCES catalog.listing,
  source          text NOT NULL CHECK (source IN ('paste', 'csv', 'api')),
  state           text NOT NULL,
  upload_key      uuid REFERENCES vault.data_key,
  upload          bytea,                               -- the sealed upload; NULL once imported
  unit_key        uuid REFERENCES vault.data_key,      -- seals this batch's units
  lines           int NOT NULL DEFAULT 0 CHECK (lines >= 0),
  done            int NOT NULL DEFAULT 0,              -- of lines, for the progress bar
  attempts        int NOT NULL DEFAULT 0,              -- how often a worker took it up
  touched_at      timestamptz NOT NULL DEFAULT now(),  -- when a worker last said it is at it
  imported        int NOT NULL DEFAULT 0,
  malformed       int NOT NULL DEFAULT 0,
  repeated        int NOT NULL DEFAULT 0,              -- twice in this upload or already this seller's
  known_elsewhere int NOT NULL DEFAULT 0,              -- already in another seller's stock: a count only
  failure         text,
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  closed_at       timestamptz,
  UNIQUE (id, listing_id, seller_id)
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON inventory.stock_batch
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('stock_batch', 'state');
CREATE INDEX stock_batch_seller ON inventory.stock_batch (seller_id, created_at DESC, id DESC);
CREATE INDEX stock_batch_listing ON inventory.stock_batch (listing_id, created_at DESC, id DESC);
CREATE INDEX stock_batch_open ON inventory.stock_batch (created_at) WHERE state IN ('RECEIVED', 'IMPORTING');

-- What was wrong with single lines. Never the line itself: a mask such as "ABCD•••••".
CREATE TABLE inventory.batch_problem (
  batch_id  uuid NOT NULL REFERENCES inventory.stock_batch,
  seller_id uuid NOT NULL REFERENCES sellers.seller,
  line      int NOT NULL,
  problem   text NOT NULL CHECK (problem IN ('malformed', 'repeated')),
  mask      text NOT NULL,
  PRIMARY KEY (batch_id, line)
);

CREATE TABLE inventory.stock_unit (
  id             uuid PRIMARY KEY,                     -- random (version 4): buyers pick from a random place
  seller_id      uuid NOT NULL,
  listing_id     uuid NOT NULL,
  batch_id       uuid NOT NULL,
  state          text NOT NULL,
  fingerprint    bytea NOT NULL UNIQUE CHECK (length(fingerprint) = 32),
  key_id         uuid NOT NULL REFERENCES vault.data_key,
  sealed         bytea NOT NULL,
  line_id        uuid,                                 -- the order line it is reserved for or sold to
  reserved_until timestamptz,
  -- One check instead of three: a unit is its batch's listing's and seller's.
  FOREIGN KEY (batch_id, listing_id, seller_id) REFERENCES inventory.stock_batch (id, listing_id, seller_id),
  CHECK ((state IN ('RESERVED', 'SOLD', 'CONSUMED')) <= (line_id IS NOT NULL)),
  CHECK ((state = 'RESERVED') = (reserved_until IS NOT NULL))
) WITH (fillfactor = 80);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON inventory.stock_unit
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('stock_unit', 'state');
CREATE INDEX stock_unit_free ON inventory.stock_unit (listing_id, id) WHERE state = 'AVAILABLE';
CREATE INDEX stock_unit_line ON inventory.stock_unit (line_id) WHERE line_id IS NOT NULL;
CREATE INDEX stock_unit_held ON inventory.stock_unit (reserved_until) WHERE state = 'RESERVED';
CREATE INDEX stock_unit_batch ON inventory.stock_unit (batch_id);
CREATE INDEX stock_unit_listing ON inventory.stock_unit (listing_id, state);

GRANT SELECT, INSERT, UPDATE ON inventory.stock_batch TO fondaco_app;
GRANT SELECT, INSERT ON inventory.batch_problem TO fondaco_app;
GRANT SELECT, INSERT, UPDATE ON inventory.stock_unit TO fondaco_app;
SELECT core.wall('inventory.stock_batch', '', 'seller_id');
SELECT core.wall('inventory.batch_problem', '', 'seller_id');
SELECT core.wall('inventory.stock_unit', '', 'seller_id');

-- Takes n free units of a listing for a line, from a random place, passing over locked ones.
-- Answers how many it got; the caller undoes by giving them back when that is too few.
CREATE FUNCTION inventory.take(p_listing uuid, p_line uuid, p_n int, p_state text, p_until timestamptz)
RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
DECLARE
  start uuid := gen_random_uuid();
  ids uuid[];
  rest uuid[];
BEGIN
  SELECT array_agg(id) INTO ids FROM (
    SELECT id FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE' AND id >= start
    ORDER BY id LIMIT p_n FOR UPDATE SKIP LOCKED) t;
  IF coalesce(cardinality(ids), 0) < p_n THEN
    SELECT array_agg(id) INTO rest FROM (
      SELECT id FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE' AND id < start
      ORDER BY id LIMIT p_n - coalesce(cardinality(ids), 0) FOR UPDATE SKIP LOCKED) t;
    ids := coalesce(ids, '{}') || coalesce(rest, '{}');
  END IF;
  IF cardinality(ids) < p_n THEN RETURN cardinality(ids); END IF;
  UPDATE stock_unit SET state = p_state, line_id = p_line, reserved_until = p_until WHERE id = ANY (ids);
  RETURN p_n;
END $$;
REVOKE ALL ON FUNCTION inventory.take FROM PUBLIC;

-- How many free units a listing has, told up to p_most and never beyond ten: for the stock word.
CREATE FUNCTION inventory.left_up_to(p_listing uuid, p_most int) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
  SELECT count(*)::int FROM (SELECT 1 FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE'
                             LIMIT least(p_most, 10)) few
$$;
REVOKE ALL ON FUNCTION inventory.left_up_to FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inventory.left_up_to TO fondaco_app;

-- Sets catalog.listing.in_stock to what is true. Locks the listing first and looks then, so that units
-- that arrive and units that are sold at the same moment cannot leave the wrong word behind.
CREATE FUNCTION inventory.refresh_in_stock(p_listing uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = inventory, pg_temp AS $$
DECLARE
  there boolean;
BEGIN
  PERFORM 1 FROM catalog.listing WHERE id = p_listing FOR NO KEY UPDATE;
  there := EXISTS (SELECT 1 FROM stock_unit WHERE listing_id = p_listing AND state = 'AVAILABLE');
  UPDATE catalog.listing SET in_stock = there WHERE id = p_listing AND in_stock <> there;
  RETURN there;
END $$;
REVOKE ALL ON FUNCTION inventory.refresh_in_stock FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inventory.refresh_in_stock TO fondaco_app;

-- wallets: money entering from outside (fundings) and going back where it came from (refunds).
-- What a wallet holds is the ledger's business: account kind 'wallet', owner 'user:<id>'.
CREATE SCHEMA wallets;
GRANT USAGE ON SCHEMA wallets TO fondaco_app;

CREATE TABLE wallets.funding (
  id           uuid PRIMARY KEY,
  user_id      uuid NOT NULL REFERENCES identity.users,
  purpose      text NOT NULL CHECK (purpose IN ('top_up', 'order')),
  group_id     uuid,                                   -- the order group a card checkout pays
  amount       bigint NOT NULL CHECK (amount > 0),
  currency     char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  lines        jsonb NOT NULL,                         -- what the payment page shows: [{name, quantity, unit_amount}]
  state        text NOT NULL,
  session_id   text UNIQUE,                            -- Stripe Checkout Session
  session_url  text,
  intent_id    text UNIQUE,                            -- Stripe PaymentIntent
  charge_id    text UNIQUE,
  refunded     bigint NOT NULL DEFAULT 0,
  refund_pending bigint NOT NULL DEFAULT 0,
  failure      text,                                   -- in words for the buyer
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz NOT NULL,
  succeeded_at timestamptz,
  called_at    timestamptz,                            -- when the provider was last asked to create it
  checked_at   timestamptz,                            -- when the provider was last asked how it stands
  CHECK ((purpose = 'order') = (group_id IS NOT NULL)),
  CHECK (refunded >= 0 AND refund_pending >= 0 AND refunded + refund_pending <= amount)
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON wallets.funding
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('payment', 'state');
CREATE INDEX funding_user ON wallets.funding (user_id, created_at DESC, id DESC);
CREATE INDEX funding_group ON wallets.funding (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX funding_open ON wallets.funding (created_at) WHERE state IN ('CREATED', 'PROCESSING');

CREATE TABLE wallets.refund (
  id          uuid PRIMARY KEY,
  funding_id  uuid NOT NULL REFERENCES wallets.funding,
  user_id     uuid NOT NULL REFERENCES identity.users,
  amount      bigint NOT NULL CHECK (amount > 0),
  currency    char(3) NOT NULL,
  reason      text NOT NULL,
  state       text NOT NULL,
  provider_id text UNIQUE,                             -- Stripe refund
  attempt     int NOT NULL DEFAULT 0,
  called_at   timestamptz,                             -- when this attempt was last sent
  key_burnt   boolean NOT NULL DEFAULT false,          -- the provider keeps a failure under this attempt's key
  checked_at  timestamptz,                             -- when the provider was last asked how it stands
  failure     text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  done_at     timestamptz
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON wallets.refund
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('refund', 'state');
CREATE INDEX refund_funding ON wallets.refund (funding_id);
CREATE INDEX refund_open ON wallets.refund (created_at)
  WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN', 'PENDING');

GRANT SELECT, INSERT, UPDATE ON wallets.funding, wallets.refund TO fondaco_app;
SELECT core.wall('wallets.funding', 'user_id', '');
SELECT core.wall('wallets.refund', 'user_id', '');

-- delivery: entitlements (the right to a delivered thing) and every reveal of a secret.
CREATE SCHEMA delivery;
GRANT USAGE ON SCHEMA delivery TO fondaco_app;

CREATE TABLE delivery.entitlement (
  id           uuid PRIMARY KEY,
  buyer_id     uuid NOT NULL REFERENCES identity.users,
  seller_id    uuid NOT NULL REFERENCES sellers.seller,
  listing_id   uuid NOT NULL REFERENCES catalog.listing,
  order_id     uuid NOT NULL,
  line_id      uuid NOT NULL,
  unit_id      uuid NOT NULL UNIQUE REFERENCES inventory.stock_unit,   -- one unit, one delivery, for ever
  title        text NOT NULL,
  platform     text NOT NULL,
  region       text NOT NULL,
  delivered_at timestamptz NOT NULL DEFAULT now(),
  revealed_at  timestamptz,
  revoked_at   timestamptz
);
CREATE INDEX entitlement_buyer ON delivery.entitlement (buyer_id, delivered_at DESC, id DESC);
CREATE INDEX entitlement_line ON delivery.entitlement (line_id);

CREATE TABLE delivery.reveal (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  entitlement_id uuid NOT NULL REFERENCES delivery.entitlement,
  user_id        uuid NOT NULL REFERENCES identity.users,
  at             timestamptz NOT NULL DEFAULT clock_timestamp(),
  ip             text NOT NULL,
  user_agent     text NOT NULL
);
CREATE INDEX reveal_entitlement ON delivery.reveal (entitlement_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON delivery.reveal
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE delivery.reveal ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT ON delivery.entitlement TO fondaco_app;
GRANT SELECT ON delivery.reveal TO fondaco_app;
SELECT core.wall('delivery.entitlement', 'buyer_id', 'seller_id');
SELECT core.wall('delivery.reveal', 'user_id', '');

-- The owner asks for the secret: noted first, handed out sealed. No row: not this user's, or revoked.
-- From the first time on the unit is consumed and can never be sold again.
CREATE FUNCTION delivery.reveal_unit(p_entitlement uuid, p_user uuid, p_ip text, p_user_agent text, p_actor text)
RETURNS TABLE (unit_id uuid, key_id uuid, sealed bytea, first_time boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = delivery, pg_temp AS $$
DECLARE
  e entitlement;
BEGIN
  SELECT * INTO e FROM entitlement t
    WHERE t.id = p_entitlement AND t.buyer_id = p_user AND t.revoked_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO reveal (entitlement_id, user_id, ip, user_agent) VALUES (e.id, p_user, p_ip, p_user_agent);
  first_time := e.revealed_at IS NULL;
  IF first_time THEN
    UPDATE entitlement t SET revealed_at = now() WHERE t.id = e.id;
    UPDATE inventory.stock_unit u SET state = 'CONSUMED' WHERE u.id = e.unit_id AND u.state = 'SOLD';
  END IF;
  PERFORM audit.record('secret.revealed', 'entitlement:' || e.id, p_actor, jsonb_build_object(
    'order_id', e.order_id, 'line_id', e.line_id, 'first_time', first_time));
  SELECT u.id, u.key_id, u.sealed INTO STRICT unit_id, key_id, sealed FROM inventory.stock_unit u
    WHERE u.id = e.unit_id;
  RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION delivery.reveal_unit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delivery.reveal_unit TO fondaco_app;

-- orders: carts, order groups (one purchase), orders (one seller's part), order lines.
CREATE SCHEMA orders;
GRANT USAGE ON SCHEMA orders TO fondaco_app;

CREATE TABLE orders.cart (
  id         uuid PRIMARY KEY,
  user_id    uuid UNIQUE REFERENCES identity.users,
  guest_hash bytea UNIQUE,                             -- of the guest's cookie
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK (num_nonnulls(user_id, guest_hash) = 1)
);
CREATE TABLE orders.cart_line (
  cart_id            uuid NOT NULL REFERENCES orders.cart ON DELETE CASCADE,
  listing_id         uuid NOT NULL REFERENCES catalog.listing,
  quantity           int NOT NULL CHECK (quantity BETWEEN 1 AND 100),
  seen_price         bigint NOT NULL,                  -- what the buyer saw when adding
  seen_price_version int NOT NULL,
  added_at           timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cart_id, listing_id)
);

CREATE TABLE orders.order_group (
  id             uuid PRIMARY KEY,
  number         text NOT NULL UNIQUE,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  idem           text NOT NULL CHECK (length(idem) BETWEEN 1 AND 255),   -- the buyer's key for this purchase
  fingerprint    bytea NOT NULL,                       -- of what was asked: the same key with other content is refused
  funding_policy text NOT NULL CHECK (funding_policy IN ('wallet', 'card')),
  total          bigint NOT NULL CHECK (total > 0),
  currency       char(3) NOT NULL,
  from_cart      boolean NOT NULL DEFAULT false,       -- what is paid leaves the buyer's cart
  created_at     timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT order_group_once UNIQUE (buyer_id, idem)
);
CREATE INDEX order_group_buyer ON orders.order_group (buyer_id, created_at DESC, id DESC);
ALTER TABLE wallets.funding ADD FOREIGN KEY (group_id) REFERENCES orders.order_group;

CREATE TABLE orders.orders (
  id           uuid PRIMARY KEY,
  number       text NOT NULL UNIQUE,
  group_id     uuid NOT NULL REFERENCES orders.order_group,
  buyer_id     uuid NOT NULL REFERENCES identity.users,
  seller_id    uuid NOT NULL REFERENCES sellers.seller,
  state        text NOT NULL,
  total        bigint NOT NULL CHECK (total > 0),
  currency     char(3) NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz,                            -- while payment is awaited
  paid_at      timestamptz,
  delivered_at timestamptz,
  completed_at timestamptz,
  closed_because text
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON orders.orders
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('order', 'state');
CREATE INDEX orders_buyer ON orders.orders (buyer_id, created_at DESC, id DESC);
CREATE INDEX orders_seller ON orders.orders (seller_id, created_at DESC, id DESC);
CREATE INDEX orders_newest ON orders.orders (created_at DESC, id DESC);
CREATE INDEX orders_group ON orders.orders (group_id);
CREATE INDEX orders_waiting ON orders.orders (expires_at) WHERE state = 'PENDING_PAYMENT';

CREATE TABLE orders.order_line (
  id             uuid PRIMARY KEY,
  order_id       uuid NOT NULL REFERENCES orders.orders,
  buyer_id       uuid NOT NULL REFERENCES identity.users,
  seller_id      uuid NOT NULL REFERENCES sellers.seller,
  listing_id     uuid NOT NULL REFERENCES catalog.listing,
  quantity       int NOT NULL CHECK (quantity BETWEEN 1 AND 100),
  unit_price     bigint NOT NULL CHECK (unit_price > 0),
  total          bigint NOT NULL,
  tax            bigint NOT NULL DEFAULT 0 CHECK (tax >= 0),
  commission     bigint NOT NULL CHECK (commission >= 0),
  currency       char(3) NOT NULL,
  refunded       bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
  terms          jsonb NOT NULL,                       -- frozen: title, platform, region, policies and versions
  delivery_state text NOT NULL,
  escrow_state   text NOT NULL,
  release_at     timestamptz,
  delivered_at   timestamptz,
  released_at    timestamptz,
  matures_at     timestamptz,                          -- when the seller may dispose of it
  matured_at     timestamptz,
  CHECK (total = unit_price * quantity),
  CHECK (commission + tax <= total AND refunded <= total)
);
CREATE TRIGGER delivery_machine BEFORE INSERT OR UPDATE OF delivery_state ON orders.order_line
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('line_delivery', 'delivery_state');
CREATE TRIGGER escrow_machine BEFORE INSERT OR UPDATE OF escrow_state ON orders.order_line
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('escrow', 'escrow_state');
CREATE INDEX order_line_order ON orders.order_line (order_id);
CREATE INDEX order_line_listing ON orders.order_line (listing_id);
CREATE INDEX order_line_due ON orders.order_line (release_at) WHERE escrow_state = 'HELD';
CREATE INDEX order_line_maturing ON orders.order_line (matures_at) WHERE escrow_state = 'RELEASED' AND matured_at IS NULL;
CREATE INDEX order_line_sales ON orders.order_line (seller_id, delivered_at) WHERE delivered_at IS NOT NULL;
CREATE INDEX order_line_lately ON orders.order_line USING brin (delivered_at);
-- Deferred: units are taken first, and the rows of a purchase are written only once it has them.
ALTER TABLE inventory.stock_unit ADD FOREIGN KEY (line_id) REFERENCES orders.order_line
  DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE delivery.entitlement ADD FOREIGN KEY (order_id) REFERENCES orders.orders;
ALTER TABLE delivery.entitlement ADD FOREIGN KEY (line_id) REFERENCES orders.order_line;

GRANT SELECT, INSERT, UPDATE, DELETE ON orders.cart, orders.cart_line TO fondaco_app;
GRANT SELECT ON orders.order_group, orders.orders, orders.order_line TO fondaco_app;
SELECT core.wall('orders.order_group', 'buyer_id', '');
SELECT core.wall('orders.orders', 'buyer_id', 'seller_id');
SELECT core.wall('orders.order_line', 'buyer_id', 'seller_id');

-- ---------------------------------------------------------------------------------------------------
-- Buying. One call takes an array of purchases and answers one row each, in order of arrival. A purchase
-- is a JSON object:
--   buyer, country (or null), idem, fingerprint (hex), actor, group, number, currency, from_cart,
--   bps, protection_days, maturity_days: the marketplace's terms at this moment,
--   until: for a card checkout, how long the stock is held,
--   orders: one {id, number} for each seller there may be,
--   lines:  {id, listing, quantity, price and/or price_version as the buyer saw them}.
-- ---------------------------------------------------------------------------------------------------
CREATE TYPE orders.verdict AS (verdict text, group_id uuid, data jsonb);

-- One listing of a purchase: what is asked, what the catalogue says now, and why it cannot be ('': it can).
CREATE TYPE orders.wanted AS (
  line_id uuid, listing_id uuid, quantity int, seller_id uuid, price bigint, commission bigint,
  title text, fault text, facts jsonb, terms jsonb);

-- Whether a key of this region works in that country. What is not known is not refused.
CREATE FUNCTION orders.region_fits(p_region text, p_country text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN p_country IS NULL OR p_region = p_country THEN true
    WHEN p_region = 'EU' THEN p_country = ANY (ARRAY['AT', 'BE', 'BG', 'CY', 'CZ', 'DE', 'DK', 'EE', 'ES',
      'FI', 'FR', 'GR', 'HR', 'HU', 'IE', 'IT', 'LT', 'LU', 'LV', 'MT', 'NL', 'PL', 'PT', 'RO', 'SE', 'SI',
      'SK'])
    ELSE p_region !~ '^[A-Z]{2}$'
  END
$$;

-- The lines of a purchase, one per listing (a listing named twice is added up), in order of the listings.
CREATE FUNCTION orders.look(p jsonb, p_pay text) RETURNS orders.wanted[]
LANGUAGE sql SET search_path = orders, pg_temp AS $$
  SELECT array_agg(ROW(
      w.line_id, w.listing_id, w.quantity, l.seller_id, l.price,
      l.price * w.quantity * coalesce(s.commission_bps, (p->>'bps')::int) / 10000, l.title,
      CASE
        WHEN l.state IS DISTINCT FROM 'PUBLISHED' OR s.state <> 'OPEN' THEN 'unavailable'
        WHEN EXISTS (SELECT 1 FROM identity.membership m
                     WHERE m.user_id = (p->>'buyer')::uuid AND m.seller_id = l.seller_id) THEN 'own_goods'
        WHEN NOT region_fits(l.region, p->>'country') THEN 'region'
        WHEN w.quantity > l.max_per_order THEN 'too_many'
        WHEN w.low_price <> l.price OR w.high_price <> l.price
          OR w.low_price IS NULL AND w.price_version IS DISTINCT FROM l.price_version THEN 'price_changed'
        WHEN l.currency::text <> p->>'currency' THEN 'currency'
        ELSE ''
      END,
      jsonb_build_object('listing_id', w.listing_id, 'title', l.title, 'price', l.price,
        'price_version', l.price_version, 'currency', l.currency, 'seen_price', w.low_price,
        'quantity', w.quantity, 'max_per_order', l.max_per_order, 'region', l.region),
      jsonb_build_object('title', l.title, 'slug', l.slug, 'platform', l.platform, 'region', l.region,
        'edition', l.edition, 'activation', l.activation, 'seller', s.name, 'seller_slug', s.slug,
        'price_version', l.price_version, 'listing_version', l.version,
        'commission_bps', coalesce(s.commission_bps, (p->>'bps')::int), 'funding', p_pay,
        'protection_days', (p->>'protection_days')::int, 'maturity_days', (p->>'maturity_days')::int)
    )::wanted ORDER BY w.listing_id)
  FROM (
    SELECT (x->>'listing')::uuid AS listing_id, (array_agg((x->>'id')::uuid))[1] AS line_id,
           sum((x->>'quantity')::int)::int AS quantity, min((x->>'price')::bigint) AS low_price,
           max((x->>'price')::bigint) AS high_price, max((x->>'price_version')::int) AS price_version
    FROM jsonb_array_elements(p->'lines') x GROUP BY 1
  ) w
  LEFT JOIN catalog.listing l ON l.id = w.listing_id
  LEFT JOIN sellers.seller s ON s.id = l.seller_id
$$;

-- Takes the units of several lines, all or none; answers NULL or what was short: [{listing_id, left}].
CREATE FUNCTION orders.take_all(p_listings uuid[], p_lines uuid[], p_quantities int[], p_state text,
                                p_until timestamptz) RETURNS jsonb
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  short jsonb := '[]';
  got int;
BEGIN
  FOR i IN 1 .. cardinality(p_listings) LOOP
    got := inventory.take(p_listings[i], p_lines[i], p_quantities[i], p_state, p_until);
    IF got < p_quantities[i] THEN
      short := short || jsonb_build_object('listing_id', p_listings[i], 'left', got);
    END IF;
  END LOOP;
  IF short <> '[]' THEN
    RAISE EXCEPTION USING ERRCODE = 'FD001';  -- undoes what the other lines took
  END IF;
  RETURN NULL;
EXCEPTION WHEN SQLSTATE 'FD001' THEN
  RETURN short;
END $$;

-- The rows of a purchase whose units are taken: paid from the wallet, or waiting for a card.
CREATE FUNCTION orders.write_down(p jsonb, p_pay text, p_wanted orders.wanted[], p_total bigint) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  paid boolean := p_pay = 'wallet';
  buyer uuid := p->>'buyer';
  money char(3) := p->>'currency';
  sellers uuid[] := ARRAY(SELECT DISTINCT w.seller_id FROM unnest(p_wanted) w ORDER BY 1);
  moment timestamptz := CASE WHEN paid THEN now() END;
BEGIN
  INSERT INTO order_group (id, number, buyer_id, idem, fingerprint, funding_policy, total, currency, from_cart)
    VALUES ((p->>'group')::uuid, p->>'number', buyer, p->>'idem', decode(p->>'fingerprint', 'hex'), p_pay,
            p_total, money, coalesce((p->>'from_cart')::boolean, false));
  INSERT INTO orders (id, number, group_id, buyer_id, seller_id, state, total, currency, expires_at, paid_at,
                      delivered_at)
    SELECT (p->'orders'->(array_position(sellers, w.seller_id) - 1)->>'id')::uuid,
           p->'orders'->(array_position(sellers, w.seller_id) - 1)->>'number',
           (p->>'group')::uuid, buyer, w.seller_id, CASE WHEN paid THEN 'DELIVERED' ELSE 'PENDING_PAYMENT' END,
           sum(w.price * w.quantity), money, (p->>'until')::timestamptz, moment, moment
    FROM unnest(p_wanted) w GROUP BY w.seller_id;
  INSERT INTO order_line (id, order_id, buyer_id, seller_id, listing_id, quantity, unit_price, total,
                          commission, currency, terms, delivery_state, escrow_state, release_at, delivered_at)
    SELECT w.line_id, (p->'orders'->(array_position(sellers, w.seller_id) - 1)->>'id')::uuid, buyer,
           w.seller_id, w.listing_id, w.quantity, w.price, w.price * w.quantity, w.commission, money, w.terms,
           CASE WHEN paid THEN 'DELIVERED' ELSE 'RESERVED' END, CASE WHEN paid THEN 'HELD' ELSE 'EMPTY' END,
           moment + make_interval(days => (p->>'protection_days')::int), moment
    FROM unnest(p_wanted) w;
END $$;

-- The rest of a paid and delivered group: entitlements, events, the buyer's cart, and the journals last.
CREATE FUNCTION orders.hand_over(p_group uuid, p_funding text, p_actor text) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  g order_group;
  granted int;
  wallet bigint;
  l record;
BEGIN
  SELECT * INTO STRICT g FROM order_group WHERE id = p_group;
  INSERT INTO delivery.entitlement (id, buyer_id, seller_id, listing_id, order_id, line_id, unit_id, title,
                                    platform, region)
    SELECT gen_random_uuid(), i.buyer_id, i.seller_id, i.listing_id, i.order_id, i.id, u.id,
           i.terms->>'title', i.terms->>'platform', i.terms->>'region'
    FROM orders o JOIN order_line i ON i.order_id = o.id JOIN inventory.stock_unit u ON u.line_id = i.id
    WHERE o.group_id = p_group AND u.state = 'SOLD';
  GET DIAGNOSTICS granted = ROW_COUNT;
  IF granted <> (SELECT sum(i.quantity) FROM orders o JOIN order_line i ON i.order_id = o.id
                 WHERE o.group_id = p_group) THEN
    RAISE EXCEPTION 'group % would deliver % units', p_group, granted USING ERRCODE = '23514';
  END IF;
  PERFORM audit.record('order.delivered', 'order:' || o.id, p_actor, jsonb_build_object('group_id', p_group,
            'buyer_id', o.buyer_id, 'seller_id', o.seller_id, 'funding', p_funding))
    FROM orders o WHERE o.group_id = p_group ORDER BY o.id;
  IF g.from_cart THEN
    DELETE FROM cart_line c USING cart k, orders o, order_line i
      WHERE k.user_id = g.buyer_id AND c.cart_id = k.id AND o.group_id = p_group AND i.order_id = o.id
        AND c.listing_id = i.listing_id AND c.added_at <= g.created_at;
  END IF;
  wallet := ledger.open_account('wallet', 'user:' || g.buyer_id, g.currency);
  FOR l IN SELECT i.id, i.order_id, i.total FROM orders o JOIN order_line i ON i.order_id = o.id
           WHERE o.group_id = p_group ORDER BY i.id LOOP
    PERFORM ledger.post('purchase', 'buy:' || l.id, 'order:' || l.order_id, p_actor,
      ARRAY[wallet, ledger.open_account('escrow', 'line:' || l.id, g.currency)], ARRAY[l.total, -l.total]);
  END LOOP;
END $$;

-- Decides one purchase before writing anything, then writes all of it or nothing.
CREATE FUNCTION orders.buy_one(p jsonb, p_pay text) RETURNS orders.verdict
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  known record;
  lines wanted[];
  fault text;
  total bigint;
  holds bigint;
  short jsonb;
BEGIN
  SELECT g.id, encode(g.fingerprint, 'hex') AS fingerprint INTO known FROM order_group g
    WHERE g.buyer_id = (p->>'buyer')::uuid AND g.idem = p->>'idem';
  IF FOUND THEN
    RETURN (CASE WHEN known.fingerprint = p->>'fingerprint' THEN 'same_again' ELSE 'key_reused' END,
            known.id, '{}')::verdict;
  END IF;
  lines := look(p, p_pay);
  SELECT w.fault INTO fault FROM unnest(lines) w WHERE w.fault <> '' ORDER BY array_position(
    ARRAY['unavailable', 'own_goods', 'region', 'too_many', 'currency', 'price_changed'], w.fault) LIMIT 1;
  IF FOUND THEN
    RETURN (fault, NULL, (SELECT jsonb_build_object('lines', jsonb_agg(
      CASE WHEN w.fault = 'unavailable' THEN jsonb_build_object('listing_id', w.listing_id) ELSE w.facts END
        || jsonb_build_object('fault', w.fault) ORDER BY w.listing_id))
      FROM unnest(lines) w WHERE w.fault <> ''))::verdict;
  END IF;
  SELECT sum(w.price * w.quantity) INTO total FROM unnest(lines) w;
  IF p_pay = 'wallet' THEN
    SELECT b.amount INTO holds FROM ledger.balance b WHERE b.account_id = (
      SELECT a.id FROM ledger.account a WHERE a.kind = 'wallet' AND a.owner = 'user:' || (p->>'buyer')
        AND a.currency = (p->>'currency')::char(3)) FOR UPDATE;
    IF coalesce(holds, 0) < total THEN
      RETURN ('insufficient_funds', NULL, jsonb_build_object('balance', coalesce(holds, 0), 'total', total,
              'currency', p->>'currency'))::verdict;
    END IF;
  END IF;
  SELECT take_all(array_agg(w.listing_id), array_agg(w.line_id), array_agg(w.quantity),
                  CASE p_pay WHEN 'wallet' THEN 'SOLD' ELSE 'RESERVED' END, (p->>'until')::timestamptz)
    INTO short FROM unnest(lines) w;
  IF short IS NOT NULL THEN
    RETURN ('sold_out', NULL, (SELECT jsonb_build_object('lines', jsonb_agg(
      w.facts || s || '{"fault": "sold_out"}')) FROM jsonb_array_elements(short) s
      JOIN unnest(lines) w ON w.listing_id = (s->>'listing_id')::uuid))::verdict;
  END IF;
  PERFORM write_down(p, p_pay, lines, total);
  IF p_pay = 'wallet' THEN
    PERFORM hand_over((p->>'group')::uuid, 'wallet', p->>'actor');
  END IF;
  RETURN ('bought', (p->>'group')::uuid, jsonb_build_object('total', total))::verdict;
END $$;

-- Listings whose last free unit is gone are shown as sold out; units others are just taking count as gone.
-- Never waits: a job repairs what this gets wrong.
CREATE FUNCTION orders.note_empty(p_listings uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = orders, pg_temp AS $$
DECLARE
  low uuid[];
  empty uuid[] := '{}';
  one uuid;
BEGIN
  SELECT array_agg(l.id ORDER BY l.id) INTO low FROM catalog.listing l WHERE l.id = ANY (p_listings) AND l.in_stock
    AND (SELECT count(*) FROM (SELECT 1 FROM inventory.stock_unit u
           WHERE u.listing_id = l.id AND u.state = 'AVAILABLE' LIMIT 64) t) < 64;
  IF low IS NULL THEN RETURN; END IF;
  FOR one IN SELECT id FROM catalog.listing WHERE id = ANY (low) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED LOOP
    PERFORM 1 FROM inventory.stock_unit u WHERE u.listing_id = one AND u.state = 'AVAILABLE'
      LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
      empty := empty || one;
    END IF;
  END LOOP;
  UPDATE catalog.listing SET in_stock = false WHERE id = ANY (empty);
END $$;

-- Purchases paid from the wallet. Wallets are locked first, in order; stock is never waited for.
CREATE FUNCTION orders.buy(p_batch jsonb) RETURNS TABLE (n int, verdict text, group_id uuid, data jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  p jsonb;
  v verdict;
  wallets bigint[] := ARRAY(
    SELECT (SELECT a.id FROM ledger.account a WHERE a.kind = 'wallet' AND a.owner = 'user:' || (x->>'buyer')
              AND a.currency = (x->>'currency')::char(3))
    FROM jsonb_array_elements(p_batch) x);
  touched uuid[] := '{}';
BEGIN
  PERFORM 1 FROM ledger.balance b WHERE b.account_id = ANY (wallets) ORDER BY b.account_id FOR UPDATE;
  n := 0;
  FOR p IN SELECT jsonb_array_elements(p_batch) LOOP
    v := buy_one(p, 'wallet');
    IF v.verdict IN ('bought', 'sold_out') THEN
      touched := touched || ARRAY(SELECT (x->>'listing')::uuid FROM jsonb_array_elements(p->'lines') x);
    END IF;
    verdict := v.verdict; group_id := v.group_id; data := v.data;
    RETURN NEXT;
    n := n + 1;
  END LOOP;
  PERFORM note_empty(touched);
END $$;

-- A purchase that waits for a card: its units are reserved, no money moves yet.
CREATE FUNCTION orders.place(p jsonb) RETURNS orders.verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  v verdict;
BEGIN
  v := buy_one(p, 'card');
  IF v.verdict = 'bought' THEN
    PERFORM audit.record('order.placed', 'order:' || o.id, p->>'actor', jsonb_build_object('group_id', v.group_id,
              'buyer_id', o.buyer_id, 'seller_id', o.seller_id))
      FROM orders o WHERE o.group_id = v.group_id ORDER BY o.id;
  END IF;
  IF v.verdict IN ('bought', 'sold_out') THEN
    PERFORM note_empty(ARRAY(SELECT (x->>'listing')::uuid FROM jsonb_array_elements(p->'lines') x));
  END IF;
  RETURN v;
END $$;

-- The money of a card checkout is in the buyer's wallet (in this same transaction): pay and deliver.
-- Answers delivered, already, cancelled, or sold_out (expired meanwhile, and the units are gone).
CREATE FUNCTION orders.pay_group(p_group uuid, p_funding uuid, p_actor text DEFAULT 'stripe') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  g order_group;
  is_now text;
  lines record;
BEGIN
  SELECT * INTO STRICT g FROM order_group WHERE id = p_group FOR NO KEY UPDATE;
  PERFORM 1 FROM wallets.funding f WHERE f.id = p_funding AND f.group_id = p_group
    AND f.user_id = g.buyer_id AND f.amount = g.total AND f.currency = g.currency;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'funding % does not pay for group %', p_funding, p_group USING ERRCODE = '22023';
  END IF;
  SELECT min(o.state) INTO is_now FROM orders o WHERE o.group_id = p_group;
  IF is_now = 'CANCELLED' THEN RETURN 'cancelled'; END IF;
  IF is_now NOT IN ('PENDING_PAYMENT', 'EXPIRED') THEN RETURN 'already'; END IF;
  SELECT array_agg(i.listing_id ORDER BY i.listing_id) AS listings, array_agg(i.id ORDER BY i.listing_id) AS ids,
         array_agg(i.quantity ORDER BY i.listing_id) AS quantities
    INTO lines FROM orders o JOIN order_line i ON i.order_id = o.id WHERE o.group_id = p_group;
  IF is_now = 'EXPIRED' THEN
    IF take_all(lines.listings, lines.ids, lines.quantities, 'SOLD', NULL) IS NOT NULL THEN
      RETURN 'sold_out';
    END IF;
  ELSE
    UPDATE inventory.stock_unit u SET state = 'SOLD', reserved_until = NULL
      WHERE u.line_id = ANY (lines.ids) AND u.state = 'RESERVED';
  END IF;
  UPDATE order_line i SET delivery_state = 'DELIVERED', escrow_state = 'HELD', delivered_at = now(),
      release_at = now() + make_interval(days => (i.terms->>'protection_days')::int)
    WHERE i.id = ANY (lines.ids);
  UPDATE orders o SET state = 'DELIVERED', paid_at = now(), delivered_at = now(), expires_at = NULL,
      closed_because = NULL
    WHERE o.group_id = p_group;
  PERFORM note_empty(lines.listings);
  PERFORM hand_over(p_group, 'card', p_actor);
  RETURN 'delivered';
END $$;

-- Gives up a group that awaits its payment: EXPIRED (its time is over and no payment is under way) or
-- CANCELLED. Units go back to stock. Answers done, not_waiting, not_yet, under_way (looked at again in a
-- while; the reservation is kept until then) or paid.
CREATE FUNCTION orders.give_up(p_group uuid, p_state text, p_because text, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  due timestamptz;
  debit boolean;  -- a bank debit is under way; it may take days
  back uuid[];
BEGIN
  PERFORM 1 FROM order_group WHERE id = p_group FOR NO KEY UPDATE;
  SELECT max(o.expires_at) INTO due FROM orders o WHERE o.group_id = p_group AND o.state = 'PENDING_PAYMENT';
  IF due IS NULL THEN RETURN 'not_waiting'; END IF;
  IF EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
             AND f.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED', 'REFUNDED')) THEN RETURN 'paid'; END IF;
  debit := EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
                   AND f.state = 'PROCESSING' AND f.intent_id IS NOT NULL);
  IF p_state = 'CANCELLED' AND debit THEN RETURN 'under_way'; END IF;
  IF p_state = 'EXPIRED' THEN
    IF due > now() THEN RETURN 'not_yet'; END IF;
    IF EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = p_group
               AND f.state IN ('CREATED', 'PROCESSING')) THEN
      due := now() + CASE WHEN debit THEN interval '30 minutes' ELSE interval '1 minute' END;
      UPDATE orders o SET expires_at = due WHERE o.group_id = p_group;
      UPDATE inventory.stock_unit u SET reserved_until = due
        FROM orders o JOIN order_line i ON i.order_id = o.id
        WHERE o.group_id = p_group AND u.line_id = i.id AND u.state = 'RESERVED';
      RETURN 'under_way';
    END IF;
  END IF;
  WITH freed AS (
    UPDATE inventory.stock_unit u SET state = 'AVAILABLE', line_id = NULL, reserved_until = NULL
    FROM orders o JOIN order_line i ON i.order_id = o.id
    WHERE o.group_id = p_group AND u.line_id = i.id AND u.state = 'RESERVED' RETURNING u.listing_id)
  SELECT array_agg(DISTINCT listing_id) INTO back FROM freed;
  PERFORM 1 FROM catalog.listing l WHERE l.id = ANY (back) AND NOT l.in_stock ORDER BY l.id FOR NO KEY UPDATE;
  UPDATE catalog.listing l SET in_stock = true WHERE l.id = ANY (back) AND NOT l.in_stock;
  UPDATE order_line i SET delivery_state = 'CANCELLED'
    FROM orders o WHERE o.group_id = p_group AND i.order_id = o.id;
  UPDATE orders o SET state = p_state, closed_because = p_because, expires_at = NULL
    WHERE o.group_id = p_group;
  PERFORM audit.record(CASE p_state WHEN 'EXPIRED' THEN 'order.expired' ELSE 'order.cancelled' END,
            'order:' || o.id, p_actor, jsonb_build_object('group_id', p_group, 'buyer_id', o.buyer_id,
            'seller_id', o.seller_id, 'because', p_because))
    FROM orders o WHERE o.group_id = p_group ORDER BY o.id;
  RETURN 'done';
END $$;

-- Protection ends: a held line's money goes to the seller (pending) and the marketplace (commission).
-- One release at a time in the whole database, so that no two wait for each other's accounts.
CREATE FUNCTION orders.release(p_lines uuid[], p_actor text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  l order_line;
  accounts bigint[];
  amounts bigint[];
  released int := 0;
  completed int;
  touched uuid[] := '{}';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('orders.release'));
  FOR l IN SELECT * FROM order_line WHERE id = ANY (p_lines) AND escrow_state = 'HELD'
           ORDER BY seller_id, id FOR UPDATE LOOP
    UPDATE order_line SET escrow_state = 'RELEASED', released_at = now(),
        matures_at = now() + make_interval(days => (l.terms->>'maturity_days')::int) WHERE id = l.id;
    accounts := ARRAY[ledger.open_account('escrow', 'line:' || l.id, l.currency),
                      ledger.open_account('seller_pending', 'seller:' || l.seller_id, l.currency),
                      ledger.open_account('commission', 'platform', l.currency)];
    amounts := ARRAY[l.total, -(l.total - l.commission - l.tax), -l.commission];
    IF l.tax > 0 THEN
      accounts := accounts || ledger.open_account('tax_payable', 'platform', l.currency);
      amounts := amounts || -l.tax;
    END IF;
    PERFORM ledger.post('release', 'release:' || l.id, 'order:' || l.order_id, p_actor, accounts, amounts);
    PERFORM audit.record('line.released', 'order:' || l.order_id, p_actor, jsonb_build_object('line_id', l.id,
              'buyer_id', l.buyer_id, 'seller_id', l.seller_id));
    released := released + 1;
    touched := touched || l.order_id;
  END LOOP;
  WITH done AS (
    UPDATE orders o SET state = 'COMPLETED', completed_at = now() WHERE o.id = ANY (touched)
      AND o.state = 'DELIVERED' AND NOT EXISTS (
        SELECT 1 FROM order_line i WHERE i.order_id = o.id AND i.escrow_state NOT IN ('RELEASED', 'REFUNDED'))
    RETURNING o.*)
  SELECT count(audit.record('order.completed', 'order:' || id, p_actor,
           jsonb_build_object('group_id', group_id, 'buyer_id', buyer_id, 'seller_id', seller_id)))
    INTO completed FROM done;
  RETURN released;
END $$;

-- The release clock: at most p_limit lines whose protection is over.
CREATE FUNCTION orders.release_due(p_limit int) RETURNS int
LANGUAGE sql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
  SELECT release(ARRAY(
    SELECT id FROM order_line WHERE escrow_state = 'HELD' AND release_at <= now()
    ORDER BY release_at LIMIT p_limit), 'system')
$$;

-- Maturity: released money becomes payable. One journal per seller and currency for up to p_limit lines.
CREATE FUNCTION orders.mature_due(p_limit int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = orders, pg_temp AS $$
DECLARE
  s record;
  lines int := 0;
BEGIN
  FOR s IN
    SELECT d.seller_id, d.currency, array_agg(d.id ORDER BY d.id) AS ids,
           sum(d.total - d.refunded - d.commission - d.tax)::bigint AS net
    FROM (SELECT * FROM order_line WHERE escrow_state = 'RELEASED' AND matured_at IS NULL AND matures_at <= now()
          ORDER BY matures_at LIMIT p_limit FOR UPDATE SKIP LOCKED) d
    GROUP BY d.seller_id, d.currency ORDER BY d.seller_id, d.currency
  LOOP
    UPDATE order_line SET matured_at = now() WHERE id = ANY (s.ids);
    PERFORM audit.record('line.matured', 'order:' || i.order_id, 'system', jsonb_build_object('line_id', i.id,
              'seller_id', i.seller_id)) FROM order_line i WHERE i.id = ANY (s.ids) ORDER BY i.id;
    PERFORM ledger.post('mature', 'mature:' || s.seller_id || ':' || s.ids[1], 'seller:' || s.seller_id, 'system',
      ARRAY[ledger.open_account('seller_pending', 'seller:' || s.seller_id, s.currency),
            ledger.open_account('seller_available', 'seller:' || s.seller_id, s.currency)],
      ARRAY[s.net, -s.net]);
    lines := lines + cardinality(s.ids);
  END LOOP;
  RETURN lines;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA orders FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orders.buy, orders.place, orders.pay_group, orders.give_up, orders.release,
  orders.release_due, orders.mature_due, orders.region_fits TO fondaco_app;

-- notifications: mails as rows, written with the event that causes them, sent afterwards.
CREATE SCHEMA notifications;
GRANT USAGE ON SCHEMA notifications TO fondaco_app;

CREATE TABLE notifications.mail (
  id               uuid PRIMARY KEY,
  key              text NOT NULL UNIQUE,               -- one mail per cause: 'receipt:<order>'
  template         text NOT NULL,
  template_version int NOT NULL,
  user_id          uuid REFERENCES identity.users,
  ref              text NOT NULL,                      -- 'order:<uuid>', for the timeline
  recipient        text NOT NULL,
  subject          text NOT NULL,
  html             text NOT NULL,                      -- a link that opens something is only a mark in here
  plain            text NOT NULL,
  link_key         uuid REFERENCES vault.data_key,     -- the link itself, sealed until the mail is sent
  link_sealed      bytea,
  state            text NOT NULL,
  attempts         int NOT NULL DEFAULT 0,
  next_at          timestamptz NOT NULL DEFAULT now(), -- due, or the end of a sender's lease
  failure          text,
  created_at       timestamptz NOT NULL DEFAULT now(),
  sent_at          timestamptz,
  CHECK ((link_key IS NULL) = (link_sealed IS NULL))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON notifications.mail
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('mail', 'state');
CREATE INDEX mail_due ON notifications.mail (next_at) WHERE state IN ('QUEUED', 'FAILED');
CREATE INDEX mail_link ON notifications.mail (created_at) WHERE link_key IS NOT NULL;
CREATE INDEX mail_ref ON notifications.mail (ref);
CREATE INDEX mail_newest ON notifications.mail (created_at DESC, id DESC);
CREATE INDEX mail_recipient ON notifications.mail (recipient, created_at DESC);
GRANT SELECT, INSERT, UPDATE ON notifications.mail TO fondaco_app;
SELECT core.wall('notifications.mail', 'user_id', '');

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
  seen_to  timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON inbox.event, inbox.refusal, inbox.backfill TO fondaco_app;

-- State machines
INSERT INTO core.edge (machine, source, target) VALUES
  ('escrow', '', 'EMPTY'),
  ('escrow', '', 'HELD'),
  ('escrow', 'EMPTY', 'HELD'),
  ('escrow', 'HELD', 'REFUNDED'),
  ('escrow', 'HELD', 'RELEASED'),
  ('inbox_event', '', 'RECEIVED'),
  ('inbox_event', 'DEAD', 'RECEIVED'),
  ('inbox_event', 'DEFERRED', 'DEAD'),
  ('inbox_event', 'DEFERRED', 'FAILED'),
  ('inbox_event', 'DEFERRED', 'IGNORED'),
  ('inbox_event', 'DEFERRED', 'PROCESSED'),
  ('inbox_event', 'FAILED', 'DEAD'),
  ('inbox_event', 'FAILED', 'DEFERRED'),
  ('inbox_event', 'FAILED', 'IGNORED'),
  ('inbox_event', 'FAILED', 'PROCESSED'),
  ('inbox_event', 'RECEIVED', 'DEFERRED'),
  ('inbox_event', 'RECEIVED', 'FAILED'),
  ('inbox_event', 'RECEIVED', 'IGNORED'),
  ('inbox_event', 'RECEIVED', 'PROCESSED'),
  ('line_delivery', '', 'DELIVERED'),
  ('line_delivery', '', 'RESERVED'),
  ('line_delivery', 'CANCELLED', 'DELIVERED'),
  ('line_delivery', 'DELIVERED', 'REFUNDED'),
  ('line_delivery', 'RESERVED', 'CANCELLED'),
  ('line_delivery', 'RESERVED', 'DELIVERED'),
  ('listing', '', 'DRAFT'),
  ('listing', 'DRAFT', 'ARCHIVED'),
  ('listing', 'DRAFT', 'PUBLISHED'),
  ('listing', 'PAUSED', 'ARCHIVED'),
  ('listing', 'PAUSED', 'PUBLISHED'),
  ('listing', 'PUBLISHED', 'PAUSED'),
  ('mail', '', 'CAPTURED'),
  ('mail', '', 'QUEUED'),
  ('mail', 'FAILED', 'SENT'),
  ('mail', 'FAILED', 'UNDELIVERABLE'),
  ('mail', 'QUEUED', 'FAILED'),
  ('mail', 'QUEUED', 'SENT'),
  ('mail', 'QUEUED', 'UNDELIVERABLE'),
  ('mail', 'UNDELIVERABLE', 'QUEUED'),
  ('order', '', 'DELIVERED'),
  ('order', '', 'PENDING_PAYMENT'),
  ('order', 'COMPLETED', 'REFUNDED'),
  ('order', 'DELIVERED', 'COMPLETED'),
  ('order', 'DELIVERED', 'REFUNDED'),
  ('order', 'EXPIRED', 'DELIVERED'),
  ('order', 'PENDING_PAYMENT', 'CANCELLED'),
  ('order', 'PENDING_PAYMENT', 'DELIVERED'),
  ('order', 'PENDING_PAYMENT', 'EXPIRED'),
  ('payment', '', 'CREATED'),
  ('payment', 'CANCELED', 'SUCCEEDED'),
  ('payment', 'CREATED', 'CANCELED'),
  ('payment', 'CREATED', 'EXPIRED'),
  ('payment', 'CREATED', 'FAILED'),
  ('payment', 'CREATED', 'PROCESSING'),
  ('payment', 'CREATED', 'SUCCEEDED'),
  ('payment', 'EXPIRED', 'SUCCEEDED'),
  ('payment', 'FAILED', 'SUCCEEDED'),
  ('payment', 'PARTIALLY_REFUNDED', 'REFUNDED'),
  ('payment', 'PARTIALLY_REFUNDED', 'SUCCEEDED'),
  ('payment', 'PROCESSING', 'CANCELED'),
  ('payment', 'PROCESSING', 'EXPIRED'),
  ('payment', 'PROCESSING', 'FAILED'),
  ('payment', 'PROCESSING', 'SUCCEEDED'),
  ('payment', 'REFUNDED', 'PARTIALLY_REFUNDED'),
  ('payment', 'REFUNDED', 'SUCCEEDED'),
  ('payment', 'SUCCEEDED', 'PARTIALLY_REFUNDED'),
  ('payment', 'SUCCEEDED', 'REFUNDED'),
  ('refund', '', 'REQUESTED'),
  ('refund', 'PENDING', 'CANCELED'),
  ('refund', 'PENDING', 'FAILED'),
  ('refund', 'PENDING', 'SUCCEEDED'),
  ('refund', 'REQUESTED', 'SENDING'),
  ('refund', 'SENDING', 'FAILED'),
  ('refund', 'SENDING', 'PENDING'),
  ('refund', 'SENDING', 'SUCCEEDED'),
  ('refund', 'SENDING', 'UNKNOWN'),
  ('refund', 'SUCCEEDED', 'FAILED'),
  ('refund', 'UNKNOWN', 'FAILED'),
  ('refund', 'UNKNOWN', 'PENDING'),
  ('refund', 'UNKNOWN', 'SENDING'),
  ('refund', 'UNKNOWN', 'SUCCEEDED'),
  ('seller', '', 'OPEN'),
  ('seller', 'OPEN', 'CLOSED'),
  ('seller', 'OPEN', 'SUSPENDED'),
  ('seller', 'SUSPENDED', 'CLOSED'),
  ('seller', 'SUSPENDED', 'OPEN'),
  ('stock_batch', '', 'RECEIVED'),
  ('stock_batch', 'IMPORTING', 'CLOSED'),
  ('stock_batch', 'IMPORTING', 'FAILED'),
  ('stock_batch', 'RECEIVED', 'FAILED'),
  ('stock_batch', 'RECEIVED', 'IMPORTING'),
  ('stock_unit', '', 'AVAILABLE'),
  ('stock_unit', 'AVAILABLE', 'RESERVED'),
  ('stock_unit', 'AVAILABLE', 'SOLD'),
  ('stock_unit', 'AVAILABLE', 'WITHDRAWN'),
  ('stock_unit', 'RESERVED', 'AVAILABLE'),
  ('stock_unit', 'RESERVED', 'SOLD'),
  ('stock_unit', 'SOLD', 'CONSUMED');
