-- Until when an access token is taken, in milliseconds since 1970; null: until it is revoked. And who made it.
alter table access_token add column expires integer;
alter table access_token add column created_by text not null default '';
