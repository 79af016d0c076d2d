/* SPDX-License-Identifier: MIT */
/* The registry of broker drivers. */
#include "broker/broker.h"

#include <string.h>

#include "base/quote.h"

static const struct broker_driver *const drivers[] = {
	&broker_rabbitmq,
	&broker_mqtt,
	&broker_memory,
};

int broker_create(struct broker **out, const struct runtime_config *config,
		  enum broker_role role, struct error *err)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (strcmp(config->broker_type, drivers[i]->name) == 0)
			return drivers[i]->create(out, config, role, err);
	return error_set(err, STATUS_INVALID,
			 "broker_type: found %s, it must be rabbitmq or "
			 "mqtt",
			 quote(span_of(config->broker_type)).text);
}
