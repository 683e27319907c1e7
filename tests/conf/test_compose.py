"""The configuration that a command line stands for, and the lines that say what is wrong with one."""

import dataclasses

import pytest
import yaml

pytest.importorskip("hydra", reason="hydra cannot be imported: pip install sparsefast[train]")

from sparsefast.conf.compose import choices, compose, expand, to_plain, to_yaml
from sparsefast.conf.run_config import GROUPS
from sparsefast.data.config import CONFIGS
from sparsefast.pipelines import MODELS, config_class

# What a choice has no default for.
NEEDED = {"prior": {"autoencoder": "a"}, "folder": {"root": "/tmp"}}


def words_for(group, name):
    return [f"{group}={name}", *(f"{group}.{key}={value}" for key, value in NEEDED.get(name, {}).items())]


def test_every_model_and_data_set_has_a_file_and_is_composed_to_its_defaults():
    assert choices("model") == sorted(MODELS)
    assert choices("data") == sorted(CONFIGS)
    for model in MODELS:
        assert compose(words_for("model", model)).model == config_class(model)(**NEEDED.get(model, {}))
    for data, keys in CONFIGS.items():
        found = compose(words_for("data", data)).data
        assert type(found) is keys and found == keys(**NEEDED.get(data, {}))


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_says_its_name(group):
    for name in choices(group):
        assert getattr(compose(words_for(group, name)), group).name == name
    assert compose(["train=gpu"]).train.precision == "bf16"


def test_values_have_the_types_of_their_keys():
    config = compose(
        ["model=dlvae", "train.betas=[0.8,0.9]", "model.coefficient_bits=null", "seed=7", "train.ema=0", "name=a b"]
    )
    assert config.train.betas == [0.8, 0.9] and config.model.coefficient_bits is None and config.seed == 7
    assert type(config.train.ema) is float and config.name == "a b"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("model=vqave", "did you mean vqvae?"),
        ("data=cifar", "did you mean cifar10?"),
        ("model.num_embedings=3", "did you mean model.num_embeddings?"),
        ("train.max_epoch=3", "did you mean train.max_epochs?"),
        ("num_hiddens=3", "did you mean model.num_hiddens?"),
        ("nonsense.of.any=3", "there is no such key"),
        ("model.num_embeddings=many", "'many' of type 'str' could not be converted to Integer"),
        ("train.compile=7.5", "train.compile=7.5"),
        ("model.num_embeddings=0", "num_embeddings=0"),
        ("train.metrics=[psnr,lpipps]", "train.metrics=['psnr', 'lpipps'] must be a list of"),
        ("train.betas=[0.9]", "two numbers"),
        ("train.max_epochs=0", "train.max_steps=0 must be above 0 where train.max_epochs is 0"),
        ("seed=-1", "seed=-1 must be at least 0"),
        ("logger.wandb_mode=on", "logger.wandb_mode"),
        ("+model.more=3", "neither added nor taken away"),
        ("~model", "neither added nor taken away"),
        ("model", "is not key=value"),
        ("model.name=dlvae", "there is no such key"),
        ("model=[a,b]", "there is no such choice"),
    ],
)
def test_what_is_wrong_is_said_with_the_word_and_what_to_do(word, says):
    with pytest.raises(ValueError, match=r".") as error:
        compose([word])
    assert says in str(error.value)
    assert word.split("=")[0].lstrip("+~").split(".")[-1] in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_stands_for_a_run_each():
    assert expand(["seed=1,2", "model=vqvae,dlvae", "train.betas=[0.1,0.2]"]) == [
        ["seed=1", "model=vqvae", "train.betas=[0.1,0.2]"],
        ["seed=1", "model=dlvae", "train.betas=[0.1,0.2]"],
        ["seed=2", "model=vqvae", "train.betas=[0.1,0.2]"],
        ["seed=2", "model=dlvae", "train.betas=[0.1,0.2]"],
    ]
    assert len(expand(["seed=range(0,5)"])) == 5
    assert expand(["name='a,b'"]) == [["name='a,b'"]]


def test_the_resolved_configuration_is_a_file_that_gives_it_again(tmp_path):
    config = compose(["model=dlvae", "data=synthetic", "model.sparsity_level=2", "train.max_steps=9", "seed=4"])
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert compose([], file) == config
    assert yaml.safe_load(file.read_text()) == to_plain(config)


def test_the_command_line_goes_before_the_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("model: {name: dlvae, sparsity_level: 2}\ndata: synthetic\ntrain: {max_steps: 5}\nseed: 3\n")
    config = compose(["train.max_steps=6", "data.size=16"], file)
    assert (config.model.sparsity_level, config.data.name, config.data.size) == (2, "synthetic", 16)
    assert (config.train.max_steps, config.seed) == (6, 3)
    # Another model takes nothing of what the file says about its own.
    assert compose(["model=vqvae"], file).model == config_class("vqvae")()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: {name: dlvae, sparsity: 2}", "model.sparsity=2: there is no such key"),
        ("- a\n- b\n", "must hold keys and values"),
        ("model: [1, 2]", "model must be the name of a choice"),
        ("a: {b", "is not a YAML file"),
        ("data: {size: big}", "data.size=big"),
        ("more: 1", "more=1: there is no such key"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(text, says, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r".") as error:
        compose([], file)
    assert says in str(error.value) and "mine.yaml" in str(error.value)


def test_composing_leaves_a_hydra_program_around_it_as_it_was():
    from hydra import compose as their_compose
    from hydra import initialize_config_module

    with initialize_config_module("sparsefast.conf", version_base="1.3"):
        compose([])
        assert their_compose("config").model.name == "vqvae"


def test_every_key_has_words_that_say_what_it_is():
    import inspect
    import re

    from sparsefast.training.config import LoggerConfig, TrainConfig

    for keys in (TrainConfig, LoggerConfig, *(config_class(model) for model in MODELS), *CONFIGS.values()):
        source = "".join(inspect.getsource(base) for base in keys.__mro__ if dataclasses.is_dataclass(base))
        lines = source.splitlines()
        for field in dataclasses.fields(keys):
            if field.name == "name":
                continue
            at = [i for i, line in enumerate(lines) if re.match(rf"    {field.name}:", line)]
            # Beside it or above it; of two keys that share a comment the second stands under the first.
            assert any("#" in lines[i] or "#" in lines[i - 1] or "#" in lines[i - 2] for i in at), field.name
