-- Journals by the million, as `ledger.post` would have made them one by one. Only for the owner of a throw-away
-- database whose guards are off meanwhile (measurements); `fondaco verify` recomputes all of it afterwards.
CREATE FUNCTION pg_temp.link(p_chain bytea, p_start bytea, p_entry bytea) RETURNS bytea
  LANGUAGE sql IMMUTABLE AS $$ SELECT sha256(coalesce(p_chain, p_start) || p_entry) $$;
CREATE AGGREGATE pg_temp.chained (bytea, bytea) (SFUNC = pg_temp.link, STYPE = bytea);

-- An account in EUR for each owner, in their order.
CREATE FUNCTION pg_temp.open_many(p_kind text, p_owners text[]) RETURNS void LANGUAGE sql AS $$
  WITH made AS (
    INSERT INTO ledger.account (kind, owner, currency, slots)
      SELECT k.kind, o.owner, 'EUR', k.slots FROM unnest(p_owners) o(owner), ledger.account_kind k
      WHERE k.kind = p_kind RETURNING id, kind, slots)
  INSERT INTO ledger.balance (account_id, slot, currency, side, floor)
    SELECT m.id, s, 'EUR', k.side, k.floor FROM made m JOIN ledger.account_kind k USING (kind),
      generate_series(0, m.slots - 1) s
$$;

CREATE TEMP TABLE move (
  n        bigint NOT NULL,       -- 1, 2, ... without a gap: the order of the journals
  kind     text NOT NULL,
  idem     text NOT NULL,
  ref      text NOT NULL,
  accounts bigint[] NOT NULL,     -- in order, each once
  amounts  bigint[] NOT NULL
);

-- The journals in pg_temp.move, which is empty then.
CREATE PROCEDURE pg_temp.write_moves() LANGUAGE plpgsql AS $$
DECLARE
  newest bigint := (SELECT coalesce(max(id), 0) FROM ledger.journal);
BEGIN
  INSERT INTO ledger.journal (id, kind, idem, fingerprint, ref, actor) OVERRIDING SYSTEM VALUE
    SELECT newest + n, kind, idem,
      sha256(convert_to(jsonb_build_array(kind, ref, accounts, amounts, NULL)::text, 'UTF8')), ref, 'bench'
    FROM pg_temp.move ORDER BY n;
  WITH legs AS (
    SELECT l.acc, ((newest + m.n) % a.slots)::smallint AS slot, newest + m.n AS journal_id, l.amt
    FROM pg_temp.move m CROSS JOIN LATERAL unnest(m.accounts, m.amounts) l(acc, amt)
    JOIN ledger.account a ON a.id = l.acc),
  numbered AS (
    SELECT l.*, b.currency, b.chain AS start, b.version + row_number() OVER w AS version,
      (b.amount + sum(l.amt * b.side) OVER w)::bigint AS after
    FROM legs l JOIN ledger.balance b ON b.account_id = l.acc AND b.slot = l.slot
    WINDOW w AS (PARTITION BY l.acc, l.slot ORDER BY l.journal_id ROWS UNBOUNDED PRECEDING))
  INSERT INTO ledger.entry (account_id, slot, version, journal_id, currency, amount, balance_after, hash)
    SELECT n.acc, n.slot, n.version, n.journal_id, n.currency, n.amt, n.after,
      pg_temp.chained(n.start, int8send(n.acc) || int2send(n.slot) || int8send(n.version)
        || int8send(n.journal_id) || int8send(n.amt) || int8send(n.after) || j.fingerprint)
        OVER (PARTITION BY n.acc, n.slot ORDER BY n.journal_id ROWS UNBOUNDED PRECEDING)
    FROM numbered n JOIN ledger.journal j ON j.id = n.journal_id;
  UPDATE ledger.balance b SET version = e.version, amount = e.balance_after, chain = e.hash
    FROM (SELECT DISTINCT ON (account_id, slot) account_id, slot, version, balance_after, hash
          FROM ledger.entry WHERE journal_id > newest ORDER BY account_id, slot, version DESC) e
    WHERE b.account_id = e.account_id AND b.slot = e.slot;
  PERFORM setval('ledger.journal_id_seq', (SELECT max(id) FROM ledger.journal));
  TRUNCATE pg_temp.move;
END $$;
