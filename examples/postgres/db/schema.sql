CREATE TABLE notes (id bigserial PRIMARY KEY, body text NOT NULL);

CREATE TABLE schema (version int NOT NULL);

INSERT INTO schema VALUES (1);

INSERT INTO notes (body) SELECT 'note ' || n FROM generate_series(1, 1000) n;

