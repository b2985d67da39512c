-- What a second look at the purchase and the inbox mended.

-- Events of a type that has an effect by now are taken up again; a new type is looked for far back.
INSERT INTO core.edge (machine, source, target) VALUES ('inbox_event', 'IGNORED', 'RECEIVED');
ALTER TABLE inbox.backfill ADD COLUMN types text[];    -- of which types
UPDATE inbox.backfill SET types = ARRAY['checkout.session.completed', 'checkout.session.async_payment_succeeded',
  'checkout.session.async_payment_failed', 'checkout.session.expired', 'payment_intent.succeeded', 'charge.updated',
  'refund.created', 'refund.updated', 'refund.failed', 'charge.refund.updated'];
