ALTER TABLE orders ADD COLUMN email text;
-- syzygy:down
ALTER TABLE orders DROP COLUMN email;
