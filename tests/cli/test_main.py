from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

import mal
from mal.cli import main, tao_main
from mal.errors import SpecError, UserError, working_on

HEAVY = {"torch", "torchvision", "numpy", "lightning", "PIL", "timm", "pycocotools", "rich"}


@pytest.fixture
def train_paths(tmp_path) -> list[str]:
    (tmp_path / "images").mkdir()
    (tmp_path / "ann.json").write_text("{}")
    (tmp_path / "spec.yaml").write_text("train:\n  lr: 0.5\n")
    return [
        "-e",
        str(tmp_path / "spec.yaml"),
        f"results_dir={tmp_path}/out",
        f"dataset.train_ann_path={tmp_path}/ann.json",
        f"dataset.train_img_dir={tmp_path}/images",
    ]


@pytest.fixture
def run_train(monkeypatch):
    """Puts a function in the place of the training task."""

    def put(run):
        monkeypatch.setitem(sys.modules, "mal.tasks.train", SimpleNamespace(run=run))

    return put


def modules_after(*arguments: str) -> set[str]:
    """Top-level names in sys.modules after a command, in a process of its own."""
    code = (
        "import sys; from mal.cli import main; code = main(sys.argv[1:]);"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules})); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_help_imports_only_the_standard_library():
    assert not modules_after("--help") & (HEAVY | {"pydantic", "omegaconf", "yaml"})


@pytest.mark.parametrize("command", ["train", "evaluate", "inference", "label", "export", "sample", "demo", "spec"])
def test_help_of_a_command_imports_nothing_heavy(command):
    assert not modules_after(command, "-h") & HEAVY


@pytest.mark.parametrize("arguments", [["spec"], ["spec", "train"], ["spec", "--json-schema"], ["spec", "--tables"]])
def test_printing_a_spec_imports_nothing_heavy(arguments):
    assert not modules_after(*arguments) & HEAVY


def test_a_wrong_spec_is_told_before_anything_heavy_is_imported(tmp_path):
    code = (
        "import sys; from mal.cli import main; code = main(sys.argv[1:]);"
        f"assert code == 1; assert not {HEAVY!r} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, "train", "-e", str(tmp_path / "none.yaml")], check=True)


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "mal", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"mal {mal.__version__}\n"


def test_a_pipe_that_closes_early_makes_no_noise():
    done = subprocess.run(
        f"{sys.executable} -m mal spec | head -n 1", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_no_command_prints_help_and_is_wrong_usage(capsys):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err


def test_an_unknown_command_is_answered_with_the_nearest_one(capsys):
    assert main(["trian"]) == 2
    assert "no such command: trian; did you mean train?" in capsys.readouterr().err


def test_an_unlike_command_is_pointed_to_help(capsys):
    assert main(["xyzzy"]) == 2
    assert "`mal --help` lists the commands" in capsys.readouterr().err


def test_help_of_training_lists_its_fields(capsys):
    assert main(["train", "-h"]) == 0
    shown = capsys.readouterr().out
    assert "  train.lr " in shown
    assert "  inference.ann_path " not in shown


@pytest.mark.parametrize("option", ["-e", "--experiment_spec", "--experiment_spec_file"])
def test_every_spelling_of_the_spec_option_works_with_overrides_anywhere(option, train_paths, run_train):
    specs = []
    run_train(lambda spec: specs.append(spec) or 0)
    _, spec_file, *overrides = train_paths
    assert main(["train", "train.wd=0.25", option, spec_file, *overrides, "train.seed=-1"]) == 0
    assert (specs[0].train.lr, specs[0].train.wd, specs[0].train.seed) == (0.5, 0.25, -1)


@pytest.mark.parametrize("exit_code", [0, 1])
def test_the_exit_code_is_the_tasks(exit_code, train_paths, run_train):
    run_train(lambda spec: exit_code)
    assert main(["train", *train_paths]) == exit_code


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--lr", "1"], "spec are set without dashes"),
        (["--train.lr=1"], "spec are set without dashes"),
        (["lr"], "'lr' is not of the form key=value"),
        (["hunter2"], "an argument is not of the form key=value, as in train.lr=1e-4: it is word {} after the command"),
        (["-p", "hunter2"], "unrecognized arguments: -p (fields"),
        (["--encryption_key", "hunter2", "train.lr=1"], "unrecognized arguments: --encryption_key (fields"),
        (["--encryption_key=hunter2"], "unrecognized arguments: --encryption_key (fields"),
    ],
)
def test_overrides_in_another_form_are_wrong_usage_with_a_hint(extra, message, train_paths, capsys):
    assert main(["train", *train_paths, *extra]) == 2
    error = capsys.readouterr().err
    assert message.format(len(train_paths) + 1) in error
    assert "hunter2" not in error


def test_a_task_without_a_spec_is_wrong_usage(capsys):
    assert main(["train", "train.lr=1"]) == 2
    assert "required: -e" in capsys.readouterr().err


def test_every_problem_of_a_spec_is_a_line_under_a_heading(train_paths, capsys):
    assert main(["train", *train_paths, "train.lr=x", "train.foo=1"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "mal: error: 2 problems in the spec",
        "  override train.lr=x: must be a number, not 'x'",
        "  override train.foo: no such key",
    ]


def test_a_users_mistake_is_one_line(train_paths, run_train, capsys):
    def run(spec):
        raise UserError("boxes.json: not JSON")

    run_train(run)
    assert main(["train", *train_paths]) == 1
    assert capsys.readouterr().err == "mal: error: boxes.json: not JSON\n"


@pytest.mark.parametrize(("debug", "environment"), [(False, "0"), (True, "0"), (False, "1")])
def test_an_unexpected_error_is_one_line_unless_debugging(
    debug, environment, train_paths, run_train, monkeypatch, capsys
):
    def run(spec):
        raise ZeroDivisionError("two\nlines")

    run_train(run)
    monkeypatch.setenv("MAL_DEBUG", environment)
    assert main(["train", *train_paths, *(["--debug"] if debug else [])]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "mal: error: unexpected ZeroDivisionError: two lines (--debug shows the traceback)"
    assert (len(lines) > 1) == (debug or environment == "1")


def test_debug_may_stand_before_the_command(train_paths, run_train, capsys):
    run_train(lambda spec: 1 // 0)
    assert main(["--debug", "train", *train_paths]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_said_and_has_its_own_exit_code(train_paths, run_train, capsys):
    def run(spec):
        raise KeyboardInterrupt

    run_train(run)
    assert main(["train", *train_paths]) == 130
    assert capsys.readouterr().err == "mal: interrupted\n"


@pytest.mark.parametrize("words", [["tao", "model", "mal"], ["tao", "mal"]])
def test_the_taos_spellings_work(words, train_paths, run_train, monkeypatch):
    run_train(lambda spec: 0)
    monkeypatch.setattr(sys, "argv", [*words, "train", *train_paths])
    assert tao_main() == 0


@pytest.mark.parametrize("words", [["tao"], ["tao", "model"], ["tao", "model", "unet", "train"]])
def test_tao_knows_only_mal(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", words)
    assert tao_main() == 2
    assert "knows only mal" in capsys.readouterr().err


def test_mal_does_not_know_taos_prefix():
    assert main(["model", "mal", "train"]) == 2


def test_an_unexpected_error_names_the_record_that_was_worked_on(train_paths, run_train, capsys):
    def run(spec):
        with working_on("a.json"), working_on('image "b.png"'):
            raise ZeroDivisionError("no")

    run_train(run)
    assert main(["train", *train_paths]) == 1
    assert capsys.readouterr().err.startswith('mal: error: a.json: image "b.png": unexpected ZeroDivisionError: no')


@pytest.mark.parametrize("kind", [UserError, lambda text: SpecError([text]), ValueError])
def test_names_in_errors_cannot_steer_the_terminal(train_paths, run_train, capsys, kind):
    def run(spec):
        raise kind("\x1b[2J\u202ename\x9b")

    run_train(run)
    assert main(["train", *train_paths]) == 1
    assert r"\x1b[2J\u202ename\x9b" in capsys.readouterr().err


def test_a_line_break_in_a_name_does_not_split_the_line_of_an_error(train_paths, run_train, capsys):
    def run(spec):
        raise UserError("two\nlines")

    run_train(run)
    assert main(["train", *train_paths]) == 1
    assert capsys.readouterr().err == "mal: error: two\\nlines\n"
