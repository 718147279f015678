"""TASK_SOURCE: what decides the result of a task makes its key, and nothing else."""

from __future__ import annotations

import functools
import logging
import subprocess
import sys
import threading
import types

import cloudpickle
import pytest

from oxtask import task
from oxtask.cache_policies import TASK_SOURCE
from oxtask.utilities.hashing import hash_objects

LIMIT = 1
CALLS = []
LOCK = threading.Lock()
LOGGER = logging.getLogger(__name__)


def key(of):
    return TASK_SOURCE.compute_key(types.SimpleNamespace(task=of), {}, {})


def compiled(text, name="f", **names):
    """Return a function that has no source text."""
    exec(text, names)
    return names[name]


def helper(x):
    return x + LIMIT


def calls_helper(x):
    return helper(x)


def with_limit(x):
    return x + LIMIT


class Adder:
    def __init__(self, amount):
        self.amount = amount

    def __call__(self, x):
        return x + self.amount


def factory(amount):
    @task
    def add(x):
        return x + amount

    return add


def test_the_key_of_a_task_is_that_of_its_function():
    """P13, P15"""
    made = task(helper)
    assert key(made) == key(helper) == key(made.with_options(name="other", retries=3))
    assert key(cloudpickle.loads(cloudpickle.dumps(made))) == key(made)
    assert key(types.SimpleNamespace(fn=None, source_code="a")) != key(
        types.SimpleNamespace(fn=None, source_code="b")
    )


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n\n    # why\n    return  x+ 1\n",
        "\n\n\ndef f(x): return x + 1",
        "def deco(**k): return lambda f: f\n@deco(retries=3)\ndef f(x):\n    return x + 1\n",
    ],
)
def test_layout_comments_and_decorators_do_not_matter(other):
    """P16, W-P1"""
    assert key(compiled(other)) == key(compiled("def f(x):\n    return x + 1\n"))


def test_everything_that_code_does_matters():
    """W-P3: constants, names, defaults, nested functions, handlers"""
    texts = [
        "def f(x): return x + 1",
        "def f(x): return x + 2",
        "def f(x): return x + 1.0",
        "def f(x): return x - 1",
        "def f(y): return y + 1",
        "def f(x=0): return x + 1",
        "def f(x=1): return x + 1",
        "def f(*, x=1): return x + 1",
        "def f(*, x=2): return x + 1",
        "async def f(x): return x + 1",
        "def f(x): yield x + 1",
        "def f(x): return x.a",
        "def f(x): return x.b",
        "def f(x): return (lambda: x + 1)",
        "def f(x): return (lambda: x + 2)",
        "def f(x): return x in {1, 2}",
        "def f(x): return x in {1, 3}",
        "def f(x): return x in (1, 2)",
        "def f(x):\n try: return g(x)\n except ValueError: return 1",
        "def f(x):\n try: return g(x)\n except KeyError: return 1",
        "def f(x): return len(x)",
        "def f(x): return sum(x)",
    ]
    keys = [key(compiled(text)) for text in texts]
    assert len(set(keys)) == len(texts)


def test_two_functions_on_one_line_have_their_own_keys():
    """W-P4"""
    one, two = lambda x: x + 1, lambda x: x + 2
    assert key(one) != key(two)


def test_values_that_are_closed_over_matter():
    """W-P2; issue: equal text and different closures never share an entry"""
    assert key(factory(1)) == key(factory(1)) != key(factory(2))
    assert key(factory([1])) != key(factory([2]))
    assert key(factory(factory(1).fn)) != key(factory(factory(2).fn))


def test_partials_and_objects_that_are_called_matter():
    """W-P2"""
    partials = [functools.partial(helper, n) for n in (1, 2)]
    assert key(task(partials[0])) != key(task(partials[1]))
    assert key(task(functools.partial(helper, 1))) == key(task(partials[0]))
    assert key(task(Adder(1))) == key(task(Adder(1))) != key(task(Adder(2)))


def test_a_closure_that_cannot_be_hashed_is_told():
    """W-P2: no key, rather than one that others share"""
    with pytest.raises(ValueError, match=r"add.*_thread\.lock.*cannot be cached"):
        key(factory(threading.Lock()))


def test_globals_that_are_read_matter(monkeypatch):
    """Issue: referenced globals"""
    before = key(with_limit)
    monkeypatch.setitem(globals(), "LIMIT", 2)
    after = key(with_limit)
    monkeypatch.setitem(globals(), "LIMIT", 1)
    assert before == key(with_limit) != after
    monkeypatch.setitem(globals(), "UNRELATED", 1)
    assert before == key(with_limit)


def test_functions_that_are_called_matter_at_any_distance(monkeypatch):
    """Issue: called user functions of the same program"""
    before = key(calls_helper)
    monkeypatch.setitem(globals(), "LIMIT", 2)
    assert key(calls_helper) != before
    monkeypatch.setitem(globals(), "LIMIT", 1)
    monkeypatch.setitem(globals(), "helper", lambda x: x)
    assert key(calls_helper) != before
    monkeypatch.undo()
    assert key(calls_helper) == before


def test_functions_of_modules_of_the_program_matter(monkeypatch):
    """Issue: called user functions of the same program"""
    module = types.ModuleType("made_here")
    exec("def run(x): return x + 1\nunused = 1", vars(module))
    monkeypatch.setitem(sys.modules, "made_here", module)
    function = compiled("def f(x): return made_here.run(x)", made_here=module)
    before = key(function)
    module.unused = 2
    assert key(function) == before
    exec("def run(x): return x + 2", vars(module))
    assert key(function) != before


def test_methods_of_classes_that_are_used_matter():
    """Issue: classes by what they do"""
    texts = [
        "class C:\n def run(self): return 1\ndef f(): return C().run()",
        "class C:\n def run(self): return 2\ndef f(): return C().run()",
        "class B:\n def run(self): return 1\nclass C(B): pass\ndef f(): return C().run()",
        "class B:\n def run(self): return 2\nclass C(B): pass\ndef f(): return C().run()",
        "class C:\n @property\n def run(self): return 1\ndef f(): return C().run",
        "class C:\n @property\n def run(self): return 2\ndef f(): return C().run",
        "class C:\n @staticmethod\n def run(): return 1\ndef f(): return C().run()",
        "class C:\n size = 1\ndef f(): return C().size",
        "class C:\n size = 2\ndef f(): return C().size",
    ]
    keys = [key(compiled(text, __name__="made_here")) for text in texts]
    assert len(set(keys)) == len(texts)
    again = [key(compiled(text, __name__="made_here")) for text in texts]
    assert again == keys


def test_functions_that_call_each_other_have_keys():
    """Issue: cycles; the time does not grow with the number of ways through them"""
    names = [f"f{i}" for i in range(40)]
    body = " + ".join(f"{name}(x)" for name in names)
    text = "\n".join(f"def {name}(x): return {body} + {i}" for i, name in enumerate(names))
    one, two = compiled(text, "f0"), compiled(text, "f0")
    assert key(one) == key(two) != key(compiled(text.replace("+ 39", "+ 40"), "f0"))


def test_a_function_that_finds_itself_in_what_it_reads_has_a_key():
    """Issue: cycles"""
    registry = {}
    function = registry["f"] = compiled("def f(x): return registry[x]", registry=registry)
    before = key(function)
    assert key(function) == before
    registry["g"] = 1
    assert key(function) != before


def test_what_is_only_filled_does_not_matter():
    """Issue: what decides the result, and nothing else"""
    calls = []

    def outer(x):
        calls.append(x)
        CALLS.append(x)
        return x

    def reads(x):
        return len(calls)

    before, reading = key(outer), key(reads)
    outer(1)
    assert key(outer) == before
    assert key(reads) != reading


def test_a_lock_or_a_logger_among_the_globals_is_no_obstacle():
    """Issue: nobody has to think about whether a key can be made"""

    def guarded(x):
        with LOCK:
            LOGGER.info(x)
        return x

    assert key(guarded) == key(guarded)


def test_functions_as_inputs_are_hashed_by_what_they_do():
    """W-H4"""
    one = compiled("def f(x): return x + 1")
    two = compiled("def f(x): return x + 2")
    assert hash_objects(one) == hash_objects(compiled("def f(x): return x + 1"))
    assert hash_objects(one) != hash_objects(two)
    assert hash_objects(Adder(1).__call__) != hash_objects(Adder(2).__call__)
    assert hash_objects(task(one)) == hash_objects(task(one)) != hash_objects(task(two))


SCRIPT = """
import sys
from types import SimpleNamespace
from oxtask import task
from oxtask.cache_policies import DEFAULT

SIZES = {"a", "b", "c"}

class Config:
    kinds = {"x", "y", "z"}
    def __init__(self): self.names = {"p", "q", "r"}
    def run(self): return self.kinds

@task
def work(x, config=Config()):
    def inner(y): return y in {"k", "l", "m"} and SIZES
    return inner(x), config.run()

run = SimpleNamespace(id=1, flow_run_id=2)
context = SimpleNamespace(task=work, task_run=run)
print(DEFAULT.compute_key(context, {"x": Config(), "f": Config().run, "c": Config}, {}))
"""


def test_what_a_program_defines_has_the_same_key_in_each_process(tmp_path):
    """P15, P16, W-H8: whatever the seed, the file and the line"""
    keys = set()
    for seed in ("1", "2", "3"):
        path = tmp_path / f"script{seed}.py"
        path.write_text("\n" * int(seed) + SCRIPT)
        environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed}
        command = [sys.executable, path]
        done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
        keys.add(done.stdout)
    assert len(keys) == 1
    assert len(keys.pop().strip()) == 32
