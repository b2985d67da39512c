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
CREATE INDEX users_newest ON identity.users (created_at DESC, id DESC);

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
REVOKE ALL ON FUNCTION identity.resolve_session, identity.resolve_sessions, identity.resolve_api_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.resolve_session, identity.resolve_sessions, identity.resolve_api_key
  TO fondaco_app;
