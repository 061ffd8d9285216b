/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* kubectl-bodega: bodegactl for a release in a cluster, as `kubectl bodega …`. Everything goes
 * through kubectl, with its configuration and its rights. Returns the exit status. */
int plugin_main(int argc, const char **argv);

/* A command line taken apart. */
enum { PLUGIN_WORDS_MAX = 64 };

struct plugin_line {
	const char *kubectl[PLUGIN_WORDS_MAX]; /* "kubectl" and the options that go to it */
	size_t kubectl_count;
	const char *words[PLUGIN_WORDS_MAX]; /* bodegactl's, from its command on; NULL at the end */
	size_t word_count;
	const char *release; /* or NULL */
};

/* -n, --namespace, --context, --kubeconfig and --release may stand anywhere before "--"; what
 * stands behind that is the command's. FAULT_BAD_REQUEST with a sentence. */
enum fault plugin_line_read(
	struct scope *s, int argc, const char **argv, struct plugin_line *line) MUST_CHECK;

/* A pod's spec in JSON with another command for its one container, and a time limit.
 * FAULT_BAD_GATEWAY: it has no command. */
enum fault plugin_pod_spec(
	struct scope *s, struct str spec, const char *const *words, struct str *changed) MUST_CHECK;
