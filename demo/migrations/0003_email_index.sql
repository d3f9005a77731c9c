-- syzygy:no-transaction
CREATE INDEX CONCURRENTLY orders_email ON orders (email);
-- syzygy:down
-- syzygy:no-transaction
DROP INDEX CONCURRENTLY orders_email;
