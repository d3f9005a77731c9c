CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer text NOT NULL,
  legacy_code text,
  placed_at timestamptz NOT NULL DEFAULT now()
);
-- syzygy:down
DROP TABLE orders;
