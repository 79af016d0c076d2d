-- SPDX-License-Identifier: MIT
-- A filter taken out of subscribe_topics is still subscribed to in the session
-- that the broker keeps. It is remembered here, whoever takes it out, and the
-- intake unsubscribes from it at every connection.

ALTER TABLE event_bus_mqtt_settings ADD COLUMN former_topics jsonb;

CREATE FUNCTION event_bus_mqtt_filters(topics jsonb, share_group text)
RETURNS SETOF text LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS $$
	SELECT coalesce('$share/' || share_group || '/', '') || topic
	FROM jsonb_array_elements_text(
		CASE jsonb_typeof(topics) WHEN 'array' THEN topics
		ELSE '[]' END) topic
$$;

CREATE FUNCTION event_bus_mqtt_settings_remember() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	NEW.former_topics := (
		SELECT jsonb_agg(filter ORDER BY filter) FROM (
			SELECT event_bus_mqtt_filters(NEW.former_topics, NULL)
			UNION SELECT event_bus_mqtt_filters(
				OLD.subscribe_topics, OLD.share_group)
			EXCEPT SELECT event_bus_mqtt_filters(
				NEW.subscribe_topics, NEW.share_group)
		) former (filter));
	RETURN NEW;
END $$;

CREATE TRIGGER event_bus_mqtt_settings_former
BEFORE UPDATE OF subscribe_topics, share_group ON event_bus_mqtt_settings
FOR EACH ROW EXECUTE FUNCTION event_bus_mqtt_settings_remember();

INSERT INTO event_bus_schema_version (version) VALUES (4);
