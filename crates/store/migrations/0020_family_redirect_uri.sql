-- Where the code of a family was sent: whether the client is proven to be the one of its document hangs on it, also when it refreshes.
-- Nothing in families from before, nor in those that a node of the release before begins: nothing is proven by them.
ALTER TABLE token_family ADD COLUMN redirect_uri TEXT;
