-- The catalogue's pages, cheaper to make.

-- What everybody sees of these listings, asked by id or by slug: a row for each that is on sale and rows for up
-- to twenty other offers of its product, `n` saying for which asked one. One trip for pages that are asked for
-- in the same moment, and planned once: its plan is the same for all, and planning takes longer than running.
-- What is joined is looked up row by row (LIMIT 1), however small the planner believes the tables to be.
CREATE FUNCTION catalog.listing_pages(p_ids uuid[], p_slugs text[])
RETURNS TABLE (
  n bigint, this boolean, id uuid, slug text, product_id uuid, title text, summary text, category text,
  category_name text, platform text, region text, edition text, price bigint, currency text, price_version int,
  cover text, max_per_order int, published_at timestamptz, kind text, state text, seller_id uuid,
  seller_slug text, seller_name text, available int, description text, activation text, about text
) LANGUAGE plpgsql STABLE SET search_path = catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH asked AS MATERIALIZED (
      SELECT a.n, l.id, (SELECT v.product_id FROM variant v WHERE v.id = l.variant_id) AS product_id
      FROM unnest(p_ids, p_slugs) WITH ORDINALITY a(id, slug, n) CROSS JOIN LATERAL (
        SELECT i.id, i.variant_id FROM in_order i
        WHERE i.id = coalesce(a.id, (SELECT o.id FROM in_order o WHERE o.slug = a.slug)) LIMIT 1) l),
    shown AS MATERIALIZED (
      SELECT asked.n, asked.id, true AS this FROM asked
      UNION ALL
      SELECT asked.n, o.id, false FROM asked CROSS JOIN LATERAL (
        SELECT f.id FROM variant v CROSS JOIN LATERAL (
          SELECT l.id, l.in_stock, l.price FROM in_order l
          WHERE l.variant_id = v.id AND l.id <> asked.id
          ORDER BY l.in_stock DESC, l.price, l.id LIMIT 20) f
        WHERE v.product_id = asked.product_id ORDER BY f.in_stock DESC, f.price, f.id LIMIT 20) o)
    SELECT s.n, s.this, l.id, l.slug, (SELECT v.product_id FROM variant v WHERE v.id = l.variant_id), l.title,
      l.summary, l.category, (SELECT c.name FROM category c WHERE c.slug = l.category), l.platform, l.region,
      l.edition, l.price, l.currency::text, l.price_version, l.cover, l.max_per_order, l.published_at, l.kind,
      l.state, l.seller_id, l.seller_slug, l.seller_name, t.available,
      CASE WHEN s.this THEN l.description END, CASE WHEN s.this THEN l.activation END,
      CASE WHEN s.this THEN (SELECT e.about FROM sellers.seller e WHERE e.id = l.seller_id) END
    FROM shown s
    JOIN inventory.left_of(ARRAY(SELECT DISTINCT d.id FROM shown d)) t ON t.listing_id = s.id
    CROSS JOIN LATERAL (SELECT o.* FROM on_sale o WHERE o.id = s.id LIMIT 1) l
    ORDER BY s.n, s.this DESC, l.in_stock DESC, l.price, l.id;
END $$;
REVOKE ALL ON FUNCTION catalog.listing_pages FROM PUBLIC;
GRANT EXECUTE ON FUNCTION catalog.listing_pages TO fondaco_app;
