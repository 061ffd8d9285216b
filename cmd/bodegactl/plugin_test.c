/* SPDX-License-Identifier: Apache-2.0
 * What kubectl's plugin makes of its command line, and of a Job. */
#include "base/testing.h"
#include "plugin.h"

enum { WORDS_MAX = 8 };

/* Words with spaces between, as one text. */
static void join(const char *const *words, size_t count, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, size - len, "%s%s", i > 0 ? " " : "", words[i]);
}

static void test_command_lines(void **state)
{
	static const struct {
		const char *line[WORDS_MAX];
		const char *kubectl, *words, *release;
	} cases[] = {
		{{"status"}, "kubectl", "status", NULL},
		{{"-n", "shop", "status"}, "kubectl -n shop", "status", NULL},
		{{"status", "-n", "shop", "-o", "json"}, "kubectl -n shop", "status -o json", NULL},
		{{"status", "--namespace=shop"}, "kubectl --namespace shop", "status", NULL},
		{{"--release", "one", "verify"}, "kubectl", "verify", "one"},
		{{"verify", "--release=two", "--settled"}, "kubectl", "verify --settled", "two"},
		{{"--context=a", "--kubeconfig", "b", "check"},
			"kubectl --context a --kubeconfig b", "check", NULL},
		{{"user", "create", "--name", "Ada"}, "kubectl", "user create --name Ada", NULL},
		{{"seed", "--", "-n", "500"}, "kubectl", "seed -n 500", NULL},
		{{"-n", "shop", "seed", "--", "-n", "500"}, "kubectl -n shop", "seed -n 500", NULL},
		{{"--namespaces=shop", "status"}, "kubectl", "--namespaces=shop status", NULL},
		{{"status", "-n"}, NULL, NULL, NULL},
		{{"status", "--release"}, NULL, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *argv[WORDS_MAX + 1] = {"kubectl-bodega"};
		char kubectl[200], words[200];
		struct plugin_line line;
		struct scope s;
		int argc = 1;

		while (argc < WORDS_MAX && cases[i].line[argc - 1] != NULL) {
			argv[argc] = cases[i].line[argc - 1];
			argc++;
		}
		scope_begin(&s);
		const enum fault fault = plugin_line_read(&s, argc, argv, &line);
		assert_int_equal(fault, cases[i].kubectl != NULL ? OK : FAULT_BAD_REQUEST);
		if (fault == OK) {
			join(line.kubectl, line.kubectl_count, kubectl, sizeof kubectl);
			join(line.words, line.word_count, words, sizeof words);
			assert_string_equal(kubectl, cases[i].kubectl);
			assert_string_equal(words, cases[i].words);
			assert_null(line.words[line.word_count]);
			assert_true(str_eq(str_from(line.release), str_from(cases[i].release)));
		}
		scope_end(&s);
	}
}

static void test_too_many_words(void **state)
{
	const char *argv[2 * PLUGIN_WORDS_MAX];
	struct plugin_line line;
	struct scope s;

	(void)state;
	for (size_t i = 0; i < sizeof argv / sizeof *argv; i++)
		argv[i] = "word";
	scope_begin(&s);
	assert_int_equal(plugin_line_read(&s, PLUGIN_WORDS_MAX, argv, &line), OK);
	assert_int_equal(
		plugin_line_read(&s, PLUGIN_WORDS_MAX + 1, argv, &line), FAULT_BAD_REQUEST);
	for (size_t i = 1; i < sizeof argv / sizeof *argv; i++)
		argv[i] = "--context=c";
	assert_int_equal(
		plugin_line_read(&s, 2 * PLUGIN_WORDS_MAX, argv, &line), FAULT_BAD_REQUEST);
	scope_end(&s);
}

static void test_pod_specs(void **state)
{
	static const struct {
		const char *spec, *changed;
	} cases[] = {
		{"{\"containers\":[{\"command\":[\"a\",\"b\"],\"env\":[]}],\"x\":{}}",
			"{\"containers\":[{\"command\":[\"/usr/local/bin/bodegactl\",\"user\","
			"\"--name\",\"a \\\"b\\\"\"],\"env\":[]}],\"x\":{},"
			"\"activeDeadlineSeconds\":3600}"},
		{"{\"containers\":[]}", NULL},
		{"{\"command\":[\"a\"", NULL},
		{"{\"command\":[\"a\"]", NULL},
	};
	static const char *const words[] = {"user", "--name", "a \"b\"", NULL};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct str changed = STR_NONE;
		struct scope s;

		scope_begin(&s);
		const enum fault fault =
			plugin_pod_spec(&s, str_from(cases[i].spec), words, &changed);
		assert_int_equal(fault, cases[i].changed != NULL ? OK : FAULT_BAD_GATEWAY);
		if (!str_eq(changed, str_from(cases[i].changed)))
			fail_msg("%.*s", STR_ARG(changed));
		scope_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command_lines),
		cmocka_unit_test(test_too_many_words),
		cmocka_unit_test(test_pod_specs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
