-- Checks that run by themselves: what was looked at, when, and what was found not to be as it must be.
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

-- Who several tokens are, asked together: a row for each that is good, `n` its place. A token is judged at its
-- own moment. Noting that a session was used never waits for anybody: the next request notes it, then.
CREATE FUNCTION identity.resolve_sessions(p_hashes bytea[], p_moments timestamptz[])
RETURNS TABLE (
  n bigint, user_id uuid, email text, name text, country text, verified boolean, session_id uuid, mfa boolean,
  mfa_enrolled boolean, staff_role text, seller_id uuid, seller_role text, seller_name text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = identity, pg_temp AS $$
#variable_conflict use_column
DECLARE
  latest timestamptz := p_moments[cardinality(p_moments)];
BEGIN
  RETURN QUERY
    SELECT k.n, u.id, u.email, u.name, u.country::text, u.email_verified_at IS NOT NULL, s.id,
           s.mfa_at IS NOT NULL, u.totp_confirmed_at IS NOT NULL, u.staff_role, m.seller_id, m.role,
           coalesce(l.name, '')
    FROM unnest(p_hashes, p_moments) WITH ORDINALITY k(hash, moment, n)
    JOIN sessions s ON s.token_hash = k.hash
    JOIN users u ON u.id = s.user_id
    LEFT JOIN membership m ON m.user_id = s.user_id AND m.seller_id = s.seller_id
    LEFT JOIN sellers.seller l ON l.id = m.seller_id
    WHERE s.expires_at > k.moment AND s.last_seen_at > k.moment - interval '24 hours' AND u.banned_at IS NULL;
  UPDATE sessions s SET last_seen_at = latest WHERE s.token_hash IN (
    SELECT t.token_hash FROM sessions t JOIN users u ON u.id = t.user_id
    WHERE t.token_hash = ANY (p_hashes) AND t.last_seen_at < latest - interval '5 minutes'
      AND t.last_seen_at > latest - interval '24 hours' AND t.expires_at > latest AND u.banned_at IS NULL
    FOR NO KEY UPDATE OF t SKIP LOCKED);
END $$;

REVOKE ALL ON FUNCTION identity.resolve_sessions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.resolve_sessions TO fondaco_app;

-- Pages and counts that read what they show and no more: each has the index of its order.
CREATE INDEX listing_made ON catalog.listing (created_at DESC, id DESC);
CREATE INDEX listing_seller_state ON catalog.listing (seller_id, state);
CREATE INDEX listing_offers ON catalog.listing (variant_id, in_stock DESC, price, id) WHERE state = 'PUBLISHED';
CREATE INDEX orders_seller_state ON orders.orders (seller_id, state, created_at DESC, id DESC);
CREATE INDEX orders_state ON orders.orders (state, created_at DESC, id DESC);
CREATE INDEX funding_newest ON wallets.funding (created_at DESC, id DESC);
CREATE INDEX mail_state ON notifications.mail (state, created_at DESC, id DESC);
CREATE INDEX event_state ON inbox.event (state, received_at DESC, id DESC);
CREATE INDEX refund_newest ON wallets.refund (created_at DESC, id DESC);
CREATE INDEX users_newest ON identity.users (created_at DESC, id DESC);

-- What was sold of a listing up to a moment, so that the minute's count need not add up all there ever was.
CREATE TABLE orders.sold_base (
  listing_id uuid PRIMARY KEY REFERENCES catalog.listing,
  n          bigint NOT NULL,
  up_to      timestamptz NOT NULL                      -- lines delivered before this are in n
) WITH (fillfactor = 80);
GRANT SELECT, INSERT, UPDATE ON orders.sold_base TO fondaco_app;
SELECT core.wall('orders.sold_base', '', '');
-- One index for what is asked by listing: it serves all that the former of this name did.
DROP INDEX orders.order_line_listing;
CREATE INDEX order_line_listing ON orders.order_line (listing_id, delivered_at);
