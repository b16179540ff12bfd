from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from mal.config.load import load_spec, save_spec
from mal.config.schema import ExperimentSpec
from mal.errors import SpecError, UserError

PAGE_SPEC = Path(__file__).with_name("tao_page_spec.yaml")


def problems_of(path: Path | None, *overrides: str, task=None) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides, task=task)
    folder = f"{path.parent}/" if path is not None else ""
    lines = [problem.replace(folder, "") if folder else problem for problem in caught.value.problems]
    assert all("\n" not in line for line in lines)
    return lines


@pytest.fixture
def spec_file(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "spec.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_the_sample_spec_of_taos_page_loads():
    spec = load_spec(PAGE_SPEC)
    assert (spec.strategy, spec.train.lr, spec.train.checkpoint_interval) == ("fsdp", 1.5e-6, 5)
    assert spec.inference.label_dump_path == "sample_output.json"


def test_no_file_and_no_overrides_give_the_defaults():
    assert load_spec(None) == ExperimentSpec()


@pytest.mark.parametrize(
    ("yaml_text", "expected"),
    [
        ("train:\n  lerning_rate: 1", "spec.yaml:2: train.lerning_rate: no such key; did you mean train.lr?"),
        ("lr: 1", "spec.yaml:1: lr: no such key; did you mean train.lr?"),
        ("trian:\n  lr: 1", "spec.yaml:1: trian: no such key; did you mean train?"),
        ("qqq: 1", "spec.yaml:1: qqq: no such key"),
        ("gpus: 2", "spec.yaml:1: gpus: no such key; write `num_gpus: 2` under `train:`"),
        ("gpus: [0, 1]", "spec.yaml:1: gpus: no such key; write `gpu_ids: [0, 1]` under `train:`"),
        ("evaluate:\n  gpus: 2", "spec.yaml:2: evaluate.gpus: no such key; write `num_gpus: 2` under `evaluate:`"),
        (
            "train:\n  val_interval: 5",
            "spec.yaml:2: train.val_interval: no such key; write `validation_interval: 5` under `train:`",
        ),
        (
            "strategy: ddp_sharded",
            "spec.yaml:1: strategy: 'ddp_sharded' is not supported; write `strategy: fsdp`, which shares a model out"
            " between GPUs",
        ),
        ("1: x", "spec.yaml:1: 1: no such key"),
        (
            "train.lr: 1",
            "spec.yaml:1: train.lr: dotted keys belong on the command line; in the file write `lr` under `train:`",
        ),
        ("train.lx: 1", "spec.yaml:1: train.lx: no such key; did you mean train.lr?"),
        ("train:\n  batch_size: 0", "spec.yaml:2: train.batch_size: 0 is too small; must be at least 1"),
        ("model:\n  teacher_momentum: 2", "spec.yaml:2: model.teacher_momentum: 2 is too large; must be at most 1"),
        ("train:\n  crf_zeta: 0", "spec.yaml:2: train.crf_zeta: 0 is too small; must be above 0"),
        ("model:\n  vit_dpr: 1.0", "spec.yaml:2: model.vit_dpr: 1.0 is too large; must be below 1"),
        ("train:\n  seed: -2", "spec.yaml:2: train.seed: -2 is too small; must be at least -1"),
        ("dataset:\n  crop_size: 16", "spec.yaml:2: dataset.crop_size: 16 is too small; must be at least 32"),
        ("train:\n  lr: abc", "spec.yaml:2: train.lr: must be a number, not 'abc'"),
        ("train:\n  lr: '1e-4'", "spec.yaml:2: train.lr: must be a number, not '1e-4'"),
        ("train:\n  lr: .nan", "spec.yaml:2: train.lr: must be a finite number, not nan"),
        ("train:\n  lr: .inf", "spec.yaml:2: train.lr: must be a finite number, not inf"),
        ("train:\n  lr: null", "spec.yaml:2: train.lr: must be a number, not null"),
        ("train:\n  num_epochs: 1.5", "spec.yaml:2: train.num_epochs: must be a whole number, not 1.5"),
        ("train:\n  num_epochs: true", "spec.yaml:2: train.num_epochs: must be a whole number, not true"),
        ("train:\n  use_amp: 1", "spec.yaml:2: train.use_amp: must be true or false, not 1"),
        ("results_dir: 7", "spec.yaml:1: results_dir: must be a text, not 7; put it in quotes"),
        ("model:\n  num_blocks: x", "spec.yaml:2: model.num_blocks: must be a whole number or null, not 'x'"),
        ("strategy: dpp", "spec.yaml:1: strategy: 'dpp' is not supported; must be 'ddp' or 'fsdp'"),
        ("dataset:\n  type: voc", "spec.yaml:2: dataset.type: 'voc' is not supported; must be 'coco'"),
        (
            "model:\n  arch: vit-mae-bas/16",
            "spec.yaml:2: model.arch: 'vit-mae-bas/16' is not a known backbone; did you mean vit-mae-base/16?",
        ),
        (
            "model:\n  num_blocks: 13",
            "spec.yaml:2: model.num_blocks: 13 is too large; vit-mae-base/16 has 12 blocks",
        ),
        ("train:\n  mask_thres: 0.1", "spec.yaml:2: train.mask_thres: must be a list, not 0.1"),
        (
            "train:\n  mask_thres: [0.1, 0.2]",
            "spec.yaml:2: train.mask_thres: has 2 values; must have 1, or 3 (small, medium, large)",
        ),
        ("train:\n  mask_thres: [2]", "spec.yaml:2: train.mask_thres[0]: 2 is too large; must be at most 1"),
        ("train:\n  optim_betas: [0.9]", "spec.yaml:2: train.optim_betas: has 1 values; needs at least 2"),
        ("train:\n  margin_rate: [0, 1, 2]", "spec.yaml:2: train.margin_rate: has 3 values; needs at most 2"),
        (
            "train:\n  margin_rate: [1, 0.5]",
            "spec.yaml:2: train.margin_rate: the smallest margin (1) is above the largest (0.5)",
        ),
        ("train:\n  crf_kernel_size: 4", "spec.yaml:2: train.crf_kernel_size: 4 is even; must be odd, as in 3 or 5"),
        (
            "train:\n  crf_value_low_thres: 0.95",
            "spec.yaml:2: train.crf_value_low_thres: 0.95 is not below train.crf_value_high_thres (0.9)",
        ),
        (
            "dataset:\n  max_obj_size: 5",
            "spec.yaml:2: dataset.max_obj_size: 5 leaves no box to train on; must be above dataset.min_obj_size (2048)",
        ),
        ("train:\n  gpu_ids: [0, a]", "spec.yaml:2: train.gpu_ids[1]: must be a whole number, not 'a'"),
        ("train:\n  gpu_ids: [-1]", "spec.yaml:2: train.gpu_ids: -1 is not the index of a GPU; indices start at 0"),
        ("train:\n  gpu_ids: [1, 1]", "spec.yaml:2: train.gpu_ids: GPU 1 is listed more than once"),
        ("train:\n  gpu_ids: []", "spec.yaml:2: train.gpu_ids: has 0 values; needs at least 1"),
        (
            "inference:\n  trt_engine: a.engine",
            "spec.yaml:2: inference.trt_engine: TensorRT engines are not read; leave it empty and name a .pth file in"
            " `checkpoint`",
        ),
        (
            "inference:\n  score: false\n  min_score: 0.5",
            "spec.yaml:3: inference.min_score: needs scores, and inference.score is false; set that to true, or"
            " min_score to null",
        ),
        (
            "train: 5",
            "spec.yaml:1: train: is a section: write its fields in lines of their own under it, not 5",
        ),
        (
            "train:\n  cudnn: fast",
            "spec.yaml:2: train.cudnn: is a section: write its fields in lines of their own under it, not 'fast'",
        ),
        ("strategy: {a: 1}", "spec.yaml:1: strategy: a group of fields is not supported; must be 'ddp' or 'fsdp'"),
        ("train:\n  lr: 1\n  lr: 2", "spec.yaml:3: train.lr: given twice, first on line 2"),
        ("strategy: !!set {a}", "spec.yaml:1: strategy: Value 'set' is not a supported primitive type"),
        ("train:\n  gpu_ids: [0, '${x}']", "spec.yaml:2: train.gpu_ids: Interpolation key 'x' not found"),
        ("results_dir: ${nowhere}", "spec.yaml:1: results_dir: Interpolation key 'nowhere' not found"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_place(spec_file, yaml_text, expected):
    assert problems_of(spec_file(yaml_text)) == [expected]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "spec.yaml: the spec is empty; `mal spec` prints a complete one"),
        ("# nothing\n", "spec.yaml: the spec is empty; `mal spec` prints a complete one"),
        (b"\x89PNG\r\n\x1a\n\xff\x00", "spec.yaml: not a text file; a spec is YAML in UTF-8"),
        (b"a\x00b", "spec.yaml: not a text file; a spec is YAML in UTF-8"),
        ("- train\n- model\n", "spec.yaml:1: a spec is made of `key: value` lines; this is something else"),
        ("just words", "spec.yaml:1: a spec is made of `key: value` lines; this is something else"),
        ("a: 1\n---\nb: 2\n", "spec.yaml:2: not valid YAML: but found another document"),
        ("train:\n\tlr: 1\n", "spec.yaml:2: not valid YAML: found character '\\t' that cannot start any token"),
        ("train: [1, 2\n", "spec.yaml:2: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("x: \x07\n", "spec.yaml: not valid YAML: special characters are not allowed"),
        ("x: !!python/name:os.system\n", None),
        ("train: &t\n  model: *t\n", "spec.yaml:2: not valid YAML: a value contains itself"),
    ],
)
def test_a_file_that_is_no_spec_is_told_in_one_line(spec_file, content, expected):
    (problem,) = problems_of(spec_file(content))
    if expected is None:
        assert problem.startswith("spec.yaml:1: not valid YAML: could not determine a constructor")
    else:
        assert problem == expected


def test_a_missing_file_is_named(tmp_path):
    assert problems_of(tmp_path / "spec.yaml") == ["spec.yaml: no such spec file"]


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    (tmp_path / "spec.yaml").mkdir()
    assert problems_of(tmp_path / "spec.yaml") == ["spec.yaml: is a folder; name the YAML file in it"]


def test_all_problems_are_told_at_once_file_lines_first_then_overrides(spec_file):
    path = spec_file("train:\n  wd: x\n  lr: 1\n  lr: 2\ndataset:\n  bordr: wrap\nstrategy: none\n")
    assert problems_of(path, "train.seed=x", "nope=1", "train.gpu_ids=[0") == [
        "spec.yaml:2: train.wd: must be a number, not 'x'",
        "spec.yaml:4: train.lr: given twice, first on line 3",
        "spec.yaml:6: dataset.bordr: no such key; did you mean dataset.border?",
        "spec.yaml:7: strategy: 'none' is not supported; must be 'ddp' or 'fsdp'",
        "override train.seed=x: must be a whole number, not 'x'",
        "override nope: no such key",
        "override train.gpu_ids=[0: not a valid value; is a bracket missing?",
    ]


@pytest.mark.parametrize(
    ("yaml_text", "key", "value"),
    [
        ("train:\n  lr: 1e-6", "train.lr", 1e-6),
        ("train:\n  lr: 1.5E-06", "train.lr", 1.5e-6),
        ("wandb:\n  name: 2024-01-31", "wandb.name", "2024-01-31"),
        ("train:", "train.lr", 1.5e-6),
        ("train:\n  cudnn:", "train.cudnn.deterministic", True),
        ("evaluate:\n  checkpoint: ???", "evaluate.checkpoint", None),
        ("results_dir: /r\ntrain:\n  results_dir: ${results_dir}/x", "train.results_dir", "/r/x"),
        ("train: &t\n  num_gpus: 2\nevaluate:\n  <<: *t", "evaluate.gpu_ids", [0, 1]),
    ],
)
def test_values_are_read_as_people_mean_them(spec_file, yaml_text, key, value):
    found = load_spec(spec_file(yaml_text))
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.lr=1e-4", "train.lr", 1e-4),
        ("train.gpu_ids=[0,1]", "train.gpu_ids", [0, 1]),
        ("results_dir=/x", "results_dir", "/x"),
        ("results_dir=/x=y", "results_dir", "/x=y"),
        ("results_dir='/x y'", "results_dir", "/x y"),
        ("results_dir=/x: y", "results_dir", "/x: y"),
        ("results_dir=[x", "results_dir", "[x"),
        ("results_dir=2024", "results_dir", "2024"),
        ("train.results_dir=null", "train.results_dir", None),
        ("train.results_dir=", "train.results_dir", None),
        ("encryption_key=0123", "encryption_key", "0123"),
        ("train.cudnn.benchmark=true", "train.cudnn.benchmark", True),
        ("train={lr: 1, cudnn: {benchmark: true}}", "train.cudnn.benchmark", True),
        ("wandb.tags=[a, b]", "wandb.tags", ["a", "b"]),
    ],
)
def test_an_override_goes_before_the_file(spec_file, override, key, value):
    found = load_spec(spec_file("results_dir: /file\ntrain:\n  results_dir: /file/train\n  lr: 0.5\n"), [override])
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value


def test_the_last_of_two_overrides_wins():
    assert load_spec(None, ["train.lr=1", "train.lr=2"]).train.lr == 2


def test_an_override_mends_a_wrong_value_of_the_file(spec_file):
    assert load_spec(spec_file("train:\n  lr: abc"), ["train.lr=1"]).train.lr == 1


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lr=abc", "override train.lr=abc: must be a number, not 'abc'"),
        ("train.lerning_rate=1", "override train.lerning_rate: no such key; did you mean train.lr?"),
        ("train.lr.x=1", "override train.lr.x: no such key; did you mean train.lr?"),
        ("train=5", "override train=5: is a section: write its fields in lines of their own under it, not 5"),
        ("train.lr", "override train.lr: must be written as key=value"),
        ("train.gpu_ids=[0,a]", "override train.gpu_ids=[0,a]: train.gpu_ids[1]: must be a whole number, not 'a'"),
    ],
)
def test_a_wrong_override_is_quoted(override, expected):
    assert problems_of(None, override) == [expected]


@pytest.mark.parametrize("override", ["encryption_key=${hunter2", "encription_key=hunter2", "encryption_key.x=hunter2"])
def test_a_secret_is_never_part_of_a_message(override):
    assert "hunter2" not in problems_of(None, override)[0]


@pytest.mark.parametrize(
    "line",
    [
        "*hunter2",
        "!hunter2 x",
        "\n  *hunter2",
        "!!int hunter2",
        "hunter2: x",
        '"hunter2',
        "{hunter2",
        "@hunter2",
        "|hunter2",
    ],
)
def test_a_secret_that_is_no_yaml_is_neither_in_the_message_nor_in_the_traceback(spec_file, line):
    with pytest.raises(SpecError) as caught:
        load_spec(spec_file(f"results_dir: /x\nencryption_key: {line}\n"))
    assert "not valid YAML" in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_secret_of_the_wrong_type_is_not_shown(spec_file):
    assert problems_of(spec_file("encryption_key: 12345")) == [
        "spec.yaml:1: encryption_key: must be a text or null, not that value; put it in quotes"
    ]


def test_the_threshold_may_be_the_one_that_fits_the_box(tmp_path):
    assert load_spec(None, ["train.mask_thres=box_fit"]).train.mask_thres == "box_fit"
    file = tmp_path / "saved.yaml"
    save_spec(load_spec(None, ["train.mask_thres=box_fit"]), file)
    assert load_spec(file).train.mask_thres == "box_fit"


def test_another_word_is_no_threshold():
    with pytest.raises(SpecError, match=r"train\.mask_thres=tight: .tight. is no threshold; must be numbers in a list"):
        load_spec(None, ["train.mask_thres=tight"])


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "images").mkdir()
    for name in ("ann.json", "model.pth"):
        (tmp_path / name).write_text("{}")
    return {
        "ann": str(tmp_path / "ann.json"),
        "images": str(tmp_path / "images"),
        "model": str(tmp_path / "model.pth"),
        "results": str(tmp_path / "out"),
    }


def problems_of_task(task: str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(None, overrides, task=task)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        ("train", ["dataset.train_ann_path", "dataset.train_img_dir"]),
        ("evaluate", ["evaluate.checkpoint", "dataset.val_ann_path", "dataset.val_img_dir"]),
        ("inference", ["inference.checkpoint", "inference.ann_path", "inference.img_dir"]),
    ],
)
def test_every_path_that_a_task_needs_is_asked_for(task, keys, paths):
    noun = {"train": "training", "evaluate": "evaluation", "inference": "inference"}[task]
    found = problems_of_task(task, f"results_dir={paths['results']}")
    assert found == [f"spec: {key}: must be given for {noun}" for key in keys]


def test_a_task_with_its_paths_loads(paths):
    base = [f"results_dir={paths['results']}"]
    train = [f"dataset.train_ann_path={paths['ann']}", f"dataset.train_img_dir={paths['images']}"]
    evaluate = [f"dataset.val_ann_path={paths['ann']}", f"dataset.val_img_dir={paths['images']}"]
    load_spec(None, base + train, task="train")
    load_spec(None, base + train + evaluate, task="train")
    load_spec(None, [*base, *evaluate, f"evaluate.checkpoint={paths['model']}"], task="evaluate")


def test_paths_that_do_not_exist_are_told_with_the_other_problems(paths):
    found = problems_of_task(
        "inference",
        "inference.checkpoint=/no.pth",
        f"inference.ann_path={paths['images']}",
        f"inference.img_dir={paths['ann']}",
        f"results_dir={paths['results']}",
        "inference.batch_size=0",
    )
    assert found == [
        "override inference.checkpoint=/no.pth: no such file: /no.pth",
        f"override inference.ann_path={paths['images']}: {paths['images']}: cannot tell its format, it looks like none"
        " that is known: say it with inference.ann_format",
        f"override inference.img_dir={paths['ann']}: {paths['ann']} is a file; must be a folder",
        "override inference.batch_size=0: 0 is too small; must be at least 1",
    ]


@pytest.mark.parametrize(("given", "absent"), [("val_ann_path", "val_img_dir"), ("val_img_dir", "val_ann_path")])
def test_training_takes_both_validation_paths_or_neither(given, absent, paths):
    found = problems_of_task(
        "train",
        f"results_dir={paths['results']}",
        f"dataset.train_ann_path={paths['ann']}",
        f"dataset.train_img_dir={paths['images']}",
        f"dataset.{given}={paths['ann' if given == 'val_ann_path' else 'images']}",
    )
    assert found == [f"spec: dataset.{absent}: must be given together with dataset.{given}, or neither"]


@pytest.mark.parametrize("key", ["train.resume_training_checkpoint_path", "train.pretrained_model_path"])
def test_a_checkpoint_to_start_from_must_exist(key, paths):
    found = problems_of_task(
        "train",
        f"results_dir={paths['results']}",
        f"dataset.train_ann_path={paths['ann']}",
        f"dataset.train_img_dir={paths['images']}",
        f"{key}=/no.pth",
    )
    assert found == [f"override {key}=/no.pth: no such file: /no.pth"]


def test_a_results_folder_under_a_file_is_refused(paths):
    found = problems_of_task(
        "train",
        f"results_dir={paths['ann']}/deeper",
        f"dataset.train_ann_path={paths['ann']}",
        f"dataset.train_img_dir={paths['images']}",
    )
    assert len(found) == 1
    assert found[0].endswith(f"cannot be a folder: {paths['ann']} is a file")


def test_a_section_written_as_a_value_is_told_once(tmp_path, paths):
    spec_file = tmp_path / "spec.yaml"
    spec_file.write_text(f"results_dir: {paths['results']}\ndataset: 5\n")
    with pytest.raises(SpecError) as caught:
        load_spec(spec_file, task="train")
    assert len(caught.value.problems) == 1


def test_an_annotation_file_may_be_a_url_which_is_not_looked_at_yet(tmp_path):
    spec = tmp_path / "spec.yaml"
    (tmp_path / "a.pth").touch()
    spec.write_text(
        f"results_dir: {tmp_path}\n"
        f"inference: {{checkpoint: {tmp_path}/a.pth, ann_path: 's3://b/a.json', img_dir: 's3://b/images'}}\n"
    )
    assert load_spec(spec, task="inference").inference.ann_path == "s3://b/a.json"


def test_a_saved_spec_loads_back_the_same(tmp_path):
    spec = ExperimentSpec(train={"lr": 1e-7, "optim_betas": [0.5, 0.9], "gpu_ids": [1, 2]}, results_dir="/ä b")
    save_spec(spec, tmp_path / "deeper" / "spec.yaml")
    assert load_spec(tmp_path / "deeper" / "spec.yaml") == spec


def test_the_encryption_key_is_never_saved(tmp_path):
    save_spec(ExperimentSpec(encryption_key="hunter2"), tmp_path / "spec.yaml")
    assert "hunter2" not in (tmp_path / "spec.yaml").read_text()
    assert load_spec(tmp_path / "spec.yaml").encryption_key is None


def test_a_failed_write_leaves_the_last_good_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "spec.yaml"
    save_spec(ExperimentSpec(), path)
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(UserError, match="No space left"):
        save_spec(ExperimentSpec(results_dir="/other"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/spec\.yaml"):
        save_spec(ExperimentSpec(), tmp_path / "file" / "spec.yaml")
