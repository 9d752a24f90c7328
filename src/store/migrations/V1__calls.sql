-- One row per process that has, or had, calls in progress. `id` also names the lock file that the process holds while
-- it lives; `seen_at` is its last sign of life.
CREATE TABLE process (
    id         TEXT PRIMARY KEY NOT NULL,
    pid        INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    seen_at    TEXT NOT NULL
) STRICT;

-- One row per call. Times are RFC 3339, UTC, always nine digits of fraction, so that they sort as text.
CREATE TABLE call (
    id                      TEXT PRIMARY KEY NOT NULL,
    direction               TEXT NOT NULL,
    status                  TEXT NOT NULL,
    from_uri                TEXT NOT NULL,
    to_uri                  TEXT NOT NULL,
    number                  TEXT,
    account                 TEXT,
    sip_code                INTEGER,
    sip_reason              TEXT,
    ended_by                TEXT,
    created_at              TEXT NOT NULL,
    ringing_at              TEXT,
    answered_at             TEXT,
    ended_at                TEXT,
    talk_seconds            REAL,
    codec                   TEXT,
    ptime_ms                INTEGER,
    transport               TEXT,
    srtp                    TEXT,
    -- Text; a blob where the path is not UTF-8.
    recording               ANY,
    dtmf_received           TEXT NOT NULL,
    -- JSON, both directions.
    quality                 TEXT NOT NULL,
    -- JSON object.
    metadata                TEXT NOT NULL,
    -- Out of `quality`, for queries.
    inbound_mos             REAL,
    inbound_loss_percent    REAL,
    inbound_discard_percent REAL,
    inbound_jitter_ms       REAL,
    outbound_mos            REAL,
    outbound_loss_percent   REAL,
    round_trip_ms           REAL,
    -- Digits of telephone numbers, for the search by number; null where the address is no number.
    from_digits             TEXT,
    to_digits               TEXT,
    number_digits           TEXT,
    -- The process that holds, or held, the call.
    process                 TEXT
) STRICT;

CREATE INDEX call_created_at ON call (created_at DESC, id DESC);
CREATE INDEX call_status ON call (status, created_at DESC);
CREATE INDEX call_account ON call (account, created_at DESC);
CREATE INDEX call_inbound_mos ON call (inbound_mos) WHERE inbound_mos IS NOT NULL;
CREATE INDEX call_in_progress ON call (process) WHERE status = 'in-progress';
