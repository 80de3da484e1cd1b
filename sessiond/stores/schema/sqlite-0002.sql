-- Shelves: what dialects keep of their own, each under its own name.
CREATE TABLE shelves (
    shelf TEXT NOT NULL,
    name  TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (shelf, name)
) STRICT, WITHOUT ROWID;
