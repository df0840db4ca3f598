-- Whether a message waits to be passed on, for those that come back from another software update point of the site.
create index outbox_message on outbox (site, number);
