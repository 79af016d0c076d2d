-- SPDX-License-Identifier: MIT
-- Wakes the relays. The channel is one for the whole database, the payload
-- says in which schema rows have come. NOTIFY makes transactions commit one
-- after another: where many write at once, this trigger may be disabled,
--	ALTER TABLE event_bus_outbound_event
--		DISABLE TRIGGER event_bus_outbound_event_added;
-- and relays then look once a second.

CREATE FUNCTION event_bus_outbound_event_notify() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	PERFORM pg_notify('event_bus_outbound_event', TG_TABLE_SCHEMA);
	RETURN NULL;
END $$;

CREATE TRIGGER event_bus_outbound_event_added
AFTER INSERT ON event_bus_outbound_event
FOR EACH STATEMENT EXECUTE FUNCTION event_bus_outbound_event_notify();

INSERT INTO event_bus_schema_version (version) VALUES (2);
