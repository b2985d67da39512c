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

GRANT SELECT, INSERT, UPDATE ON identity.users, identity.api_key TO fondaco_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON identity.recovery_code, identity.sessions, identity.mail_token,
  identity.membership, identity.saved_view TO fondaco_app;
