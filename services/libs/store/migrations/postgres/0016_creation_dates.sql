-- When updates were created of which a revision was removed: the earliest date that one of those said. What is
-- held says it by itself.
create table creation_date (
    update_id bytea primary key,
    created   bigint not null      -- milliseconds since 1970
);
