/* SPDX-License-Identifier: MIT */
/* The actions of `postbus config`, one file each where they are long. */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "cli/cli.h"

extern const struct command command_config_import;
extern const struct command command_config_list;
extern const struct command command_config_set;
extern const struct command command_config_show;
extern const struct command command_config_test;

#endif
