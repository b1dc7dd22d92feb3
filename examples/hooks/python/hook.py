"""The conformance hook in Python; README.md beside this folder says what it does. No SDK: these are the types of the WIT."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config, exec, http, inspect, log, metrics, state
from wit_world.imports.types import Failure, NotYet, Verdict_Fatal, Verdict_Healthy, Verdict_NotYet


def failed(error: Err) -> Err:
    """Passes an error of swap's on as the failure of a phase."""
    return Err(Failure(error.value.code, error.value.message))


def run(target: str, word: str) -> int:
    """Runs a command of one word and returns its exit code."""
    try:
        return exec.run(exec.Command(target, [word], b"", [], None, None, None, False)).code
    except Err as error:
        raise failed(error) from None


class PreStart(exports.PreStart):
    def run(self, context):
        try:
            if not state.compare_and_set("prepared", None, context.candidate.digest.encode()):
                return
        except Err as error:
            raise failed(error) from None
        code = run("one-off", "prepare")
        if code != 0:
            state.delete("prepared")
            raise Err(Failure("prepare", f"prepare exited with {code}"))


class Health(exports.Health):
    def check(self, context):
        url = "http://candidate" + (config.get("path") or "/up")
        try:
            status = http.send(http.Request("GET", url, [], b"", None, 10)).status
        except Err as error:
            if error.value.code in ("refused", "invalid"):
                return Verdict_Fatal(error.value.message)
            return Verdict_NotYet(NotYet(error.value.message, None, None))
        if status == 200:
            return Verdict_Healthy()
        answered = f"{url} answered {status}"
        if status == 410:
            return Verdict_Fatal(answered)
        return Verdict_NotYet(NotYet(answered, 100, None))


class PreSwap(exports.PreSwap):
    def run(self, context):
        try:
            restarts = inspect.state("candidate").restarts
        except Err as error:
            raise failed(error) from None
        if restarts > 0:
            raise Err(Failure("restarts", f"it was restarted {restarts} times"))


class PostSwap(exports.PostSwap):
    def run(self, context):
        try:
            seen = metrics.measure("since-switch")
        except Err as error:
            raise failed(error) from None
        if seen.failures > 0:
            raise Err(Failure("failures", f"{seen.failures} of {seen.requests} requests failed"))


class Rollback(exports.Rollback):
    def run(self, context):
        log.warn(context.reason or "no reason")


class Finish(exports.Finish):
    def run(self, context):
        run("service:db", "announce")
        log.info(f"{context.service} now runs {context.candidate.name}")
