-- A comparison with the parent's catalog, as far as it has come: the buckets that differ, and what the
-- parent holds in them. Nothing of it is shown before all of it is there and verified.
create table compared_bucket (
    bucket bigint primary key
);

create table compared_item (
    bucket   bigint not null,
    key      bytea not null,
    digest   bytea not null,
    listed   bigint not null,      -- 0: left over from a comparison that did not come to its end
    held     bigint not null,      -- 1: this site has it already, so it is not fetched
    position bigint,               -- where the parent holds it; null until it was fetched
    header   bytea,
    document bytea,
    primary key (bucket, key)
);
