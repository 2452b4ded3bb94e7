-- Groups of people, of the whole authority.
CREATE TABLE people_group (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);
CREATE TABLE group_member (
    group_id TEXT NOT NULL REFERENCES people_group (id),
    user_id TEXT NOT NULL,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_member_user_id ON group_member (user_id);

-- The roles of a server's policy that people and groups were given: the holder is the id of the one or the other.
CREATE TABLE given_role (
    server TEXT NOT NULL REFERENCES mcp_server (slug),
    holder TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (server, holder, role)
);
CREATE INDEX given_role_holder ON given_role (holder);

-- Tokens on behalf of a person at a server with a lower standing are refused, until the last has expired. It is the change
-- counter of the moment when their roles or groups changed: no moment in time, for nobody knows when a commit ends.
CREATE TABLE subject_cut_off (
    server TEXT NOT NULL REFERENCES mcp_server (slug),
    user_id TEXT NOT NULL,
    standing BIGINT NOT NULL,
    remembered_until BIGINT NOT NULL,
    PRIMARY KEY (server, user_id)
);
CREATE INDEX subject_cut_off_remembered_until ON subject_cut_off (remembered_until);
CREATE INDEX subject_cut_off_user_id ON subject_cut_off (user_id);
