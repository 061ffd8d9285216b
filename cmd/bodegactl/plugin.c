/* SPDX-License-Identifier: Apache-2.0
 * kubectl bodega: finds a release's pods by their labels and runs bodegactl where it can reach what
 * a command needs: in each pod, in a service's pod, or in a pod like that of the migrations, which
 * has all databases. */
#include "plugin.h"

#include "child.h"
#include "status.h"
#include "json/write.h"

#include <stdio.h>
#include <time.h>

#define LABEL_NAME "app.kubernetes.io/name"
#define LABEL_RELEASE "app.kubernetes.io/instance"
#define LABEL_COMPONENT "app.kubernetes.io/component"
#define INSIDE "/usr/local/bin/bodegactl"

enum { PODS_MAX = 256, POLL_MS = 200, START_S = 60, POD_TIME_S = 3600 };

static const char help[] =
	"Usage: kubectl bodega [-n NAMESPACE] [--release NAME] COMMAND [OPTION...]\n"
	"\n"
	"  status                      each pod of the release\n"
	"  check [SERVICE]             in a pod of each service, or of that one\n"
	"  user, seed                  in a pod of users, of products\n"
	"  events dead|redrive         in a pod of orders\n"
	"  events backlog, verify,     in a pod that is made for it and has all databases, as the\n"
	"  migrate                     release's migrations have\n"
	"\n"
	"The commands' options are bodegactl's. --context and --kubeconfig go to kubectl.\n"
	"It needs rights: list pods, create pods/exec; for the last ones also list jobs,\n"
	"create, get and delete pods, get pods/log.\n";

static const struct {
	const char *name;
	unsigned admin_port;
} programs[] = {
	{"gateway", 9080},
	{"users", 9081},
	{"products", 9082},
	{"orders", 9083},
	{"payments", 9084},
};
enum { PROGRAMS = sizeof programs / sizeof *programs };

struct pod {
	struct str release;
	struct str component;
	struct str name;
};

struct plugin {
	struct scope *s;
	struct plugin_line line;
	struct pod pods[PODS_MAX];
	size_t pod_count;
	struct str release;
};

static int run(struct plugin *p);
static enum fault run_kubectl(struct plugin *p, const char *const *words, struct str input,
	struct str *output, int *status);
static const char **command_line(struct plugin *p, const char *const *words);
static enum fault find_pods(struct plugin *p);
static enum fault read_pods(struct plugin *p, struct str lines);
static enum fault dispatch(struct plugin *p, int *status);
static enum fault in_each_pod(struct plugin *p, int *status);
static enum fault ask_pod(struct plugin *p, const struct pod *pod, struct instance *instance);
static enum fault in_each_service(struct plugin *p, int *status);
static enum fault in_service(
	struct plugin *p, const char *service, const char *const *words, int *status);
static const struct pod *pod_of(const struct plugin *p, const char *service);
static enum fault in_own_pod(struct plugin *p, int *status);
static enum fault make_pod(struct plugin *p, struct str *name);
static enum fault follow_pod(struct plugin *p, struct str name, int *status);
static enum fault await_phase(struct plugin *p, struct str name, bool ended, struct str *phase);
static void sleep_ms(int64_t ms);

int plugin_main(int argc, const char **argv)
{
	struct plugin *p;
	struct scope s;
	int status;

	scope_begin(&s);
	p = scope_alloc(&s, sizeof *p);
	*p = (struct plugin){.s = &s};
	if (plugin_line_read(&s, argc, argv, &p->line) != OK)
		status = command_fail(COMMAND_USAGE, "%.*s", STR_ARG(s.detail));
	else
		status = run(p);
	scope_end(&s);
	return status;
}

static int run(struct plugin *p)
{
	const struct str command = str_from(p->line.words[0]);
	int status = COMMAND_FAILED;
	enum fault fault;

	if (command.at == NULL || str_eq(command, STR("help")) || str_eq(command, STR("--help"))) {
		fputs(help, command.at != NULL ? stdout : stderr);
		return command.at != NULL ? COMMAND_FINE : COMMAND_USAGE;
	}
	fault = find_pods(p);
	if (fault == OK)
		fault = dispatch(p, &status);
	return fault == OK ? status : command_fail_scope(p->s, fault, NULL);
}

/* ---- the command line ---- */

static bool take_option(int argc, const char **argv, int *i, const char *name, const char **value);

enum fault plugin_line_read(struct scope *s, int argc, const char **argv, struct plugin_line *line)
{
	static const char *const handed_on[] = {"--namespace", "-n", "--context", "--kubeconfig"};
	const char *value;
	bool ours = true;

	*line = (struct plugin_line){.kubectl = {"kubectl"}, .kubectl_count = 1};
	for (int i = 1; i < argc; i++) {
		if (ours && strcmp(argv[i], "--") == 0) {
			ours = false;
			continue;
		}
		bool taken = false;
		if (line->word_count >= PLUGIN_WORDS_MAX - 1 ||
			line->kubectl_count >= PLUGIN_WORDS_MAX - 2)
			return fail(s, FAULT_BAD_REQUEST, "too many words");
		for (size_t k = 0; ours && !taken && k < sizeof handed_on / sizeof *handed_on;
			k++) {
			taken = take_option(argc, argv, &i, handed_on[k], &value);
			if (taken && value != NULL) {
				line->kubectl[line->kubectl_count++] = handed_on[k];
				line->kubectl[line->kubectl_count++] = value;
			}
		}
		if (ours && !taken) {
			taken = take_option(argc, argv, &i, "--release", &value);
			line->release = taken ? value : line->release;
		}
		if (taken && value == NULL)
			return fail(s, FAULT_BAD_REQUEST, "%s needs a value", argv[argc - 1]);
		if (!taken)
			line->words[line->word_count++] = argv[i];
	}
	return OK;
}

/* "--name VALUE" or "--name=VALUE" at argv[*i], which is moved to its last word; *value is NULL
 * when it has none. */
static bool take_option(int argc, const char **argv, int *i, const char *name, const char **value)
{
	const struct str word = str_from(argv[*i]);
	const size_t len = strlen(name);

	*value = NULL;
	if (strcmp(argv[*i], name) == 0) {
		if (*i + 1 < argc)
			*value = argv[++*i];
		return true;
	}
	if (!str_starts(word, str_of(name, len)) || argv[*i][len] != '=')
		return false;
	*value = argv[*i] + len + 1;
	return true;
}

/* ---- kubectl ---- */

static enum fault run_kubectl(struct plugin *p, const char *const *words, struct str input,
	struct str *output, int *status)
{
	TRY(child_run(p->s, command_line(p, words), input, output, status));
	return *status == 0 ? OK
	                    : fail(p->s, FAULT_UNAVAILABLE, "kubectl %s: exit status %d", words[0],
				      *status);
}

/* kubectl with its options, and these words. */
static const char **command_line(struct plugin *p, const char *const *words)
{
	size_t count = 0;

	while (words[count] != NULL)
		count++;
	const char **const line =
		arena_alloc_array(p->s->arena, p->line.kubectl_count + count + 1, sizeof *line);
	memcpy(line, p->line.kubectl, p->line.kubectl_count * sizeof *line);
	memcpy(line + p->line.kubectl_count, words, (count + 1) * sizeof *line);
	return line;
}

/* ---- the release ---- */

static enum fault find_pods(struct plugin *p)
{
	static const char columns[] =
		"--output=jsonpath={range .items[*]}"
		"{.metadata.labels.app\\.kubernetes\\.io/instance} "
		"{.metadata.labels.app\\.kubernetes\\.io/component} {.metadata.name}{\"\\n\"}{end}";
	const char *const selector = scope_format(p->s, "--selector=" LABEL_NAME "=bodega%s%s",
		p->line.release != NULL ? "," LABEL_RELEASE "=" : "",
		p->line.release != NULL ? p->line.release : "")
	                                     .at;
	const char *const words[] = {
		"get", "pods", selector, "--field-selector=status.phase=Running", columns, NULL};
	struct str lines;
	int status;

	TRY(run_kubectl(p, words, STR_NONE, &lines, &status));
	return read_pods(p, lines);
}

static enum fault read_pods(struct plugin *p, struct str lines)
{
	struct str line;

	while (p->pod_count < PODS_MAX && str_cut(&lines, '\n', &line)) {
		struct pod pod = {0};
		str_cut(&line, ' ', &pod.release);
		str_cut(&line, ' ', &pod.component);
		pod.name = line;
		for (size_t i = 0; i < PROGRAMS; i++)
			if (str_eq(pod.component, str_from(programs[i].name)))
				p->pods[p->pod_count++] = pod;
		if (p->pod_count > 0 &&
			!str_eq(p->pods[0].release, p->pods[p->pod_count - 1].release))
			return fail(p->s, FAULT_BAD_REQUEST,
				"there are several releases, such as %.*s and %.*s: --release says "
				"which",
				STR_ARG(p->pods[0].release), STR_ARG(pod.release));
	}
	if (p->pod_count == 0)
		return fail(p->s, FAULT_NOT_FOUND,
			"no pod of such a release runs in this namespace: -n says in which");
	p->release = p->pods[0].release;
	return OK;
}

static enum fault dispatch(struct plugin *p, int *status)
{
	const char *const *const words = p->line.words;
	const struct str command = str_from(words[0]);
	const struct str action = str_from(words[1]);

	if (str_eq(command, STR("status")))
		return in_each_pod(p, status);
	if (str_eq(command, STR("check")))
		return in_each_service(p, status);
	if (str_eq(command, STR("user")))
		return in_service(p, "users", words, status);
	if (str_eq(command, STR("seed")))
		return in_service(p, "products", words, status);
	if (str_eq(command, STR("events")) && !str_eq(action, STR("backlog")))
		return in_service(p, "orders", words, status);
	if (str_eq(command, STR("events")) || str_eq(command, STR("verify")) ||
		str_eq(command, STR("migrate")))
		return in_own_pod(p, status);
	return fail(p->s, FAULT_BAD_REQUEST, "there is no command %s; see kubectl bodega --help",
		words[0]);
}

/* ---- status ---- */

static enum fault in_each_pod(struct plugin *p, int *status)
{
	struct items instances = {
		arena_alloc_array(p->s->arena, p->pod_count, sizeof(struct instance)),
		p->pod_count};
	struct instance *const all = instances.at;
	enum output output = OUTPUT_TABLE;

	for (size_t i = 1; i < p->line.word_count; i++)
		if (strstr(p->line.words[i], "json") != NULL)
			output = OUTPUT_JSON;
	for (size_t i = 0; i < p->pod_count; i++) {
		if (ask_pod(p, &p->pods[i], &all[i]) != OK)
			all[i] = (struct instance){
				.service = p->pods[i].component, .why = p->s->detail};
		all[i].instance = p->pods[i].name;
		scope_forgive(p->s);
	}
	*status = status_print(p->s, output, &instances);
	return OK;
}

static enum fault ask_pod(struct plugin *p, const struct pod *pod, struct instance *instance)
{
	struct str url = STR_NONE, json;
	struct items told;
	int status;

	for (size_t i = 0; i < PROGRAMS; i++)
		if (str_eq(pod->component, str_from(programs[i].name)))
			url = scope_format(p->s, "http://127.0.0.1:%u", programs[i].admin_port);
	const char *const words[] = {"exec", scope_dup(p->s, pod->name).at, "--", INSIDE, "status",
		"--output=json", url.at, NULL};

	TRY(child_run(p->s, command_line(p, words), STR_NONE, &json, &status));
	if (status != COMMAND_FINE && status != COMMAND_FAILED) /* which is: not ready */
		return fail(p->s, FAULT_UNAVAILABLE, "`bodegactl status` there: exit status %d",
			status);
	TRY(status_read(p->s, json, &told));
	if (told.count != 1)
		return fail(p->s, FAULT_BAD_GATEWAY, "the pod says nothing of itself");
	*instance = *(const struct instance *)told.at;
	return OK;
}

/* ---- in pods of services ---- */

static enum fault in_each_service(struct plugin *p, int *status)
{
	const char *words[PLUGIN_WORDS_MAX + 2] = {"check"};
	bool named = false;

	*status = 0;
	memcpy(words + 2, p->line.words + 1, p->line.word_count * sizeof *words);
	for (size_t i = 0; i < PROGRAMS; i++)
		named = named || (p->line.words[1] != NULL &&
					 strcmp(p->line.words[1], programs[i].name) == 0);
	if (named)
		return in_service(p, p->line.words[1], p->line.words, status);
	for (size_t i = 0; i < PROGRAMS; i++) {
		int one = 0;
		if (pod_of(p, programs[i].name) == NULL)
			continue;
		words[1] = programs[i].name;
		TRY(in_service(p, programs[i].name, words, &one));
		*status = one != 0 ? one : *status;
	}
	return OK;
}

static enum fault in_service(
	struct plugin *p, const char *service, const char *const *words, int *status)
{
	const struct pod *const pod = pod_of(p, service);
	const char *line[PLUGIN_WORDS_MAX + 8] = {"exec", "--stdin"};
	size_t count = 2;

	if (pod == NULL)
		return fail(p->s, FAULT_NOT_FOUND, "no pod of %s runs", service);
	line[count++] = scope_dup(p->s, pod->name).at;
	line[count++] = "--";
	line[count++] = INSIDE;
	for (size_t i = 0; words[i] != NULL; i++)
		line[count++] = words[i];
	line[count] = NULL;
	return child_show(p->s, command_line(p, line), status);
}

static const struct pod *pod_of(const struct plugin *p, const char *service)
{
	for (size_t i = 0; i < p->pod_count; i++)
		if (str_eq(p->pods[i].component, str_from(service)))
			return &p->pods[i];
	return NULL;
}

/* ---- in a pod with all databases ---- */

static enum fault in_own_pod(struct plugin *p, int *status)
{
	struct str name, told;
	enum fault fault;
	int deleted = 0;

	TRY(make_pod(p, &name));
	fault = follow_pod(p, name, status);
	const char *const words[] = {
		"delete", "pod", name.at, "--wait=false", "--ignore-not-found", NULL};
	if (child_run(p->s, command_line(p, words), STR_NONE, &told, &deleted) != OK ||
		deleted != 0)
		command_fail(deleted, "the pod %.*s could not be deleted", STR_ARG(name));
	return fault;
}

/* A pod like that of the release's migrations: the same image, secrets and network, another
 * command. */
static enum fault make_pod(struct plugin *p, struct str *name)
{
	const char *const selector = scope_format(p->s,
		"--selector=" LABEL_NAME "=bodega," LABEL_RELEASE "=%.*s," LABEL_COMPONENT
		"=migrations",
		STR_ARG(p->release))
	                                     .at;
	const char *const get[] = {"get", "jobs", selector, "--sort-by=.metadata.creationTimestamp",
		"--output=jsonpath={.items[-1:].spec.template.spec}", NULL};
	const char *const create[] = {
		"create", "--filename=-", "--output=jsonpath={.metadata.name}", NULL};
	struct buf pod = buf_new(p->s->arena);
	struct str spec;
	int status;

	TRY(run_kubectl(p, get, STR_NONE, &spec, &status));
	if (spec.len == 0)
		return fail(p->s, FAULT_NOT_FOUND,
			"the release has no Job of migrations any more: `helm upgrade` makes it");
	TRY(plugin_pod_spec(p->s, spec, p->line.words, &spec));
	buf_add(&pod, STR("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"generateName\":"
			  "\"bodegactl-\",\"labels\":{\"" LABEL_NAME
			  "\":\"bodega\",\"" LABEL_RELEASE "\":"));
	json_write_text(&pod, p->release);
	buf_add(&pod, STR(",\"" LABEL_COMPONENT "\":\"migrations\"}},\"spec\":"));
	buf_add(&pod, spec);
	buf_char(&pod, '}');
	TRY(run_kubectl(p, create, buf_str(&pod), name, &status));
	*name = scope_dup(p->s, *name);
	return OK;
}

enum fault plugin_pod_spec(
	struct scope *s, struct str spec, const char *const *words, struct str *changed)
{
	const struct str key = STR("\"command\":[");
	const char *const begin = memmem(spec.at, spec.len, key.at, key.len);
	const char *const end =
		begin != NULL ? memchr(begin, ']', spec.len - (size_t)(begin - spec.at)) : NULL;
	struct buf json = buf_new(s->arena);

	if (end == NULL || spec.at[spec.len - 1] != '}')
		return fail(s, FAULT_BAD_GATEWAY, "the Job of migrations has no command");
	buf_add(&json, str_of(spec.at, (size_t)(begin - spec.at) + key.len));
	buf_add(&json, STR("\"" INSIDE "\""));
	for (size_t i = 0; words[i] != NULL; i++) {
		buf_char(&json, ',');
		json_write_text(&json, str_from(words[i]));
	}
	buf_add(&json, str_of(end, spec.len - 1 - (size_t)(end - spec.at)));
	buf_format(&json, ",\"activeDeadlineSeconds\":%d}", POD_TIME_S);
	*changed = buf_str(&json);
	return OK;
}

static enum fault follow_pod(struct plugin *p, struct str name, int *status)
{
	const char *const logs[] = {"logs", "--follow", name.at, NULL};
	const char *const exit[] = {"get", "pod", name.at,
		"--output=jsonpath={.status.containerStatuses[0].state.terminated.exitCode}", NULL};
	struct str text;
	int64_t code;

	TRY(await_phase(p, name, false, &text));
	TRY(child_show(p->s, command_line(p, logs), status));
	TRY(await_phase(p, name, true, &text));
	TRY(run_kubectl(p, exit, STR_NONE, &text, status));
	if (!str_to_int64(text, &code))
		return fail(p->s, FAULT_UNAVAILABLE, "the pod %.*s was ended", STR_ARG(name));
	*status = (int)code;
	return OK;
}

/* Until it no longer waits for its start, or until it has ended. */
static enum fault await_phase(struct plugin *p, struct str name, bool ended, struct str *phase)
{
	const char *const words[] = {
		"get", "pod", name.at, "--output=jsonpath={.status.phase}", NULL};
	int status;

	for (int64_t waited_ms = 0; waited_ms < START_S * 1000; waited_ms += POLL_MS) {
		TRY(run_kubectl(p, words, STR_NONE, phase, &status));
		if (!str_eq(*phase, STR("Pending")) && !(ended && str_eq(*phase, STR("Running"))))
			return OK;
		sleep_ms(POLL_MS);
	}
	return fail(p->s, FAULT_DEADLINE, "the pod %.*s is %.*s after %d s", STR_ARG(name),
		STR_ARG(*phase), START_S);
}

static void sleep_ms(int64_t ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}
