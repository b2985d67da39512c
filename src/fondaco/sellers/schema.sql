-- sellers: the parties that list, deliver and are paid. The seller is the tenant boundary.
CREATE SCHEMA sellers;
GRANT USAGE ON SCHEMA sellers TO fondaco_app;

CREATE TABLE sellers.seller (
  id             uuid PRIMARY KEY,
  slug           text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) <= 60),
  name           text NOT NULL CHECK (length(name) BETWEEN 2 AND 80),
  about          text NOT NULL DEFAULT '' CHECK (length(about) <= 5000),       -- Markdown
  support_email  text NOT NULL,
  country        char(2) NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  state          text NOT NULL,
  commission_bps int CHECK (commission_bps BETWEEN 0 AND 5000),                -- NULL: the marketplace's
  commission_tax_bps int NOT NULL DEFAULT 0 CHECK (commission_tax_bps BETWEEN 0 AND 5000),  -- its country's, by a trigger
  created_at     timestamptz NOT NULL DEFAULT now(),
  version        int NOT NULL DEFAULT 1,
  release        jsonb,                                                        -- its own release policy; NULL: the marketplace's
  at_sale        boolean NOT NULL DEFAULT false                                -- paid at the sale, to its own account
);
CREATE TRIGGER state_machine BEFORE INSERT OR UPDATE OF state ON sellers.seller
  FOR EACH ROW EXECUTE FUNCTION core.guard_state('seller', 'state');
ALTER TABLE identity.membership ADD FOREIGN KEY (seller_id) REFERENCES sellers.seller;
ALTER TABLE identity.api_key ADD FOREIGN KEY (seller_id) REFERENCES sellers.seller;
ALTER TABLE identity.sessions ADD FOREIGN KEY (seller_id) REFERENCES sellers.seller;
GRANT SELECT, INSERT, UPDATE ON sellers.seller TO fondaco_app;
