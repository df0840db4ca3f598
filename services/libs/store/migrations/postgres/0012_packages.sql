-- What a run took in where that was not the synchronization source; empty for the source.
alter table sync_run add column source text not null default '';

-- Updates that were taken in beside the synchronization source, and how: a source that does not list them does not
-- take them away.
create table imported (
    update_id bytea not null primary key,
    origin    text not null
);

-- The hierarchy whose packages this top-level site takes, and how far it has them. One row at most.
create table package_source (
    hierarchy   bytea not null primary key,
    signing_key bytea not null,
    epoch       bytea not null,
    position    bigint not null,
    issued      bigint not null,   -- microseconds since 1970: when what is held was signed there
    imported    bigint not null    -- milliseconds since 1970
);
