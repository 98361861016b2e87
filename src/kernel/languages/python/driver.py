"""Runs pieces of code in one Python process for the kernel runner. Python 3.6 or newer.

It is executed in a namespace of its own that holds `commands`, a binary file of JSON lines. Answers
are JSON lines on the same descriptor. Events that belong to a place in the output are announced by
a mark in both output streams, written after everything before them was flushed.
"""
import ast
import base64
import builtins
import io
import json
import linecache
import os
import re
import signal
import sys
import traceback
import warnings
import __main__

CONTROL = 3
OWN_FILE = __file_name__
MAX_RECORD = 1536 * 1024
AWAIT_FLAG = getattr(ast, "PyCF_ALLOW_TOP_LEVEL_AWAIT", 0)
CO_COROUTINE = 0x80
FUTURE_FLAGS = 0
for _name in __import__("__future__").all_feature_names:
    FUTURE_FLAGS |= getattr(__import__("__future__"), _name).compiler_flag

state = {"seq": 0, "nonce": "", "flags": AWAIT_FLAG, "loop": None}
outputs = (os.dup(1), os.dup(2))
os.set_inheritable(CONTROL, False)
namespace = __main__.__dict__


def write_all(fd, data):
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view):]
        except BlockingIOError:
            # A child has made the shared pipe non-blocking.
            os.set_blocking(fd, True)


def send(message):
    write_all(CONTROL, json.dumps(message).encode("ascii") + b"\n")


def flush_streams():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BlockingIOError:
            os.set_blocking(1, True)
            os.set_blocking(2, True)
        except Exception:
            pass


def send_event(kind, **fields):
    """Announces an event at this place of the output."""
    flush_streams()
    state["seq"] += 1
    mark = "\x1e%s:%d\x1f" % (state["nonce"], state["seq"])
    for fd in outputs:
        write_all(fd, mark.encode("ascii"))
    send(dict(fields, type=kind, seq=state["seq"]))


def send_record(kind, **fields):
    size = len(fields["data"])
    if size > MAX_RECORD:
        send_event("stderr", text="[a %s result of %d characters is too large]\n" % (kind, size))
    else:
        send_event(kind, **fields)


def data_url(mime, data):
    if isinstance(data, str):
        return "data:%s;base64,%s" % (mime, data)
    return "data:%s;base64,%s" % (mime, base64.b64encode(data).decode("ascii"))


def rich_data(value, method):
    """The result of a `_repr_*_` method, or None. Classes themselves have no rich form."""
    if isinstance(value, type):
        return None
    try:
        function = getattr(value, method, None)
        data = function() if callable(function) else None
    except Exception:
        return None
    return data[0] if isinstance(data, tuple) else data


def display(*values):
    """Shows values in their richest form: an image, HTML, or text."""
    for value in values:
        for mime, method in (("image/png", "_repr_png_"), ("image/jpeg", "_repr_jpeg_")):
            data = rich_data(value, method)
            if data:
                send_record("media", mime=mime, data=data_url(mime, data))
                break
        else:
            svg = rich_data(value, "_repr_svg_")
            html = None if svg else rich_data(value, "_repr_html_")
            if svg:
                send_record("media", mime="image/svg+xml", data=str(svg))
            elif html:
                send_record("html", data=str(html))
            else:
                print(repr(value))


def show_result(value):
    if value is None:
        return
    builtins._ = None
    display(value)
    builtins._ = value


def show_figures():
    """Sends the figures that matplotlib has open, then closes them."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        image = io.BytesIO()
        pyplot.figure(number).savefig(image, format="png", bbox_inches="tight")
        send_record("media", mime="image/png", data=data_url("image/png", image.getvalue()))
    pyplot.close("all")


def next_command():
    line = commands.readline()
    if not line:
        os._exit(0)
    return json.loads(line.decode("utf-8"))


def request_line(password):
    send_event("prompt", password=password)
    while True:
        command = next_command()
        if command["op"] == "input":
            return command["line"]


def ask(prompt="", password=False):
    sys.stdout.write(str(prompt))
    return request_line(password)


def ask_password(prompt="Password: ", stream=None):
    return ask(prompt, True)


class Input(io.TextIOBase):
    """Standard input that asks the client for each line."""

    encoding = "utf-8"

    def readable(self):
        return True

    def readline(self, size=-1):
        return request_line(False) + "\n"

    def read(self, size=-1):
        return self.readline()

    def fileno(self):
        return 0


def show_error():
    """Sends the traceback of the current exception without the frames of this file."""
    kind, error, tb = sys.exc_info()
    while tb is not None and tb.tb_frame.f_code.co_filename == OWN_FILE:
        tb = tb.tb_next
    frame = tb
    while frame is not None and frame.tb_next is not None:
        if frame.tb_next.tb_frame.f_code.co_filename == OWN_FILE:
            try:
                frame.tb_next = None
            except AttributeError:
                # Python 3.6 cannot shorten tracebacks.
                pass
        frame = frame.tb_next
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, tb
    text = "".join(traceback.format_exception(kind, error, tb))
    send_event("stderr", text=text[-MAX_RECORD:])


def run_compiled(code):
    result = eval(code, namespace)
    if not code.co_flags & CO_COROUTINE:
        return
    import asyncio

    if state["loop"] is None or state["loop"].is_closed():
        state["loop"] = asyncio.new_event_loop()
        asyncio.set_event_loop(state["loop"])
    loop = state["loop"]
    task = loop.create_task(result)
    try:
        loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            task.cancel()
            try:
                loop.run_until_complete(task)
            except BaseException:
                pass
        raise


def compile_part(tree, name, mode):
    code = compile(tree, name, mode, state["flags"], True)
    state["flags"] |= code.co_flags & FUTURE_FLAGS
    return code


def run_source(source, name):
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    tree = compile(source, name, "exec", state["flags"] | ast.PyCF_ONLY_AST, True)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    if tree.body:
        run_compiled(compile_part(tree, name, "exec"))
    if last is not None:
        run_compiled(compile_part(ast.Interactive([last]), name, "single"))


def exit_code_of(error):
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def run(source, name):
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            run_source(source, name)
            show_figures()
            code = 0
        except SystemExit as error:
            code = exit_code_of(error)
        except BaseException:
            show_error()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, lambda *_: None)
        sys.stdin = user_input
        send_event("done", exitCode=code)


def complete(source, line):
    import rlcompleter

    word = re.search(r"[\w.]*$", line).group()
    completer = rlcompleter.Completer(namespace)
    found = []
    while len(found) < 500:
        match = completer.complete(word, len(found)) if word else None
        if match is None:
            break
        found.append(match)
    return sorted(set(match.rstrip("( ") for match in found))


def prepare():
    for name in ("commands", "program"):
        namespace.pop(name, None)
    namespace["__builtins__"] = builtins
    for index, name in ((1, "stdout"), (2, "stderr")):
        stream = io.open(index, "w", encoding="utf-8", errors="backslashreplace", buffering=1,
                         closefd=False)
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)
    sys.stdin = user_input
    sys.argv = [""]
    if "" not in sys.path:
        sys.path.insert(0, "")
    sys.displayhook = show_result
    builtins.input = ask
    builtins.display = display
    import getpass

    getpass.getpass = ask_password
    os.environ.setdefault("MPLBACKEND", "Agg")
    warnings.filterwarnings("ignore", message=".*non-interactive.*", category=UserWarning)


def main():
    signal.signal(signal.SIGINT, lambda *_: None)
    prepare()
    state["nonce"] = next_command()["nonce"]
    send({"type": "ready"})
    while True:
        command = next_command()
        if command["op"] == "run":
            run(command["code"], command["name"])
        elif command["op"] == "complete":
            try:
                suggestions = complete(command["code"], command["line"])
            except Exception:
                suggestions = []
            send({"type": "completion", "id": command["id"], "suggestions": suggestions})


user_input = Input()
main()
