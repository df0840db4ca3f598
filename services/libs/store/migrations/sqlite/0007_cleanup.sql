-- Since when a top-level site holds what: everything up to a position was held at that time.
create table arrival (
    position integer primary key,
    at       integer not null      -- milliseconds since 1970
);
-- Items that are no revisions; there are few of them among many.
create index item_record on item (key) where key >= x'02';
