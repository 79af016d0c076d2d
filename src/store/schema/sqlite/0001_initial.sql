-- SPDX-License-Identifier: MIT
-- The tables of postbus on SQLite. Statements are separated by empty lines;
-- whoever runs this file does so in one transaction.
--
-- Checks are written with OR: for IN and more than two words SQLite builds a
-- table of them at every row.

CREATE TABLE event_bus_schema_version (
	version integer PRIMARY KEY,
	applied_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
);

CREATE TABLE event_bus_outbound_event (
	seq integer PRIMARY KEY AUTOINCREMENT,
	id text NOT NULL UNIQUE DEFAULT (lower(
		hex(randomblob(4)) || '-' || hex(randomblob(2)) ||
		'-4' || substr(hex(randomblob(2)), 2) ||
		'-' || substr('89ab', (random() & 3) + 1, 1) || substr(hex(randomblob(2)), 2) ||
		'-' || hex(randomblob(6)))),
	config_key text NOT NULL DEFAULT 'default',
	topic text NOT NULL DEFAULT '',
	message_type text NOT NULL DEFAULT 'event',
	message_id text,
	event_type text,
	request_id text,
	parent_request_id text,
	chain_depth integer NOT NULL DEFAULT 0,
	reply_to text,
	message_status text,
	source_service text,
	payload text NOT NULL DEFAULT '{}',
	headers text,
	ordering_key text,
	status text NOT NULL DEFAULT 'pending'
		CHECK (status = 'pending' OR status = 'published'
			OR status = 'invalid' OR status = 'error'),
	published integer NOT NULL DEFAULT 0,
	published_at text,
	next_retry_at text,
	expires_at text,
	retry_count integer NOT NULL DEFAULT 0,
	last_error text,
	created_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
	updated_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
);

-- What can go out now, in order.
CREATE INDEX event_bus_outbound_event_fresh
	ON event_bus_outbound_event (config_key, seq)
	WHERE status = 'pending' AND next_retry_at IS NULL;

-- What goes out later, by the time it is due.
CREATE INDEX event_bus_outbound_event_waiting
	ON event_bus_outbound_event (config_key, next_retry_at)
	WHERE status = 'pending' AND next_retry_at IS NOT NULL;

-- The waiting rows that hold back later ones of their key.
CREATE INDEX event_bus_outbound_event_holding
	ON event_bus_outbound_event (config_key, ordering_key, seq)
	WHERE status = 'pending' AND next_retry_at IS NOT NULL AND ordering_key IS NOT NULL;

-- Counting what is done without reading it.
CREATE INDEX event_bus_outbound_event_done
	ON event_bus_outbound_event (config_key, status)
	WHERE status <> 'pending';

-- Whoever changes a row without saying when.
CREATE TRIGGER event_bus_outbound_event_updated
AFTER UPDATE ON event_bus_outbound_event
WHEN NEW.updated_at = OLD.updated_at
BEGIN
	UPDATE event_bus_outbound_event
	SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')
	WHERE seq = NEW.seq;
END;

CREATE TABLE event_bus_inbound_event (
	id integer PRIMARY KEY AUTOINCREMENT,
	message_id text,
	config_key text NOT NULL DEFAULT 'default',
	broker_type text NOT NULL DEFAULT '',
	topic text NOT NULL DEFAULT '',
	event_type text,
	message_type text NOT NULL DEFAULT 'event',
	message_status text,
	request_id text,
	parent_request_id text,
	chain_depth integer NOT NULL DEFAULT 0,
	reply_to text,
	source_service text,
	payload text NOT NULL DEFAULT '{}',
	headers text,
	ordering_key text,
	status text NOT NULL DEFAULT 'pending'
		CHECK (status = 'pending' OR status = 'processed' OR status = 'error'),
	processed integer NOT NULL DEFAULT 0,
	processed_at text,
	retry_count integer NOT NULL DEFAULT 0,
	next_retry_at text,
	last_error text,
	received_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
);

-- What deduplicates.
CREATE UNIQUE INDEX event_bus_inbound_event_message_id
	ON event_bus_inbound_event (message_id)
	WHERE message_id IS NOT NULL;

-- What an application has yet to handle, in order of arrival.
CREATE INDEX event_bus_inbound_event_pending
	ON event_bus_inbound_event (config_key, id)
	WHERE status = 'pending';

-- An answer to a request.
CREATE INDEX event_bus_inbound_event_request_id
	ON event_bus_inbound_event (request_id)
	WHERE request_id IS NOT NULL;

CREATE INDEX event_bus_inbound_event_done
	ON event_bus_inbound_event (config_key, status)
	WHERE status <> 'pending';

CREATE TABLE event_bus_rejected_message (
	id integer PRIMARY KEY AUTOINCREMENT,
	config_key text NOT NULL DEFAULT 'default',
	broker_type text NOT NULL DEFAULT '',
	topic text,
	message_id text,
	body blob,
	reason text NOT NULL,
	received_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
);

CREATE INDEX event_bus_rejected_message_config_key
	ON event_bus_rejected_message (config_key);

CREATE TABLE event_bus_runtime_config (
	id integer PRIMARY KEY AUTOINCREMENT,
	config_key text NOT NULL UNIQUE,
	is_active integer NOT NULL DEFAULT 1,
	broker_type text NOT NULL DEFAULT 'rabbitmq',
	host text NOT NULL DEFAULT '127.0.0.1',
	port integer,
	username text,
	password text,
	connect_timeout real NOT NULL DEFAULT 10,
	retry_interval_seconds real NOT NULL DEFAULT 5,
	max_retry_count integer NOT NULL DEFAULT 10,
	retry_base_seconds real NOT NULL DEFAULT 1,
	retry_max_seconds real NOT NULL DEFAULT 300,
	source_service text,
	relay_enabled integer NOT NULL DEFAULT 1,
	intake_enabled integer NOT NULL DEFAULT 1,
	tls integer NOT NULL DEFAULT 0,
	tls_ca_file text,
	tls_cert_file text,
	tls_key_file text,
	max_message_bytes integer NOT NULL DEFAULT 1048576,
	max_chain_depth integer NOT NULL DEFAULT 32,
	window integer NOT NULL DEFAULT 1024,
	heartbeat_interval_seconds real DEFAULT 5,
	worker_status text,
	worker_heartbeat_at text,
	worker_last_error text,
	version integer NOT NULL DEFAULT 1,
	updated_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
);

CREATE TABLE event_bus_rabbitmq_settings (
	config_id integer PRIMARY KEY
		REFERENCES event_bus_runtime_config (id) ON DELETE CASCADE,
	virtual_host text NOT NULL DEFAULT '/',
	exchange text NOT NULL DEFAULT 'interservice',
	exchange_type text NOT NULL DEFAULT 'topic',
	queue text,
	queue_type text NOT NULL DEFAULT 'quorum',
	binding_keys text,
	prefetch_count integer NOT NULL DEFAULT 1000,
	heartbeat_seconds real NOT NULL DEFAULT 10,
	topology text NOT NULL DEFAULT 'declare',
	mandatory text NOT NULL DEFAULT 'commands',
	dead_letter_exchange text,
	exchange_per_source integer NOT NULL DEFAULT 0
);

CREATE TABLE event_bus_mqtt_settings (
	config_id integer PRIMARY KEY
		REFERENCES event_bus_runtime_config (id) ON DELETE CASCADE,
	client_id text,
	protocol_version integer NOT NULL DEFAULT 5,
	keepalive_seconds integer NOT NULL DEFAULT 30,
	clean_start integer NOT NULL DEFAULT 0,
	session_expiry_seconds integer NOT NULL DEFAULT 86400,
	qos integer NOT NULL DEFAULT 1,
	subscribe_topics text,
	share_group text,
	topic_prefix text,
	topic_style text NOT NULL DEFAULT 'slashes',
	receive_maximum integer NOT NULL DEFAULT 1000,
	retain integer NOT NULL DEFAULT 0,
	payload_format text NOT NULL DEFAULT 'envelope',
	will_topic text,
	will_payload text
);

-- The version rises with every change of a setting, not with heartbeats.
CREATE TRIGGER event_bus_runtime_config_changed
AFTER UPDATE OF config_key, is_active, broker_type, host, port, username,
	password, connect_timeout, retry_interval_seconds, max_retry_count,
	retry_base_seconds, retry_max_seconds, source_service, relay_enabled,
	intake_enabled, tls, tls_ca_file, tls_cert_file, tls_key_file,
	max_message_bytes, max_chain_depth, window, heartbeat_interval_seconds
ON event_bus_runtime_config
BEGIN
	UPDATE event_bus_runtime_config
	SET version = OLD.version + 1,
		updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')
	WHERE id = NEW.id;
END;

CREATE TRIGGER event_bus_rabbitmq_settings_added
AFTER INSERT ON event_bus_rabbitmq_settings
BEGIN
	UPDATE event_bus_runtime_config
	SET version = version + 1,
		updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')
	WHERE id = NEW.config_id;
END;

CREATE TRIGGER event_bus_rabbitmq_settings_changed
AFTER UPDATE ON event_bus_rabbitmq_settings
BEGIN
	UPDATE event_bus_runtime_config
	SET version = version + 1,
		updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')
	WHERE id IN (OLD.config_id, NEW.config_id);
END;

CREATE TRIGGER event_bus_rabbitmq_settings_removed
AFTER DELETE ON event_bus_rabbitmq_settings
BEGIN
	UPDATE event_bus_runtime_config
	SET version = version + 1,
		updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')
	WHERE id = OLD.config_id;
END;

CREATE TRIGGER event_bus_mqtt_settings_added
AFTER INSERT ON event_bus_mqtt_settings
BEGIN
	UPDATE event_bus_runtime_config
	SET version = version + 1,
		updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')
	WHERE id = NEW.config_id;
END;

CREATE TRIGGER event_bus_mqtt_settings_changed
AFTER UPDATE ON event_bus_mqtt_settings
BEGIN
	UPDATE event_bus_runtime_config
	SET version = version + 1,
		updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')
	WHERE id IN (OLD.config_id, NEW.config_id);
END;

CREATE TRIGGER event_bus_mqtt_settings_removed
AFTER DELETE ON event_bus_mqtt_settings
BEGIN
	UPDATE event_bus_runtime_config
	SET version = version + 1,
		updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')
	WHERE id = OLD.config_id;
END;

CREATE TABLE event_bus_worker (
	id text PRIMARY KEY NOT NULL,
	config_key text NOT NULL,
	hostname text NOT NULL,
	pid integer NOT NULL,
	version text NOT NULL,
	broker_type text,
	started_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
	heartbeat_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
	relay_state text,
	intake_state text,
	config_version integer NOT NULL DEFAULT 0,
	last_error text
);

INSERT INTO event_bus_schema_version (version) VALUES (1);
