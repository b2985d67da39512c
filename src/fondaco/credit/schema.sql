-- credit: small orders delivered before they are paid. Off until finance sets a policy; what is owed is paid by the
-- next money that reaches the wallet, or written off. What is owed in the books is account kind 'credit_out'.
CREATE SCHEMA credit;
GRANT USAGE ON SCHEMA credit TO fondaco_app;

-- The terms of a currency. A policy is not changed: one ends, another begins; without one there is no credit.
CREATE TABLE credit.policy (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  currency       char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  order_max      bigint NOT NULL CHECK (order_max > 0),        -- of one purchase, minor units
  cap            bigint NOT NULL CHECK (cap > 0),              -- owed by one buyer at a time, tier NORMAL
  cap_warning    bigint NOT NULL CHECK (cap_warning BETWEEN 0 AND cap),  -- the same in tier WARNING; above: none
  total_cap      bigint NOT NULL CHECK (total_cap >= cap),     -- owed by all buyers together
  days_to_pay    int NOT NULL CHECK (days_to_pay BETWEEN 1 AND 90),
  remind_days    int NOT NULL,                                 -- so many days before it is due
  write_off_days int NOT NULL CHECK (write_off_days BETWEEN 1 AND 365),  -- so many days after it was due
  reason         text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  set_by         uuid NOT NULL REFERENCES identity.users,
  set_at         timestamptz NOT NULL DEFAULT now(),
  ended_by       uuid REFERENCES identity.users,
  ended_at       timestamptz,
  CHECK (order_max <= cap),
  CHECK (remind_days BETWEEN 0 AND days_to_pay),
  CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE UNIQUE INDEX policy_now ON credit.policy (currency) WHERE ended_at IS NULL;

-- What a buyer owes, and what was written off of it and never came back. Who has had something written off takes
-- no credit again.
CREATE TABLE credit.buyer (
  user_id    uuid NOT NULL REFERENCES identity.users,
  currency   char(3) NOT NULL,
  owed       bigint NOT NULL DEFAULT 0 CHECK (owed >= 0),
  lost       bigint NOT NULL DEFAULT 0 CHECK (lost >= 0),
  blocked_at timestamptz,
  PRIMARY KEY (user_id, currency)
);

-- What all buyers owe together.
CREATE TABLE credit.total (
  currency char(3) PRIMARY KEY,
  owed     bigint NOT NULL DEFAULT 0 CHECK (owed >= 0)
);

-- One purchase on credit: what it cost, and what became of that.
CREATE TABLE credit.credit (
  group_id    uuid PRIMARY KEY REFERENCES orders.order_group,
  user_id     uuid NOT NULL REFERENCES identity.users,
  policy_id   bigint NOT NULL REFERENCES credit.policy,
  state       text NOT NULL,
  amount      bigint NOT NULL CHECK (amount > 0),
  currency    char(3) NOT NULL,
  paid        bigint NOT NULL DEFAULT 0 CHECK (paid >= 0),
  refunded    bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
  written_off bigint NOT NULL DEFAULT 0 CHECK (written_off >= 0),
  recovered   bigint NOT NULL DEFAULT 0,                -- of what was written off: came back by refunds
  owed        bigint NOT NULL GENERATED ALWAYS AS (amount - paid - refunded - written_off) STORED,
  taken_at    timestamptz NOT NULL DEFAULT now(),
  due_at      timestamptz NOT NULL,
  reminded_at timestamptz,                              -- told that it is soon due
  overdue_at  timestamptz,                              -- told that it is overdue
  ended_at    timestamptz,
  CONSTRAINT credit_owed CHECK (owed >= 0),
  CHECK (recovered BETWEEN 0 AND written_off),
  CHECK (state = CASE WHEN owed > 0 THEN 'OWED' WHEN written_off > 0 THEN 'WRITTEN_OFF' ELSE 'PAID' END),
  CHECK ((ended_at IS NULL) = (owed > 0))
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON credit.credit
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('credit', 'state');
CREATE INDEX credit_user ON credit.credit (user_id, taken_at DESC, group_id DESC);
CREATE INDEX credit_newest ON credit.credit (taken_at DESC, group_id DESC);
CREATE INDEX credit_due ON credit.credit (due_at) WHERE state = 'OWED';

GRANT SELECT, INSERT ON credit.policy TO fondaco_app;
GRANT UPDATE (ended_by, ended_at) ON credit.policy TO fondaco_app;
GRANT SELECT ON credit.buyer, credit.total, credit.credit TO fondaco_app;
GRANT UPDATE (reminded_at, overdue_at) ON credit.credit TO fondaco_app;
SELECT core.wall('credit.policy', '', '');
SELECT core.wall('credit.buyer', 'user_id', '');
SELECT core.wall('credit.total', '', '');
SELECT core.wall('credit.credit', 'user_id', '');

-- How much a buyer may owe now: by the policy in force and their tier; nothing once something was written off.
CREATE FUNCTION credit.cap_of(p_user uuid, p_currency text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = credit, pg_temp AS $$
BEGIN
  RETURN coalesce((
    SELECT CASE coalesce((SELECT s.tier FROM risk.standing s WHERE s.user_id = p_user), 'NORMAL')
        WHEN 'NORMAL' THEN p.cap WHEN 'WARNING' THEN p.cap_warning ELSE 0 END
      FROM policy p WHERE p.currency = p_currency AND p.ended_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM buyer b WHERE b.user_id = p_user AND b.blocked_at IS NOT NULL)), 0);
END $$;

-- Nobody owes more than they may, and all together not more than the marketplace lends: less is always fine.
CREATE FUNCTION credit.keep_cap() RETURNS trigger LANGUAGE plpgsql SET search_path = credit, pg_temp AS $$
BEGIN
  IF NEW.owed > (CASE TG_OP WHEN 'UPDATE' THEN OLD.owed ELSE 0 END) AND NEW.owed > cap_of(NEW.user_id, NEW.currency) THEN
    RAISE EXCEPTION 'the buyer would owe more than they may' USING ERRCODE = '23514', CONSTRAINT = 'credit_cap';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER cap BEFORE INSERT OR UPDATE ON credit.buyer FOR EACH ROW EXECUTE FUNCTION credit.keep_cap();
CREATE FUNCTION credit.keep_total() RETURNS trigger LANGUAGE plpgsql SET search_path = credit, pg_temp AS $$
BEGIN
  IF NEW.owed > (CASE TG_OP WHEN 'UPDATE' THEN OLD.owed ELSE 0 END) AND NEW.owed > coalesce(
      (SELECT p.total_cap FROM policy p WHERE p.currency = NEW.currency AND p.ended_at IS NULL), 0) THEN
    RAISE EXCEPTION 'all buyers together would owe more than they may'
      USING ERRCODE = '23514', CONSTRAINT = 'credit_total_cap';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER cap BEFORE INSERT OR UPDATE ON credit.total FOR EACH ROW EXECUTE FUNCTION credit.keep_total();

-- Why somebody may not owe so much more ({because, left, ...}), or NULL when they may.
CREATE FUNCTION credit.refusal(p_user uuid, p_currency text, p_amount bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = credit, pg_temp AS $$
DECLARE
  p policy;
  owes bigint := coalesce((SELECT b.owed FROM buyer b WHERE b.user_id = p_user AND b.currency = p_currency), 0);
  may bigint := cap_of(p_user, p_currency);
  because text;
BEGIN
  SELECT * INTO p FROM policy t WHERE t.currency = p_currency AND t.ended_at IS NULL;
  because := CASE
    WHEN p.id IS NULL THEN 'off'
    WHEN EXISTS (SELECT 1 FROM buyer b WHERE b.user_id = p_user AND b.blocked_at IS NOT NULL) THEN 'written_off'
    WHEN may = 0 OR EXISTS (SELECT 1 FROM wallets.standing s WHERE s.user_id = p_user AND s.state <> 'OK') THEN 'tier'
    WHEN EXISTS (SELECT 1 FROM credit c WHERE c.user_id = p_user AND c.state = 'OWED' AND c.due_at <= now()) THEN 'overdue'
    WHEN p_amount > p.order_max THEN 'too_large'
    WHEN owes + p_amount > may THEN 'cap'
    WHEN coalesce((SELECT t.owed FROM total t WHERE t.currency = p_currency), 0) + p_amount > p.total_cap THEN 'full' END;
  IF because IS NULL THEN RETURN NULL; END IF;
  RETURN jsonb_build_object('because', because, 'owed', owes, 'left', greatest(may - owes, 0), 'order_max', p.order_max,
    'currency', p_currency);
END $$;

-- What somebody is offered for a purchase of so much: until when it would have to be paid; no row when nothing.
CREATE FUNCTION credit.offer(p_user uuid, p_currency text, p_amount bigint) RETURNS TABLE (due_at timestamptz, owed bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = credit, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT now() + make_interval(days => p.days_to_pay),
      coalesce((SELECT b.owed FROM buyer b WHERE b.user_id = p_user AND b.currency = p_currency), 0)
    FROM policy p WHERE p.currency = p_currency AND p.ended_at IS NULL
      AND refusal(p_user, p_currency, p_amount) IS NULL;
END $$;

-- One at a time for a buyer: their wallet and what they owe are locked, as a purchase locks the wallet.
CREATE FUNCTION credit.lock(p_user uuid, p_currency text) RETURNS credit.buyer
LANGUAGE plpgsql SET search_path = credit, pg_temp AS $$
DECLARE
  b buyer;
BEGIN
  PERFORM ledger.open_account('wallet', 'user:' || p_user, p_currency),
          ledger.open_account('credit_out', 'user:' || p_user, p_currency);
  PERFORM 1 FROM ledger.account a JOIN ledger.balance s ON s.account_id = a.id
    WHERE a.kind IN ('wallet', 'credit_out') AND a.owner = 'user:' || p_user ORDER BY a.id FOR UPDATE OF s;
  INSERT INTO buyer (user_id, currency) VALUES (p_user, p_currency) ON CONFLICT DO NOTHING;
  SELECT * INTO b FROM buyer t WHERE t.user_id = p_user AND t.currency = p_currency FOR UPDATE;
  RETURN b;
END $$;

-- Less is owed (p_amount below zero), or more: by the buyer, and by all together.
CREATE FUNCTION credit.shift(p_user uuid, p_currency text, p_amount bigint) RETURNS void
LANGUAGE plpgsql SET search_path = credit, pg_temp AS $$
BEGIN
  UPDATE buyer SET owed = owed + p_amount WHERE user_id = p_user AND currency = p_currency;
  UPDATE total SET owed = owed + p_amount WHERE currency = p_currency;
END $$;

-- Buys on credit: the same purchase as from the wallet, with what it costs owed. What the wallet holds pays for
-- it at once. Answers as orders.buy does, or `no_credit` with why not; then nothing happened.
CREATE FUNCTION credit.buy(p jsonb) RETURNS orders.verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = credit, pg_temp SET plan_cache_mode = force_generic_plan
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v orders.verdict;
  buyer uuid := (p->>'buyer')::uuid;
  money text := p->>'currency';
  cost bigint;
  why jsonb;
BEGIN
  PERFORM lock(buyer, money);
  BEGIN
    v := (orders.buy_all(jsonb_build_array(p), 'instant_credit', '{}'))[1];
    IF v.verdict <> 'bought' THEN RETURN v; END IF;
    INSERT INTO total (currency) VALUES (money) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM total t WHERE t.currency = money FOR UPDATE;
    cost := (v.data->>'total')::bigint;
    why := refusal(buyer, money, cost);
    IF why IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = 'FD001'; END IF;  -- lets go of what was taken
  EXCEPTION WHEN SQLSTATE 'FD001' THEN
    RETURN ('no_credit', NULL, why || jsonb_build_object('total', cost))::orders.verdict;
  END;
  INSERT INTO credit (group_id, user_id, policy_id, state, amount, currency, due_at)
    SELECT v.group_id, buyer, t.id, 'OWED', cost, money, now() + make_interval(days => t.days_to_pay)
    FROM policy t WHERE t.currency = money AND t.ended_at IS NULL;
  PERFORM shift(buyer, money, cost);
  PERFORM audit.record('credit.taken', 'group:' || v.group_id, p->>'actor', jsonb_build_object('group_id', v.group_id,
    'buyer_id', buyer, 'amount', cost, 'currency', money));
  PERFORM orders.hand_over(ARRAY[v.group_id], ARRAY[p->>'actor'], 'instant_credit', coalesce((p->>'from_cart')::boolean, false));
  PERFORM settle(buyer, money, 'system');
  RETURN v;
END $$;

-- What the wallet holds pays what is owed, the oldest first; answers how much that was. Nothing from a blocked
-- wallet: that money waits for a chargeback.
CREATE FUNCTION credit.settle(p_user uuid, p_currency text, p_actor text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = credit, pg_temp AS $$
DECLARE
  c credit;
  has bigint;
  part bigint;
  done bigint := 0;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM buyer b WHERE b.user_id = p_user AND b.currency = p_currency AND b.owed > 0) THEN
    RETURN 0;
  END IF;
  PERFORM lock(p_user, p_currency);
  IF EXISTS (SELECT 1 FROM wallets.standing s WHERE s.user_id = p_user AND s.state <> 'OK') THEN RETURN 0; END IF;
  SELECT b.amount INTO has FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
    WHERE a.kind = 'wallet' AND a.owner = 'user:' || p_user AND a.currency = p_currency;
  FOR c IN SELECT * FROM credit t WHERE t.user_id = p_user AND t.currency = p_currency AND t.state = 'OWED'
           ORDER BY t.due_at, t.group_id FOR UPDATE LOOP
    part := least(c.owed, has - done);
    EXIT WHEN part <= 0;
    UPDATE credit t SET paid = t.paid + part, state = CASE WHEN part = c.owed THEN 'PAID' ELSE t.state END,
        ended_at = CASE WHEN part = c.owed THEN now() END WHERE t.group_id = c.group_id;
    PERFORM shift(p_user, p_currency, -part);
    PERFORM audit.record('credit.paid', 'group:' || c.group_id, p_actor, jsonb_build_object('group_id', c.group_id,
      'buyer_id', p_user, 'amount', part, 'still_owed', c.owed - part, 'currency', p_currency));
    PERFORM ledger.post('credit_paid', 'creditpaid:' || c.group_id || ':' || c.paid, 'group:' || c.group_id, p_actor,
      ARRAY[ledger.open_account('wallet', 'user:' || p_user, p_currency),
            ledger.open_account('credit_out', 'user:' || p_user, p_currency)], ARRAY[part, -part]);
    done := done + part;
  END LOOP;
  RETURN done;
END $$;

-- Money of a line goes back to its buyer: what they owe comes first. Of p_amount so much pays what is owed
-- (`credit`) and so much what was written off of this purchase (`recovered`); the rest is the buyer's. p_others:
-- also what is owed for other purchases. The caller writes the journal.
CREATE FUNCTION credit.give_back(p_user uuid, p_currency text, p_group uuid, p_amount bigint, p_others boolean,
                                 OUT credit bigint, OUT recovered bigint)
LANGUAGE plpgsql SET search_path = credit, pg_temp AS $$
DECLARE
  c credit.credit;
  part bigint;
BEGIN
  credit := 0;
  recovered := 0;
  IF NOT EXISTS (SELECT 1 FROM buyer b WHERE b.user_id = p_user AND b.currency = p_currency AND b.owed + b.lost > 0) THEN
    RETURN;
  END IF;
  PERFORM lock(p_user, p_currency);
  FOR c IN SELECT * FROM credit.credit t WHERE t.user_id = p_user AND t.currency = p_currency
             AND (t.group_id = p_group OR p_others AND t.state = 'OWED')
           ORDER BY t.group_id <> p_group, t.due_at, t.group_id FOR UPDATE LOOP
    part := least(c.owed, p_amount - credit - recovered);
    IF part > 0 THEN
      UPDATE credit.credit t SET refunded = t.refunded + part,
          state = CASE WHEN part < c.owed THEN t.state WHEN t.written_off > 0 THEN 'WRITTEN_OFF' ELSE 'PAID' END,
          ended_at = CASE WHEN part = c.owed THEN now() END WHERE t.group_id = c.group_id;
      PERFORM shift(p_user, p_currency, -part);
      PERFORM audit.record('credit.refunded', 'group:' || c.group_id, 'system', jsonb_build_object('group_id', c.group_id,
        'buyer_id', p_user, 'amount', part, 'still_owed', c.owed - part, 'currency', p_currency));
      credit := credit + part;
    END IF;
    part := least(c.written_off - c.recovered, p_amount - credit - recovered);
    IF c.group_id = p_group AND part > 0 THEN
      UPDATE credit.credit t SET recovered = t.recovered + part WHERE t.group_id = c.group_id;
      UPDATE buyer b SET lost = b.lost - part WHERE b.user_id = p_user AND b.currency = p_currency;
      recovered := recovered + part;
    END IF;
  END LOOP;
END $$;

-- Writes off what is owed of a purchase so long after it was due that its terms say so, unless a case about it is
-- open. What nobody has opened is opened no more, as far as it was not paid for; the sellers keep their money.
-- Answers how much that was.
CREATE FUNCTION credit.write_off(p_group uuid, p_actor text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = credit, pg_temp AS $$
DECLARE
  c credit;
  l record;
  taken int := 0;
BEGIN
  SELECT * INTO c FROM credit t WHERE t.group_id = p_group;
  IF c.group_id IS NULL THEN RETURN 0; END IF;
  PERFORM 1 FROM delivery.entitlement e JOIN orders.orders o ON o.id = e.order_id WHERE o.group_id = p_group
    ORDER BY e.id FOR UPDATE OF e;
  PERFORM 1 FROM orders.orders o JOIN orders.order_line i ON i.order_id = o.id WHERE o.group_id = p_group
    ORDER BY i.id FOR UPDATE OF i;
  PERFORM settle(c.user_id, c.currency, 'system');
  PERFORM lock(c.user_id, c.currency);
  SELECT * INTO c FROM credit t WHERE t.group_id = p_group FOR UPDATE;
  IF c.state <> 'OWED' OR now() < c.due_at + make_interval(
       days => (SELECT p.write_off_days FROM policy p WHERE p.id = c.policy_id))
     OR EXISTS (SELECT 1 FROM orders.orders o JOIN orders.order_line i ON i.order_id = o.id
                LEFT JOIN cases.case_line k ON k.line_id = i.id AND k.open
                WHERE o.group_id = p_group AND (i.escrow_state = 'FROZEN' OR k.line_id IS NOT NULL)) THEN
    RETURN 0;
  END IF;
  FOR l IN
    UPDATE delivery.entitlement e SET revoked_at = now() FROM (
      SELECT e.id, sum(i.unit_price) OVER (ORDER BY i.unit_price, e.id) AS upto
      FROM orders.orders o JOIN orders.order_line i ON i.order_id = o.id JOIN delivery.entitlement e ON e.line_id = i.id
      WHERE o.group_id = p_group AND e.revealed_at IS NULL AND e.revoked_at IS NULL) t
    WHERE e.id = t.id AND t.upto <= c.owed RETURNING e.line_id
  LOOP
    UPDATE orders.order_line i SET taken_back = i.taken_back + 1 WHERE i.id = l.line_id;
    taken := taken + 1;
  END LOOP;
  UPDATE credit t SET written_off = c.owed, state = 'WRITTEN_OFF', ended_at = now() WHERE t.group_id = p_group;
  PERFORM shift(c.user_id, c.currency, -c.owed);
  UPDATE buyer b SET lost = b.lost + c.owed, blocked_at = coalesce(b.blocked_at, now())
    WHERE b.user_id = c.user_id AND b.currency = c.currency;
  PERFORM audit.record('credit.written_off', 'group:' || p_group, p_actor, jsonb_build_object('group_id', p_group,
    'buyer_id', c.user_id, 'amount', c.owed, 'currency', c.currency, 'taken_back', taken));
  PERFORM ledger.post('credit_loss', 'creditloss:' || p_group, 'group:' || p_group, p_actor,
    ARRAY[ledger.open_account('bad_debt', 'platform', c.currency),
          ledger.open_account('credit_out', 'user:' || c.user_id, c.currency)], ARRAY[c.owed, -c.owed]);
  RETURN c.owed;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA credit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION credit.offer, credit.buy, credit.settle, credit.write_off TO fondaco_app;
