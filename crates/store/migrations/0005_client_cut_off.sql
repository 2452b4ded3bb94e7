-- Every token that was issued to this client at this server before a moment is refused, until the last has expired.
CREATE TABLE client_cut_off (
    server TEXT NOT NULL,
    client_id TEXT NOT NULL,
    issued_before BIGINT NOT NULL,
    remembered_until BIGINT NOT NULL,
    PRIMARY KEY (server, client_id)
);
CREATE INDEX client_cut_off_remembered_until ON client_cut_off (remembered_until);

-- Blocking and forgetting a client end what it holds, and idle ones are looked for.
CREATE INDEX token_family_client_id ON token_family (client_id);
