-- What a site knows of itself: epoch, head, statement, anchors. Small values by name.
create table site_state (
    name  text primary key,
    value blob not null
) without rowid;

-- The catalog: a log with one row an item, at the position of the item's last change.
-- An item that was replaced keeps its row until the statement that covers the replacement is verified.
create table item (
    position      integer primary key,
    bucket        integer not null,
    key           blob not null,
    digest        blob,             -- null: the item was removed at this position
    header        blob,
    document      blob,
    superseded_by integer,          -- position of the change that replaces this row
    removed_at    integer           -- milliseconds since 1970, for removals only
);
create index item_key on item (bucket, key, superseded_by, digest);
create index item_superseded on item (superseded_by) where superseded_by is not null;
create index item_removed on item (removed_at) where removed_at is not null;

-- The Merkle tree of the verified catalog: the buckets of each of the 256 inner nodes.
create table merkle_node (
    node    integer primary key,
    buckets blob not null
);

-- Status messages of this site and of the sites below it.
create table status_message (
    site      text not null,
    number    integer not null,
    time      integer not null,     -- milliseconds since 1970
    status_id integer not null,
    run       blob,
    inserts   text not null,        -- JSON array
    primary key (site, number)
) without rowid;
create index status_message_time on status_message (time);

-- Status messages that the parent has not acknowledged yet, in the order in which they are sent.
create table outbox (
    sequence integer primary key,
    site     text not null,
    number   integer not null
);

-- Runs of this site, for history.
create table sync_run (
    id       blob primary key,
    started  integer not null,
    finished integer,
    state    text not null,
    full_run integer not null,
    manual   integer not null,
    added    integer not null,
    revised  integer not null,
    expired  integer not null,
    removed  integer not null,
    position integer not null,
    error    text not null
) without rowid;
create index sync_run_started on sync_run (started);

-- The newest report of every site below this one, and of this site.
create table site_report (
    site     text primary key,
    sequence integer not null,
    report   blob not null
) without rowid;

-- The hierarchy's sites, kept by its authority, the top-level site.
create table site (
    code      text primary key,
    kind      text not null,
    parent    text not null,
    joined    integer not null,
    removed   integer,
    key_hash  blob not null
) without rowid;

create table join_token (
    secret_hash blob primary key,
    site        text not null,
    kind        text not null,
    parent      text not null,
    expires     integer not null,
    used        integer,
    key_hash    blob
) without rowid;

create table access_token (
    secret_hash blob primary key,
    name        text not null,
    role        text not null,
    created     integer not null
) without rowid;

-- Revisions that the upstream listed and could not give in a usable form.
create table quarantine (
    update_id blob not null,
    revision  integer not null,
    since     integer not null,
    reason    text not null,
    primary key (update_id, revision)
) without rowid;

-- Revisions that stored ones bundle and that are still to be fetched.
create table wanted (
    update_id blob not null,
    revision  integer not null,
    primary key (update_id, revision)
) without rowid;
