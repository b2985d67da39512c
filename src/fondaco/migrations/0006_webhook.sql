-- Events that can have no effect end at the door; fees are booked many at once.
INSERT INTO core.edge (machine, source, target) VALUES ('inbox_event', '', 'IGNORED');

-- Fees of the provider that are still to be booked: written with the payment's money, deleted with its journal.
CREATE TABLE wallets.fee_due (
  key      text PRIMARY KEY,                           -- 'fee:' and the balance transaction's id
  ref      text NOT NULL,
  amount   bigint NOT NULL CHECK (amount > 0),
  currency char(3) NOT NULL,
  noted_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, DELETE ON wallets.fee_due TO fondaco_app;
SELECT core.wall('wallets.fee_due', '', '');
