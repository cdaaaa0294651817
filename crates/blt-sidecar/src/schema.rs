//! The tables.

/// `PRAGMA application_id` of a sidecar: "BLTB".
pub const APPLICATION_ID: i32 = 0x424C_5442;

/// `PRAGMA user_version` of the tables below.
pub const SCHEMA_VERSION: i32 = 3;

/// The address of a leaf is that of its branch; its time lies as far between the branch's times as its first byte does
/// between the branch's bytes.
///
/// A leaf's key is its view and first byte, so "the leaf at byte n" and "the next leaf" are one search in one tree.
/// Its row in the tensors beside the sidecar is `branch.tensor_row + leaf.ordinal` of its view.
pub(crate) const SCHEMA: &str = "
CREATE TABLE trunk (
    id INTEGER PRIMARY KEY,
    output_id TEXT NOT NULL,                          -- the name of its outputs, or of its sample in a shard
    path TEXT NOT NULL,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    n_bytes INTEGER NOT NULL CHECK (n_bytes >= 0),
    media_type TEXT NOT NULL,
    modality TEXT NOT NULL
) STRICT;

CREATE TABLE branch (
    id INTEGER PRIMARY KEY,
    trunk INTEGER NOT NULL REFERENCES trunk (id),
    parent INTEGER REFERENCES branch (id),            -- null for a view
    view INTEGER NOT NULL REFERENCES branch (id),     -- itself for a view
    ordinal INTEGER NOT NULL,                         -- place among its siblings
    label TEXT NOT NULL,
    name TEXT,                                        -- what the source calls it; of a view: the path of a file inside
    modality TEXT NOT NULL,
    media_type TEXT,                                  -- of a view: how its bytes are to be read
    byte_start INTEGER NOT NULL,                      -- in the view
    byte_end INTEGER NOT NULL CHECK (byte_end >= byte_start),
    source_start INTEGER,                             -- in the source, where it has such a range
    source_end INTEGER CHECK (source_end >= source_start),
    member TEXT,                                      -- the compressed part of the source in which it lies, and where
    member_start INTEGER,
    member_end INTEGER CHECK (member_end >= member_start),
    page INTEGER,                                     -- from 0
    frame INTEGER,                                    -- of a picture or film, from 0
    table_index INTEGER,                              -- from 0
    row INTEGER,                                      -- of the table, from 0
    x0 REAL, y0 REAL, x1 REAL, y1 REAL,               -- pixels, or points of a page, from the upper left corner
    sample_start INTEGER,
    sample_end INTEGER CHECK (sample_end >= sample_start),
    sample_rate INTEGER,                              -- samples a second
    time_start REAL,                                  -- seconds
    time_end REAL,
    tensor_byte INTEGER,                              -- of a view: where it starts in the byte tensors
    tensor_row INTEGER                                -- of a view: where it starts in the patch tensors
) STRICT;

CREATE TABLE leaf (
    view INTEGER NOT NULL REFERENCES branch (id),
    byte_start INTEGER NOT NULL CHECK (byte_start >= 0),
    byte_len INTEGER NOT NULL CHECK (byte_len > 0),
    ordinal INTEGER NOT NULL,                         -- place in the view
    branch INTEGER NOT NULL REFERENCES branch (id),   -- the innermost branch that holds its first byte
    entropy REAL NOT NULL,
    prominence REAL NOT NULL,
    coherence REAL NOT NULL,
    PRIMARY KEY (view, byte_start)
) STRICT, WITHOUT ROWID;

CREATE TABLE problem (
    trunk INTEGER NOT NULL REFERENCES trunk (id),
    ordinal INTEGER NOT NULL,
    text TEXT NOT NULL,                               -- what could not be decoded
    PRIMARY KEY (trunk, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE hyperedge (
    id INTEGER PRIMARY KEY,
    label TEXT NOT NULL,
    weight REAL NOT NULL
) STRICT;

CREATE TABLE incidence (
    edge INTEGER NOT NULL REFERENCES hyperedge (id),
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('trunk', 'branch', 'leaf')),
    node INTEGER NOT NULL,                            -- trunk or branch; of a leaf its view
    byte_start INTEGER CHECK ((kind = 'leaf') = (byte_start IS NOT NULL)),
    PRIMARY KEY (edge, ordinal)
) STRICT, WITHOUT ROWID;

CREATE VIEW v_leaf AS
    SELECT leaf.view, leaf.byte_start, leaf.byte_start + leaf.byte_len AS byte_end, leaf.ordinal, leaf.branch,
        view.source_start + leaf.byte_start AS source_start,
        view.source_start + leaf.byte_start + leaf.byte_len AS source_end,
        view.tensor_byte + leaf.byte_start AS tensor_byte, view.tensor_row + leaf.ordinal AS tensor_row,
        branch.page, branch.frame, branch.table_index, branch.row, branch.x0, branch.y0, branch.x1, branch.y1,
        branch.time_start + (branch.time_end - branch.time_start)
            * (leaf.byte_start - branch.byte_start) / (branch.byte_end - branch.byte_start) AS time,
        leaf.entropy, leaf.prominence, leaf.coherence, view.trunk
    FROM leaf JOIN branch AS view ON view.id = leaf.view JOIN branch ON branch.id = leaf.branch;

CREATE VIEW v_contains AS
    SELECT 'trunk' AS parent_kind, trunk AS parent, 'branch' AS kind, id AS node, NULL AS byte_start, ordinal
        FROM branch WHERE parent IS NULL
    UNION ALL SELECT 'branch', parent, 'branch', id, NULL, ordinal FROM branch WHERE parent IS NOT NULL
    UNION ALL SELECT 'branch', branch, 'leaf', view, byte_start, ordinal FROM leaf;

CREATE VIEW v_next AS
    SELECT a.view, a.byte_start, b.byte_start AS next_byte_start
    FROM leaf AS a JOIN leaf AS b ON b.view = a.view AND b.byte_start = a.byte_start + a.byte_len;
";

/// Made after the rows are in, which is faster.
pub(crate) const INDICES: &str = "
CREATE INDEX branch_by_parent ON branch (parent, ordinal);
CREATE INDEX branch_by_trunk ON branch (trunk, ordinal);
CREATE INDEX leaf_by_branch ON leaf (branch, byte_start);
CREATE INDEX incidence_by_node ON incidence (kind, node, byte_start, edge);
";
