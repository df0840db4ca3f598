-- A comparison with the parent's catalog, as far as it has come: the buckets that differ, and what the
-- parent holds in them. Nothing of it is shown before all of it is there and verified.
create table compared_bucket (
    bucket integer primary key
);

create table compared_item (
    bucket   integer not null,
    key      blob not null,
    digest   blob not null,
    listed   integer not null,      -- 0: left over from a comparison that did not come to its end
    held     integer not null,      -- 1: this site has it already, so it is not fetched
    position integer,               -- where the parent holds it; null until it was fetched
    header   blob,
    document blob,
    primary key (bucket, key)
);
