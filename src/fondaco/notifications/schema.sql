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
CREATE INDEX mail_state ON notifications.mail (state, created_at DESC, id DESC);
CREATE INDEX mail_recipient ON notifications.mail (recipient, created_at DESC);
GRANT SELECT, INSERT, UPDATE ON notifications.mail TO fondaco_app;
SELECT core.wall('notifications.mail', 'user_id', '');
