-- When this site went over to which verified position: what the anchors of downstream servers stand for.
create table downstream_position (
    time     integer primary key,   -- milliseconds since 1970; each is later than all before
    epoch    blob not null,         -- UUID
    position integer not null,
    floor    integer not null       -- below this the log did not say then when something changed
);

-- WSUS servers that synchronize from this site, and those below them. Times are milliseconds since 1970.
create table downstream_server (
    id           blob primary key,  -- UUID
    name         text not null,
    parent       blob not null,     -- UUID of the server that it synchronizes from; zeros: this site
    address      text not null,     -- where it called from last; empty where it never did
    version      text not null,
    replica      integer not null,
    first_seen   integer not null,
    last_seen    integer not null,
    last_sync    integer,
    last_rollup  integer,
    counts       text not null      -- JSON array: the summary that it reported
) without rowid;
create index downstream_server_seen on downstream_server (last_seen);
