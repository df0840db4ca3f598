-- Whether it is the client certificate of a person, found under what its key is known by.
alter table access_token add column certificate integer not null default 0;
