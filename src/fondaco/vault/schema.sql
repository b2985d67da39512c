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
