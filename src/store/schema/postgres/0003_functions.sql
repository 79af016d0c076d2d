-- SPDX-License-Identifier: MIT
-- event_bus_publish_event, _request and _response: rows for the outbox out of
-- SQL, held against the rules that the relay holds them against, and refused
-- with the same sentences, as check_violation.

CREATE FUNCTION event_bus_refuse(sentence text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	RAISE check_violation USING MESSAGE = sentence;
END $$;

-- Foreign text as it is shown in a sentence, cut when it is long.
CREATE FUNCTION event_bus_quote(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	quoted text := '"';
	shown text;
BEGIN
	FOR i IN 1 .. least(length(value), 80) LOOP
		shown := substr(value, i, 1);
		IF ascii(shown) < 32 OR ascii(shown) = 127 THEN
			shown := '\x' || lpad(to_hex(ascii(shown)), 2, '0');
		ELSIF shown IN ('"', '\') THEN
			shown := '\' || shown;
		END IF;
		IF octet_length(quoted) + octet_length(shown) > 75 THEN
			RETURN quoted || '..."';
		END IF;
		quoted := quoted || shown;
	END LOOP;
	RETURN quoted || '"';
END $$;

CREATE FUNCTION event_bus_check_string(name text, value text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	IF octet_length(value) > 255 THEN
		PERFORM event_bus_refuse(format(
			'%s: found %s bytes, at most 255 are allowed',
			name, octet_length(value)));
	ELSIF value ~ '[\x01-\x1f\x7f]' THEN
		PERFORM event_bus_refuse(format(
			'%s: found %s, control characters are not allowed',
			name, event_bus_quote(value)));
	END IF;
END $$;

CREATE FUNCTION event_bus_require(name text, value text, whose text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	IF coalesce(value, '') = '' THEN
		PERFORM event_bus_refuse(format(
			'%s: %s, %s needs a string that is not empty', name,
			CASE WHEN value IS NULL THEN 'absent' ELSE 'empty' END, whose));
	END IF;
END $$;

CREATE FUNCTION event_bus_check_topic(name text, topic text, message_type text)
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	form text := CASE message_type
		WHEN 'request' THEN '<target_service>.request.<entity>.<action>[...]'
		WHEN 'response' THEN '<requesting_service>.response.<entity>.<action>[...]'
		ELSE 'event.<domain>.<entity>.<action>[...]' END;
	segments text[] := string_to_array(topic, '.');
	word integer := CASE message_type WHEN 'event' THEN 1 ELSE 2 END;
BEGIN
	IF topic IS NULL THEN
		PERFORM event_bus_refuse(format('%s: absent, required is %s', name, form));
	ELSIF topic !~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' THEN
		PERFORM event_bus_refuse(format(
			'%s: found %s, allowed are segments of '
			'letters, digits, _ and - joined by dots',
			name, event_bus_quote(topic)));
	ELSIF cardinality(segments) < 4 OR segments[word] <> message_type THEN
		PERFORM event_bus_refuse(format(
			'%s: found %s, the form of %s %s topic is %s', name,
			event_bus_quote(topic),
			CASE message_type WHEN 'event' THEN 'an' ELSE 'a' END,
			message_type, form));
	END IF;
END $$;

CREATE FUNCTION event_bus_check_headers(headers jsonb) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	names CONSTANT jsonb := '{"null": "null", "boolean": "a boolean",
		"number": "a number", "string": "a string", "array": "an array",
		"object": "an object"}';
	header record;
BEGIN
	IF headers IS NULL THEN
		RETURN;
	ELSIF jsonb_typeof(headers) <> 'object' THEN
		PERFORM event_bus_refuse(format(
			'headers: found %s, an object of strings is required',
			names ->> jsonb_typeof(headers)));
	END IF;
	FOR header IN SELECT key, jsonb_typeof(value) AS type FROM jsonb_each(headers) LOOP
		IF octet_length(header.key) NOT BETWEEN 1 AND 255 THEN
			PERFORM event_bus_refuse(format(
				'headers: found a name of %s bytes, 1 to 255 are allowed',
				octet_length(header.key)));
		ELSIF header.type <> 'string' THEN
			PERFORM event_bus_refuse(format(
				'headers: %s is %s, a string is required',
				event_bus_quote(header.key), names ->> header.type));
		END IF;
	END LOOP;
END $$;

CREATE FUNCTION event_bus_check_depth(depth integer, key text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	allowed integer := coalesce((SELECT max_chain_depth
		FROM event_bus_runtime_config WHERE config_key = key), 32);
BEGIN
	IF depth NOT BETWEEN 0 AND allowed THEN
		PERFORM event_bus_refuse(format(
			'chain_depth: found %s, 0 to %s is allowed (max_chain_depth)',
			depth, allowed));
	END IF;
END $$;

-- What stands in a row of any type is checked here, the rest by the callers.
CREATE FUNCTION event_bus_insert(event event_bus_outbound_event, delay interval)
RETURNS uuid LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	fresh uuid;
BEGIN
	PERFORM event_bus_check_string('topic', event.topic);
	PERFORM event_bus_check_string('source_service', event.source_service);
	PERFORM event_bus_check_string('request_id', event.request_id);
	PERFORM event_bus_check_string('parent_request_id', event.parent_request_id);
	PERFORM event_bus_check_string('reply_to', event.reply_to);
	PERFORM event_bus_check_string('status', event.message_status);
	PERFORM event_bus_check_string('event_type', event.event_type);
	PERFORM event_bus_check_topic('topic', event.topic, event.message_type);
	PERFORM event_bus_check_headers(event.headers);
	INSERT INTO event_bus_outbound_event (config_key, topic, message_type,
		event_type, request_id, parent_request_id, chain_depth, reply_to,
		message_status, source_service, payload, headers, ordering_key,
		next_retry_at)
	VALUES (coalesce(event.config_key, 'default'), event.topic,
		event.message_type, event.event_type, event.request_id,
		event.parent_request_id, coalesce(event.chain_depth, 0),
		event.reply_to, event.message_status, event.source_service,
		coalesce(event.payload, '{}'), event.headers, event.ordering_key,
		CASE WHEN delay > interval '0' THEN now() + delay END)
	RETURNING id INTO fresh;
	RETURN fresh;
END $$;

-- The id of the new row.
CREATE FUNCTION event_bus_publish_event(
	topic text, event_type text, payload jsonb DEFAULT '{}',
	source_service text DEFAULT NULL, ordering_key text DEFAULT NULL,
	headers jsonb DEFAULT NULL, delay interval DEFAULT NULL,
	config_key text DEFAULT 'default')
RETURNS uuid LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
	event event_bus_outbound_event;
BEGIN
	PERFORM event_bus_check_topic('topic', topic, 'event');
	PERFORM event_bus_require('event_type', event_type, 'an event');
	event.message_type := 'event';
	event.topic := topic;
	event.event_type := event_type;
	event.payload := payload;
	event.source_service := source_service;
	event.ordering_key := ordering_key;
	event.headers := headers;
	event.config_key := config_key;
	RETURN event_bus_insert(event, delay);
END $$;

-- The request_id, by which the response will be known.
CREATE FUNCTION event_bus_publish_request(
	topic text, reply_to text, payload jsonb DEFAULT '{}',
	request_id text DEFAULT NULL, parent_request_id text DEFAULT NULL,
	chain_depth integer DEFAULT 0, source_service text DEFAULT NULL,
	ordering_key text DEFAULT NULL, headers jsonb DEFAULT NULL,
	delay interval DEFAULT NULL, config_key text DEFAULT 'default')
RETURNS text LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
	event event_bus_outbound_event;
BEGIN
	PERFORM event_bus_check_topic('topic', topic, 'request');
	event.request_id := coalesce(request_id, gen_random_uuid()::text);
	PERFORM event_bus_require('request_id', event.request_id, 'a request');
	PERFORM event_bus_require('reply_to', reply_to, 'a request');
	PERFORM event_bus_check_topic('reply_to', reply_to, 'response');
	PERFORM event_bus_check_depth(chain_depth, config_key);
	event.message_type := 'request';
	event.topic := topic;
	event.reply_to := reply_to;
	event.payload := payload;
	event.parent_request_id := parent_request_id;
	event.chain_depth := chain_depth;
	event.source_service := source_service;
	event.ordering_key := ordering_key;
	event.headers := headers;
	event.config_key := config_key;
	PERFORM event_bus_insert(event, delay);
	RETURN event.request_id;
END $$;

-- The id of the new row.
CREATE FUNCTION event_bus_publish_response(
	request_id text, topic text, status text, payload jsonb DEFAULT '{}',
	source_service text DEFAULT NULL, headers jsonb DEFAULT NULL,
	config_key text DEFAULT 'default')
RETURNS uuid LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
	event event_bus_outbound_event;
BEGIN
	PERFORM event_bus_check_topic('topic', topic, 'response');
	PERFORM event_bus_require('request_id', request_id, 'a response');
	IF status IS NULL THEN
		PERFORM event_bus_refuse('status: absent, success or error is required');
	ELSIF status NOT IN ('success', 'error') THEN
		PERFORM event_bus_refuse(format(
			'status: found %s, success or error is required',
			event_bus_quote(status)));
	END IF;
	event.message_type := 'response';
	event.request_id := request_id;
	event.topic := topic;
	event.message_status := status;
	event.payload := payload;
	event.source_service := source_service;
	event.headers := headers;
	event.config_key := config_key;
	RETURN event_bus_insert(event, NULL);
END $$;

INSERT INTO event_bus_schema_version (version) VALUES (3);
