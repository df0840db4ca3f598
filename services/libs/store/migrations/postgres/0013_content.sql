-- The content files that this site wants or holds. Times are milliseconds since 1970.
create table content_file (
    sha1          bytea primary key not null,
    sha256        bytea,
    size          bigint not null,
    name          text not null,              -- as the update has it
    url           text not null,              -- empty where the catalog has no address
    state         bigint not null,            -- 0 unneeded, 1 wanted, 2 present, 3 quarantined
    priority      bigint not null,            -- higher is fetched first
    had           bigint not null,            -- bytes that were there at the end of the last attempt
    attempts      bigint not null,            -- since it was wanted or came last
    next_attempt  bigint not null,
    last_error    text not null,
    present_since bigint                      -- null where the store does not hold it
);
create index content_file_turn on content_file (state, priority, next_attempt);
