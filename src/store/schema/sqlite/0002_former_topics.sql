-- SPDX-License-Identifier: MIT
-- A filter taken out of subscribe_topics is still subscribed to in the session
-- that the broker keeps. It is remembered here, whoever takes it out, and the
-- intake unsubscribes from it at every connection.

ALTER TABLE event_bus_mqtt_settings ADD COLUMN former_topics text;

CREATE TRIGGER event_bus_mqtt_settings_former
AFTER UPDATE OF subscribe_topics, share_group ON event_bus_mqtt_settings
BEGIN
	UPDATE event_bus_mqtt_settings SET former_topics = (
		SELECT nullif(json_group_array(filter), '[]') FROM (
			SELECT value AS filter
			FROM json_each(coalesce(NEW.former_topics, '[]'))
			UNION SELECT
				coalesce('$share/' || OLD.share_group || '/', '')
				|| value
			FROM json_each(coalesce(OLD.subscribe_topics, '[]'))
			EXCEPT SELECT
				coalesce('$share/' || NEW.share_group || '/', '')
				|| value
			FROM json_each(coalesce(NEW.subscribe_topics, '[]'))))
	WHERE config_id = NEW.config_id;
END;

INSERT INTO event_bus_schema_version (version) VALUES (2);
