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
  unit_id      uuid REFERENCES inventory.stock_unit,
  title        text NOT NULL,
  platform     text NOT NULL,
  region       text NOT NULL,
  delivered_at timestamptz NOT NULL DEFAULT now(),
  revealed_at  timestamptz,
  revoked_at   timestamptz,
  content_version int,                                  -- an article: its content as it was when it was bought
  back_at      timestamptz,                             -- taken back unseen: its unit or copy is for sale again
  replaces     uuid REFERENCES delivery.entitlement,    -- the bad one it was given for
  CONSTRAINT entitlement_back_unseen CHECK (back_at IS NULL OR revoked_at IS NOT NULL AND revealed_at IS NULL),
  CONSTRAINT entitlement_content FOREIGN KEY (listing_id, content_version) REFERENCES inventory.content,
  CONSTRAINT entitlement_one_thing CHECK (num_nonnulls(unit_id, content_version) = 1)
);
CREATE INDEX entitlement_buyer ON delivery.entitlement (buyer_id, delivered_at DESC, id DESC);
CREATE INDEX entitlement_line ON delivery.entitlement (line_id);
-- One unit, one delivery, for ever; another one only when the first was taken back and nobody had seen it.
CREATE UNIQUE INDEX entitlement_unit ON delivery.entitlement (unit_id, back_at) NULLS NOT DISTINCT WHERE unit_id IS NOT NULL;
CREATE UNIQUE INDEX entitlement_replaced ON delivery.entitlement (replaces) WHERE replaces IS NOT NULL;

CREATE TABLE delivery.reveal (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  entitlement_id uuid NOT NULL REFERENCES delivery.entitlement,
  user_id        uuid NOT NULL REFERENCES identity.users,
  at             timestamptz NOT NULL DEFAULT clock_timestamp(),
  ip             text NOT NULL,
  user_agent     text NOT NULL,
  content_version int                                   -- an article: which version was shown
);
CREATE INDEX reveal_entitlement ON delivery.reveal (entitlement_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON delivery.reveal
  FOR EACH STATEMENT EXECUTE FUNCTION core.deny();
ALTER TABLE delivery.reveal ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT ON delivery.entitlement TO fondaco_app;
GRANT SELECT ON delivery.reveal TO fondaco_app;
SELECT core.wall('delivery.entitlement', 'buyer_id', 'seller_id');
SELECT core.wall('delivery.reveal', 'user_id', '');

-- A line's last unit has been seen: where its terms say so, protection now lasts so many hours, not longer than
-- it would have.
CREATE FUNCTION delivery.seen(p_line uuid) RETURNS void
LANGUAGE plpgsql SET search_path = delivery, pg_temp AS $$
BEGIN
  UPDATE orders.order_line l SET release_at = now() + make_interval(hours => (l.terms->'release'->>'hours')::int)
    WHERE l.id = p_line AND l.terms->'release'->>'policy' = 'revealed_hours' AND l.escrow_state = 'HELD'
      AND l.release_at > now() + make_interval(hours => (l.terms->'release'->>'hours')::int)
      AND NOT EXISTS (SELECT 1 FROM entitlement e
                      WHERE e.line_id = p_line AND e.revealed_at IS NULL AND e.revoked_at IS NULL);
END $$;
REVOKE ALL ON FUNCTION delivery.seen FROM PUBLIC;

-- Takes delivered things of a line back from its buyer (p_entitlements, or all): they are opened no more. What
-- nobody has seen is for sale again, unless it is bad: a bad unit is never sold again. Answers how many were
-- taken back and how many of them are for sale again. The caller has a reason and moves the money.
CREATE FUNCTION delivery.take_back(p_line uuid, p_entitlements uuid[], p_bad boolean, OUT taken int, OUT for_sale int)
LANGUAGE plpgsql SET search_path = delivery, pg_temp AS $$
DECLARE
  e entitlement;
  unseen boolean;
BEGIN
  taken := 0;
  for_sale := 0;
  FOR e IN SELECT * FROM entitlement t WHERE t.line_id = p_line AND t.revoked_at IS NULL
           AND (p_entitlements IS NULL OR t.id = ANY (p_entitlements)) ORDER BY t.id FOR UPDATE LOOP
    unseen := e.revealed_at IS NULL AND NOT EXISTS (SELECT 1 FROM reveal r WHERE r.entitlement_id = e.id)
      AND NOT (p_bad AND e.unit_id IS NOT NULL);
    UPDATE entitlement t SET revoked_at = now(), back_at = CASE WHEN unseen THEN clock_timestamp() END WHERE t.id = e.id;
    IF unseen AND e.unit_id IS NULL THEN
      UPDATE inventory.counted c SET on_hand = c.on_hand + 1, sold = c.sold - 1 WHERE c.listing_id = e.listing_id;
    ELSIF unseen THEN
      UPDATE inventory.stock_unit u SET state = 'AVAILABLE', line_id = NULL WHERE u.id = e.unit_id;
    ELSIF p_bad THEN
      UPDATE inventory.stock_unit u SET state = 'INVALID' WHERE u.id = e.unit_id;
    END IF;
    taken := taken + 1;
    for_sale := for_sale + unseen::int;
  END LOOP;
  IF for_sale > 0 THEN
    PERFORM inventory.refresh_in_stock(e.listing_id);
  END IF;
END $$;
REVOKE ALL ON FUNCTION delivery.take_back FROM PUBLIC;

-- The owner asks for the secret: noted first, handed out sealed. No row: not this user's, or revoked.
-- From the first time on a unit is consumed and can never be sold again. Of an article the newest content is
-- shown, or with p_as_bought the one that was the newest when it was bought.
CREATE FUNCTION delivery.reveal_unit(p_entitlement uuid, p_user uuid, p_ip text, p_user_agent text, p_actor text,
                                     p_as_bought boolean DEFAULT false)
RETURNS TABLE (unit_id uuid, key_id uuid, sealed bytea, first_time boolean, listing_id uuid, content_version int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = delivery, pg_temp AS $$
DECLARE
  e entitlement;
BEGIN
  SELECT * INTO e FROM entitlement t
    WHERE t.id = p_entitlement AND t.buyer_id = p_user AND t.revoked_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  unit_id := e.unit_id;
  listing_id := e.listing_id;
  IF e.unit_id IS NULL THEN
    SELECT c.version, c.key_id, c.sealed INTO STRICT content_version, key_id, sealed FROM inventory.content c
      WHERE c.listing_id = e.listing_id AND (NOT p_as_bought OR c.version = e.content_version)
      ORDER BY c.version DESC LIMIT 1;
  ELSE
    SELECT u.key_id, u.sealed INTO STRICT key_id, sealed FROM inventory.stock_unit u WHERE u.id = e.unit_id;
  END IF;
  INSERT INTO reveal (entitlement_id, user_id, ip, user_agent, content_version)
    VALUES (e.id, p_user, p_ip, p_user_agent, reveal_unit.content_version);
  first_time := e.revealed_at IS NULL;
  IF first_time THEN
    UPDATE entitlement t SET revealed_at = now() WHERE t.id = e.id;
    UPDATE inventory.stock_unit u SET state = 'CONSUMED' WHERE u.id = e.unit_id AND u.state = 'SOLD';
    PERFORM seen(e.line_id);
  END IF;
  PERFORM audit.record('secret.revealed', 'entitlement:' || e.id, p_actor, jsonb_strip_nulls(jsonb_build_object(
    'order_id', e.order_id, 'line_id', e.line_id, 'first_time', first_time,
    'content_version', reveal_unit.content_version)));
  RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION delivery.reveal_unit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delivery.reveal_unit TO fondaco_app;

-- How many seconds a buyer's tier keeps this closed yet, after they last put money in; 0: not at all. What was
-- opened before opens again.
CREATE FUNCTION delivery.closed_for(p_entitlement uuid, p_user uuid) RETURNS int
LANGUAGE sql STABLE SET search_path = delivery, pg_temp AS $$
  SELECT greatest(0, ceil(extract(epoch FROM
      max(f.succeeded_at) + make_interval(mins => l.reveal_after_minutes) - clock_timestamp())))::int
    FROM risk.buyer_limits(p_user) l
    JOIN wallets.funding f ON f.user_id = p_user AND f.succeeded_at > now() - make_interval(mins => l.reveal_after_minutes)
    JOIN entitlement e ON e.id = p_entitlement AND e.buyer_id = p_user AND e.revealed_at IS NULL
    WHERE l.reveal_after_minutes > 0 GROUP BY l.reveal_after_minutes
$$;
REVOKE ALL ON FUNCTION delivery.closed_for FROM PUBLIC;

-- The same at most p_limit times in p_window seconds for one user, whether anything is found or not. `wait`: how
-- many seconds to wait, below zero those the buyer's tier asks for; then nothing was looked for.
CREATE FUNCTION delivery.reveal_within(p_entitlement uuid, p_user uuid, p_ip text, p_user_agent text, p_actor text,
                                       p_as_bought boolean, p_limit int, p_window int)
RETURNS TABLE (wait int, unit_id uuid, key_id uuid, sealed bytea, listing_id uuid, content_version int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = delivery, pg_temp AS $$
BEGIN
  wait := core.hit('reveal:' || p_user, p_limit, p_window);
  IF wait = 0 THEN
    wait := -coalesce(closed_for(p_entitlement, p_user), 0);
  END IF;
  IF wait <> 0 THEN
    RETURN NEXT;
  ELSE
    RETURN QUERY SELECT 0, r.unit_id, r.key_id, r.sealed, r.listing_id, r.content_version
      FROM reveal_unit(p_entitlement, p_user, p_ip, p_user_agent, p_actor, p_as_bought) r;
  END IF;
END $$;
REVOKE ALL ON FUNCTION delivery.reveal_within FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delivery.reveal_within TO fondaco_app;
