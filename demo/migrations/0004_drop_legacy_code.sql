-- Old code still writes legacy_code: this waits until the release is out everywhere.
ALTER TABLE orders DROP COLUMN legacy_code;
-- syzygy:down
ALTER TABLE orders ADD COLUMN legacy_code text;
