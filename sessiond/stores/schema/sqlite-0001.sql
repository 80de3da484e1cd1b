-- Sessions: the document holds all fields, the columns repeat those that somebody may ask for.
CREATE TABLE sessions (
    id       TEXT PRIMARY KEY NOT NULL,
    service  TEXT NOT NULL,
    pool     TEXT NOT NULL,
    owner    TEXT NOT NULL,
    state    TEXT NOT NULL,
    slot     INTEGER,
    version  INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;

-- Facts: AUTOINCREMENT, so that an offset is never given twice, also when the newest facts were pruned.
CREATE TABLE facts (
    "offset"   INTEGER PRIMARY KEY AUTOINCREMENT,
    type       TEXT NOT NULL,
    session_id TEXT NOT NULL,
    service    TEXT NOT NULL,
    owner      TEXT NOT NULL,
    at         REAL NOT NULL,
    version    INTEGER NOT NULL,
    data       TEXT NOT NULL
) STRICT;
