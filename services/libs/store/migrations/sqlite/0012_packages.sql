-- What a run took in where that was not the synchronization source; empty for the source.
alter table sync_run add column source text not null default '';

-- Updates that were taken in beside the synchronization source, and how: a source that does not list them does not
-- take them away.
create table imported (
    update_id blob not null primary key,
    origin    text not null
) without rowid;

-- The hierarchy whose packages this top-level site takes, and how far it has them. One row at most.
create table package_source (
    hierarchy   blob not null primary key,
    signing_key blob not null,
    epoch       blob not null,
    position    integer not null,
    issued      integer not null,   -- microseconds since 1970: when what is held was signed there
    imported    integer not null    -- milliseconds since 1970
) without rowid;
