-- Since when a top-level site holds what: everything up to a position was held at that time.
create table arrival (
    position bigint primary key,
    at       bigint not null      -- milliseconds since 1970
);
-- Items that are no revisions; there are few of them among many.
create index item_record on item (key) where key >= '\x02'::bytea;
