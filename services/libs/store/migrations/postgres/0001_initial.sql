-- What a site knows of itself: epoch, head, statement, anchors. Small values by name.
create table site_state (
    name  text primary key,
    value bytea not null
);

-- The catalog: a log with one row an item, at the position of the item's last change.
-- An item that was replaced keeps its row until the statement that covers the replacement is verified.
create table item (
    position      bigint primary key,
    bucket        bigint not null,
    key           bytea not null,
    digest        bytea,             -- null: the item was removed at this position
    header        bytea,
    document      bytea,
    superseded_by bigint,          -- position of the change that replaces this row
    removed_at    bigint           -- milliseconds since 1970, for removals only
);
create index item_key on item (bucket, key, superseded_by, digest);
create index item_superseded on item (superseded_by) where superseded_by is not null;
create index item_removed on item (removed_at) where removed_at is not null;

-- The Merkle tree of the verified catalog: the buckets of each of the 256 inner nodes.
create table merkle_node (
    node    bigint primary key,
    buckets bytea not null
);

-- Status messages of this site and of the sites below it.
create table status_message (
    site      text not null,
    number    bigint not null,
    time      bigint not null,     -- milliseconds since 1970
    status_id bigint not null,
    run       bytea,
    inserts   text not null,        -- JSON array
    primary key (site, number)
);
create index status_message_time on status_message (time);

-- Status messages that the parent has not acknowledged yet, in the order in which they are sent.
create table outbox (
    sequence bigint primary key,
    site     text not null,
    number   bigint not null
);

-- Runs of this site, for history.
create table sync_run (
    id       bytea primary key,
    started  bigint not null,
    finished bigint,
    state    text not null,
    full_run bigint not null,
    manual   bigint not null,
    added    bigint not null,
    revised  bigint not null,
    expired  bigint not null,
    removed  bigint not null,
    position bigint not null,
    error    text not null
);
create index sync_run_started on sync_run (started);

-- The newest report of every site below this one, and of this site.
create table site_report (
    site     text primary key,
    sequence bigint not null,
    report   bytea not null
);

-- The hierarchy's sites, kept by its authority, the top-level site.
create table site (
    code      text primary key,
    kind      text not null,
    parent    text not null,
    joined    bigint not null,
    removed   bigint,
    key_hash  bytea not null
);

create table join_token (
    secret_hash bytea primary key,
    site        text not null,
    kind        text not null,
    parent      text not null,
    expires     bigint not null,
    used        bigint,
    key_hash    bytea
);

create table access_token (
    secret_hash bytea primary key,
    name        text not null,
    role        text not null,
    created     bigint not null
);

-- Revisions that the upstream listed and could not give in a usable form.
create table quarantine (
    update_id bytea not null,
    revision  bigint not null,
    since     bigint not null,
    reason    text not null,
    primary key (update_id, revision)
);

-- Revisions that stored ones bundle and that are still to be fetched.
create table wanted (
    update_id bytea not null,
    revision  bigint not null,
    primary key (update_id, revision)
);
