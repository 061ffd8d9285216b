/* SPDX-License-Identifier: Apache-2.0
 * bodegactl check: can a shop with this configuration work? Says all that is wrong, not the first
 * of it. */
#include "command.h"
#include "config/config.h"
#include "purchase.h"

#include <stdlib.h>

static const char usage[] = "[OPTION...]";

static const char help[] =
	"With --purchase it buys one thing through the gateway at URL, as a customer would: makes "
	"an\n"
	"account, orders something that is in stock (twice with one Idempotency-Key: one order), "
	"pays by\n"
	"the test card tok_ok, waits until its WebSocket has told so, cancels, and deletes the "
	"account.\n"
	"\n"
	"A line each; exit status 1: something is wrong.\n";

struct options {
	char *ca_file;
	char *metrics;
	char *output;
	char *purchase;
};

static int run(struct scope *s, poptContext context, const struct options *options);
static int buy(struct checklist *list, const struct options *options);
static struct str without_slash(struct str url);

int check_command(int argc, const char **argv)
{
	struct options options = {0};
	const struct poptOption table[] = {
		{"purchase", 'p', POPT_ARG_STRING, &options.purchase, 0,
			"buy something through the gateway at URL", "URL"},
		{"metrics", 'm', POPT_ARG_STRING, &options.metrics, 0,
			"and look at the metrics of these admin ports", "URL,URL…"},
		{"ca-file", 0, POPT_ARG_STRING, &options.ca_file, 0,
			"authorities to trust in place of the system's", "FILE"},
		{"output", 'o', POPT_ARG_STRING, &options.output, 0, "table (default) or json",
			"FORMAT"},
		COMMAND_HELP_OPTION,
		POPT_TABLEEND,
	};
	poptContext context;
	struct scope s;
	int status;

	argv[0] = "bodegactl check"; /* popt says so in its help */
	context = poptGetContext(NULL, argc, argv, table, 0);
	scope_begin(&s);
	if (command_options(context, usage, help, &status))
		status = run(&s, context, &options);
	scope_end(&s);
	poptFreeContext(context);
	free(options.ca_file);
	free(options.metrics);
	free(options.output);
	free(options.purchase);
	return status;
}

static int run(struct scope *s, poptContext context, const struct options *options)
{
	struct checklist *const list = scope_alloc(s, sizeof *list);
	enum output output;

	if (!output_parse(options->output, &output))
		return command_fail(COMMAND_USAGE, "--output must be table or json");
	if (poptPeekArg(context) != NULL)
		return command_fail(
			COMMAND_USAGE, "%s is too much; see --help", poptPeekArg(context));
	if (options->purchase == NULL)
		return command_fail(COMMAND_USAGE, "check what? See --help");
	checklist_begin(list, s, output);
	return buy(list, options);
}

static int buy(struct checklist *list, const struct options *options)
{
	struct purchase_config config = {
		.gateway = without_slash(str_from(options->purchase)),
		.ca_file = str_from(options->ca_file),
	};
	struct str rest = str_from(options->metrics), url, urls[CHECKLIST_MAX / 2];

	while (config.metrics.count < sizeof urls / sizeof *urls && str_cut(&rest, ',', &url))
		urls[config.metrics.count++] = without_slash(str_trim(url));
	config.metrics.at = urls;
	purchase_run(list, &config);
	return checklist_end(list);
}

static struct str without_slash(struct str url)
{
	if (str_ends(url, STR("/")))
		url.len--;
	return url;
}
