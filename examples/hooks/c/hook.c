// The conformance hook in C; README.md beside this folder says what it does. No SDK: hook.h is what wit-bindgen makes of
// the WIT. Every call gets a fresh instance, so nothing is freed here. What a phase answers is freed by the generated
// code, and so comes from malloc.

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generated/hook.h"

typedef hook_string_t Text;
typedef swap_hooks_types_context_t Context;
typedef swap_hooks_types_error_t Error;
typedef swap_hooks_types_failure_t Failure;
typedef swap_hooks_types_verdict_t Verdict;

// A literal that swap only reads.
#define TEXT(literal) ((Text){(uint8_t *)(literal), sizeof(literal) - 1})
// A text's two arguments for `%.*s`.
#define SHOWN(text) (int)(text).len, (const char *)(text).ptr

// Returns a new text, made as printf makes it.
__attribute__((format(printf, 1, 2))) static Text format(const char *pattern, ...) {
    char *made;
    va_list arguments;
    va_start(arguments, pattern);
    int length = vasprintf(&made, pattern, arguments);
    va_end(arguments);
    if (length < 0) abort();
    return (Text){(uint8_t *)made, (size_t)length};
}

static bool is(Text text, const char *word) {
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static bool failed(Failure *failure, const char *code, Text message) {
    *failure = (Failure){format("%s", code), message};
    return false;
}

// Passes an error of swap's on as the failure of a phase.
static bool failed_by(Failure *failure, Error error) {
    *failure = (Failure){error.code, error.message};
    return false;
}

// Runs a command of one word and brings its exit code.
static bool run(Text target, Text word, int32_t *code, Error *error) {
    swap_hooks_exec_command_t command = {.target = target, .argv = {&word, 1}};
    swap_hooks_exec_output_t output;
    if (!swap_hooks_exec_run(&command, &output, error)) return false;
    *code = output.code;
    return true;
}

bool exports_swap_hooks_pre_start_run(Context *context, Failure *failure) {
    Error error;
    Text key = TEXT("prepared");
    hook_list_u8_t digest = {context->candidate.digest.ptr, context->candidate.digest.len};
    bool first;
    if (!swap_hooks_state_compare_and_set(&key, NULL, &digest, &first, &error)) return failed_by(failure, error);
    if (!first) return true;
    int32_t code;
    if (!run(TEXT("one-off"), TEXT("prepare"), &code, &error)) return failed_by(failure, error);
    if (code == 0) return true;
    if (!swap_hooks_state_delete(&key, &error)) return failed_by(failure, error);
    return failed(failure, "prepare", format("prepare exited with %" PRId32, code));
}

static void fatal(Verdict *verdict, Text reason) {
    *verdict = (Verdict){SWAP_HOOKS_TYPES_VERDICT_FATAL, .val.fatal = reason};
}

// With 0 for the time after which to ask again, swap chooses.
static void not_yet(Verdict *verdict, Text reason, uint64_t retry_after_ms) {
    swap_hooks_types_not_yet_t answer = {reason, {retry_after_ms > 0, retry_after_ms}, {false, 0}};
    *verdict = (Verdict){SWAP_HOOKS_TYPES_VERDICT_NOT_YET, .val.not_yet = answer};
}

void exports_swap_hooks_health_check(Context *context, Verdict *verdict) {
    (void)context;
    Text key = TEXT("path"), path;
    if (!swap_hooks_config_get(&key, &path)) path = TEXT("/up");
    Text url = format("http://candidate%.*s", SHOWN(path));
    swap_hooks_http_request_t request = {.method = TEXT("GET"), .url = url, .max_redirects = 10};
    swap_hooks_http_response_t response;
    Error error;
    if (!swap_hooks_http_send(&request, &response, &error)) {
        if (is(error.code, "refused") || is(error.code, "invalid")) fatal(verdict, error.message);
        else not_yet(verdict, error.message, 0);
        return;
    }
    Text answered = format("%.*s answered %d", SHOWN(url), response.status);
    if (response.status == 200) *verdict = (Verdict){SWAP_HOOKS_TYPES_VERDICT_HEALTHY};
    else if (response.status == 410) fatal(verdict, answered);
    else not_yet(verdict, answered, 100);
}

bool exports_swap_hooks_pre_swap_run(Context *context, Failure *failure) {
    (void)context;
    Text target = TEXT("candidate");
    swap_hooks_inspect_container_state_t state;
    Error error;
    if (!swap_hooks_inspect_state(&target, &state, &error)) return failed_by(failure, error);
    if (state.restarts == 0) return true;
    return failed(failure, "restarts", format("it was restarted %" PRIu32 " times", state.restarts));
}

bool exports_swap_hooks_post_swap_run(Context *context, Failure *failure) {
    (void)context;
    Text window = TEXT("since-switch");
    swap_hooks_metrics_measurement_t seen;
    Error error;
    if (!swap_hooks_metrics_measure(&window, &seen, &error)) return failed_by(failure, error);
    if (seen.failures == 0) return true;
    return failed(failure, "failures", format("%" PRIu64 " of %" PRIu64 " requests failed", seen.failures, seen.requests));
}

bool exports_swap_hooks_rollback_run(Context *context, Failure *failure) {
    (void)failure;
    Text line = context->reason.is_some ? context->reason.val : TEXT("no reason");
    swap_hooks_log_warn(&line);
    return true;
}

bool exports_swap_hooks_finish_run(Context *context, Failure *failure) {
    Error error;
    int32_t code;
    if (!run(TEXT("service:db"), TEXT("announce"), &code, &error)) return failed_by(failure, error);
    Text line = format("%.*s now runs %.*s", SHOWN(context->service), SHOWN(context->candidate.name));
    swap_hooks_log_info(&line);
    return true;
}
