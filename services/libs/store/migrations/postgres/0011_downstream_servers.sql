-- When this site went over to which verified position: what the anchors of downstream servers stand for.
create table downstream_position (
    time     bigint primary key,    -- milliseconds since 1970; each is later than all before
    epoch    bytea not null,         -- UUID
    position bigint not null,
    floor    bigint not null       -- below this the log did not say then when something changed
);

-- WSUS servers that synchronize from this site, and those below them. Times are milliseconds since 1970.
create table downstream_server (
    id           bytea primary key not null, -- UUID
    name         text not null,
    parent       bytea not null,     -- UUID of the server that it synchronizes from; zeros: this site
    address      text not null,     -- where it called from last; empty where it never did
    version      text not null,
    replica      bigint not null,
    first_seen   bigint not null,
    last_seen    bigint not null,
    last_sync    bigint,
    last_rollup  bigint,
    counts       text not null      -- JSON array: the summary that it reported
);
create index downstream_server_seen on downstream_server (last_seen);
