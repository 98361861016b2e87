-- From where a change was asked for; a column of ours.

ALTER TABLE audit_logs ADD COLUMN client_address varchar(64);
