from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from likewise.errors import RecipeError
from likewise.models import EmbeddingModel, InputSpec
from likewise.recipe import Recipe
from likewise.recipes import comparison_names, comparison_title, load_recipe, load_recipes, recipe_names
from likewise.training.length import Length
from likewise.training.train import resolve

SHORT = {"name": "mine", "data": {"source": "digits"}, "objective": "siamese"}


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("budget", ["smoke", "laptop", "paper"])
def test_every_shipped_recipe_survives_yaml(name: str, budget: str) -> None:
    recipe = load_recipe(name, budget=budget)  # type: ignore[arg-type]
    assert recipe.name == name
    assert recipe.budget == budget
    assert recipe.title
    assert recipe.evaluation.projection_points == (500 if budget == "smoke" else 3000)
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


def test_the_paper_budget_is_the_course_sheets_setting() -> None:
    siamese = load_recipe("fashion-siamese", budget="paper")
    assert siamese.data.validation == 3000
    assert siamese.encoder.name == "siamese_cnn"
    assert siamese.embedding_dim == 10
    assert siamese.objective.model_dump() == {"name": "siamese", "margin": 2.5, "half": False}
    assert (siamese.training.epochs, siamese.training.batch_size, siamese.training.learning_rate) == (5, 128, 1e-3)
    mnist = load_recipe("mnist-2d-contrastive", budget="paper")
    assert (mnist.training.batch_size, mnist.training.learning_rate, mnist.training.epochs) == (8, 1e-4, 100)
    assert mnist.objective.model_dump() == {
        "name": "contrastive",
        "margin": 1.0,
        "form": "squared",
        "reduction": "sum",
    }


def test_the_paper_budget_is_the_keras_examples_and_supcontrasts_setting() -> None:
    """Dropout, 512 with ReLU, dropout, classes; and one linear layer on 2,048 features, SGD 5 on batches of 512."""
    plain = load_recipe("cifar10-resnet50-crossentropy", budget="paper")
    model = EmbeddingModel(
        plain.encoder,
        InputSpec(channels=3, height=32, width=32, mean=(0.5,) * 3, std=(0.2,) * 3),
        embedding_dim=plain.embedding_dim,
        hidden=plain.hidden,
        dropout=plain.dropout,
        head=plain.head,
    )
    kinds = [type(layer).__name__ for layer in model.embedding]
    assert kinds == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert model.embedding[1].weight.shape == (512, 2048)
    assert {layer.p for layer in model.embedding if isinstance(layer, nn.Dropout)} == {0.5}
    tuned = load_recipe("cifar10-resnet50-npairs-finetune", budget="paper")
    rates = [
        (part.training.learning_rate, part.training.encoder_rate) for part in (tuned.stage(0), tuned.stage(1), tuned)
    ]
    assert rates == [(1e-3, 1.0), (1e-3, 1.0), (1e-3 / 4, 0.4)]
    linear = load_recipe("cifar10-resnet50-supcon", budget="paper")
    pretrain = linear.stage(0)
    for part, batch, rate, decay in ((pretrain, 1024, 0.5, 1e-4), (linear, 512, 5.0, 0.0)):
        assert (part.head, part.embedding_dim, part.hidden, part.dropout) == ("none", 2048, None, 0.0)
        options = part.training
        assert (options.optimizer, options.momentum, options.nesterov) == ("sgd", 0.9, False)
        assert (options.batch_size, options.learning_rate, options.weight_decay) == (batch, rate, decay)
    assert (pretrain.training.epochs, linear.training.epochs) == (1000, 100)
    assert (pretrain.training.freeze, linear.training.freeze) == ("nothing", "encoder")


def test_the_paper_budget_has_the_heads_and_the_sgd_of_moco_simsiam_and_dino() -> None:
    moco, simsiam, dino = (load_recipe(f"cifar10-{name}", budget="paper") for name in ("moco", "simsiam", "dino"))
    assert moco.objective.hidden_width == 0  # type: ignore[attr-defined]
    wide = simsiam.objective.model_dump()
    assert (wide["projector_layers"], wide["width"], wide["predictor_width"]) == (2, 2048, 512)
    for recipe, decay, biases in ((moco, 5e-4, True), (simsiam, 5e-4, True), (dino, 1e-4, False)):
        options = recipe.training
        assert (options.optimizer, options.nesterov, options.decay_biases) == ("sgd", False, biases)
        assert (options.batch_size, options.learning_rate, options.weight_decay) == (512, 0.06, decay)
        assert load_recipe(recipe.name, budget="laptop").training.optimizer == "adamw"


def test_few_images_are_passed_often_where_only_a_layer_learns() -> None:
    """216 images in batches of 250 are 20 steps in 20 epochs."""
    for budget in ("laptop", "paper"):
        recipe = load_recipe("cifar10-transfer", budget=budget)  # type: ignore[arg-type]
        probe = recipe.stage(0) if recipe.before else recipe
        assert (Length.of(probe, 216).steps, Length.of(probe, 4000).steps) == (300, 320)


def test_papers_on_views_are_measured_on_the_encoders_features() -> None:
    for name in ("cifar10-simclr", "cifar10-byol", "stl10-simclr"):
        recipe = load_recipe(name, budget="paper")
        assert recipe.head == "none"
        side = recipe.data.image_size or 32
        assert recipe.embedding_dim == recipe.encoder.build(3, (side, side)).out_features


def test_the_fashion_losses_differ_in_the_objective_and_see_as_many_images() -> None:
    recipes = load_recipes(["fashion-losses"], budget="laptop")
    assert [recipe.objective.label for recipe in recipes] == [
        *("cross-entropy", "siamese", "triplet", "n-pairs", "supcon", "multi-similarity", "proxy-anchor")
    ]
    assert len({recipe.data for recipe in recipes}) == len({recipe.embedding_dim for recipe in recipes}) == 1
    assert {recipe.encoder.name for recipe in recipes} == {"small_cnn"}
    seen = {r.training.epochs * r.training.batch_size * (1 + r.objective.draws_pairs) for r in recipes}
    assert len(seen) == 1
    paper = load_recipe("fashion-proxyanchor", budget="paper").objective.model_dump()
    assert paper["loss_learning_rate"] == 100
    assert (paper["loss"]["margin"], paper["loss"]["alpha"]) == (0.1, 32)


def test_overrides_find_their_section_or_say_what_is_near() -> None:
    recipe = Recipe.parse(SHORT)
    changed = recipe.with_overrides({"epochs": 7, "objective.margin": 1.5, "data.source": "mnist", "seed": 3})
    assert (changed.training.epochs, changed.objective.margin) == (7, 1.5)  # type: ignore[attr-defined]
    assert (changed.data.source, changed.seed) == ("mnist", 3)
    assert recipe.training.epochs == 10
    assert recipe.with_overrides({"objective": "cross_entropy"}).objective.name == "cross_entropy"
    assert recipe.with_overrides({"encoder.name": "siamese_cnn"}).encoder.name == "siamese_cnn"
    with pytest.raises(RecipeError, match=r"'epoch' is not a setting of recipe 'mine'\. Near it: epochs"):
        recipe.with_overrides({"epoch": 7})
    with pytest.raises(RecipeError, match=r"objective.temperature: Extra inputs are not permitted, got 2"):
        recipe.with_overrides({"objective.temperature": 2})


METRIC = SHORT | {"objective": {"name": "metric", "loss": {"name": "triplet", "margin": 0.5}}}


def test_overrides_reach_into_a_section_and_a_new_name_starts_it_anew() -> None:
    recipe = Recipe.parse(METRIC)

    def objective(**overrides: object) -> dict[str, object]:
        named = {key.replace("__", "."): value for key, value in overrides.items()}
        return recipe.with_overrides(named).objective.model_dump()

    assert objective(objective__loss__margin=0.1)["loss"]["margin"] == 0.1  # type: ignore[index]
    assert objective(margin=0.1)["loss"]["mining"] == "all"  # type: ignore[index]
    supcon = {"name": "supcon", "temperature": 0.1, "variant": "out", "tile_size": None}
    assert objective(objective__loss="supcon")["loss"] == supcon
    assert objective(objective__loss__name="supcon")["loss"] == supcon
    both = objective(objective__loss__temperature=0.2, objective__loss="supcon")
    assert both["loss"] == supcon | {"temperature": 0.2}
    assert objective(objective__sampler="classes")["sampler"] == {"name": "classes", "images_per_class": 4}
    assert objective(objective__sampler__images_per_class=2, objective__sampler="classes")["sampler"] == {
        "name": "classes",
        "images_per_class": 2,
    }
    again = Recipe.parse(SHORT).with_overrides(
        {"objective.loss.margin": 0.3, "objective.loss": "triplet", "objective": "metric"}
    )
    assert again.objective.model_dump()["loss"]["margin"] == 0.3
    with pytest.raises(RecipeError, match=r"'margni' is not a setting of recipe 'mine'\. Near it: margin"):
        recipe.with_overrides({"margni": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"learning_rate": -1}}, r"training.learning_rate: .*greater than 0, got -1"),
        ({"training": {"learning_rate": float("nan")}}, r"training.learning_rate"),
        ({"training": {"batch_size": 1}}, r"training.batch_size"),
        ({"objective": "tripplet"}, r"objective: .*'tripplet' is not known"),
        ({"objective": {"name": "siamese", "margin": 0}}, r"objective.*margin"),
        ({"encoder": "resnet9000"}, r"encoder: .*'resnet9000' is not known"),
        ({"data": {}}, r"data.source: Field required"),
        ({"name": "../../etc"}, r"name: "),
        ({"seed": -1}, r"seed: "),
        ({"objective": {"name": "metric", "loss": "tripplet"}}, r"'tripplet' is not known.*supcon.*loss=triplet"),
        ({"objective": {"name": "metric", "loss": "nt_xent"}}, r"'nt_xent' needs views, not labels.*supcon"),
        (
            {"objective": {"name": "metric", "loss": {"name": "triplet", "temperature": 1}}},
            r"unknown option 'temperature'\. Expected: margin, mining",
        ),
        ({"objective": {"name": "metric", "loss": {"name": "triplet", "mining": "soft"}}}, r"'soft'.*'semihard'"),
        ({"objective": {"name": "metric", "loss": {"name": "supcon", "temperature": 0}}}, r"temperature is 0"),
        (
            {"objective": {"name": "metric", "loss": {"name": "supcon", "temperature": "hot"}}},
            r"loss supcon cannot use",
        ),
        ({"objective": {"name": "metric", "loss": {"margin": 1}}}, r"objective\.loss\.name: Field required"),
        ({"objective": {"name": "metric", "sampler": "clases"}}, r"objective\.sampler: Sampler 'clases' is not known"),
        ({"objective": {"name": "metric", "sampler": {"name": "classes", "classes": 8}}}, r"sampler\.classes: Extra"),
        (
            {
                "objective": {
                    "name": "metric",
                    "sampler": {"name": "hierarchical", "super_classes": {"a": "xy", "b": ["x"]}},
                }
            },
            r"super_classes",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_it_got(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.parse(SHORT | change)


def test_recipes_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "short.yaml").write_text("name: mine\ndata: {source: digits}\nobjective: siamese\n")
    assert load_recipe(tmp_path / "short.yaml") == Recipe.parse(SHORT)
    (tmp_path / "made.py").write_text(
        "import likewise as lw\n"
        "def recipe(budget):\n"
        "    return lw.Recipe(name='made', budget=budget, data={'source': 'digits'}, objective='contrastive')\n"
    )
    assert load_recipe(tmp_path / "made.py", budget="smoke").budget == "smoke"
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(RecipeError, match=r"no function recipe\(budget\)"):
        load_recipe(tmp_path / "empty.py")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(RecipeError, match="holds list, not a recipe"):
        load_recipe(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(RecipeError, match="is not YAML"):
        load_recipe(tmp_path / "broken.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: café\n".encode("latin-1"))
    with pytest.raises(RecipeError, match=r"latin.yaml cannot be read .*UTF-8"):
        load_recipe(tmp_path / "latin.yaml")
    (tmp_path / "divides.py").write_text("def recipe(budget):\n    return 1 / 0\n")
    with pytest.raises(RecipeError, match=r"divides.py, line 2: ZeroDivisionError: division by zero"):
        load_recipe(tmp_path / "divides.py")
    (tmp_path / "typo.py").write_text("x = 1\ndef recipe(budget:\n")
    with pytest.raises(RecipeError, match=r"typo.py, line 2: SyntaxError"):
        load_recipe(tmp_path / "typo.py")
    with pytest.raises(RecipeError, match="fashion-siamese"):
        load_recipe("fashion-siames")
    with pytest.raises(RecipeError, match=r"resolved for the budget laptop.*--set"):
        load_recipe(tmp_path / "short.yaml", budget="paper")


def test_resolve_puts_options_over_the_recipe() -> None:
    recipe = resolve("digits-crossentropy", data="mnist", budget="smoke", seed=4, overrides={"epochs": 1})
    assert (recipe.data.source, recipe.seed, recipe.training.epochs, recipe.budget) == ("mnist", 4, 1, "smoke")


@pytest.mark.parametrize("key", ["validation", "data.validation"])
def test_what_is_set_stands_whatever_another_source_changes(key: str) -> None:
    assert resolve("fashion-siamese", data="photos").data.validation == 0.1
    assert resolve("fashion-siamese", data="photos", overrides={key: 500}).data.validation == 500
    elsewhere = resolve("fashion-siamese", overrides={"source": "photos"})
    assert (elsewhere.data.validation, elsewhere.title.split()[0]) == (0.1, "photos")


def test_a_title_names_the_source_that_is_learned_from() -> None:
    assert resolve("fashion-siamese").title == "Fashion-MNIST by siamese pairs, contrastive loss"
    assert resolve("fashion-siamese", data="fashion-mnist").title == resolve("fashion-siamese").title
    assert resolve("fashion-siamese", data="my/photos/").title == "photos by siamese pairs, contrastive loss"
    assert resolve("fashion-siamese", data="photos", overrides={"title": "Shoes by me"}).title == "Shoes by me"


def test_every_shipped_title_names_another_source_in_place_of_its_own() -> None:
    titles = [resolve(name, data="my/shoes", budget="smoke").title for name in recipe_names()]
    assert [title for title in titles if not title.startswith("shoes by ")] == []


@pytest.mark.parametrize("budget", ["smoke", "laptop", "paper"])
@pytest.mark.parametrize("name", comparison_names())
def test_a_shipped_comparison_stands_for_recipes_of_the_same_images(name: str, budget: str) -> None:
    members = load_recipes([name], budget=budget)  # type: ignore[arg-type]
    assert all(load_recipe(member.name, budget=budget) == member for member in members)  # type: ignore[arg-type]
    shared = ("source", "image_size", "validation", "train_size")
    assert all(getattr(member.data, key) == getattr(members[0].data, key) for member in members for key in shared)
    assert comparison_title(name)
    with pytest.raises(RecipeError, match=rf"{name} is a comparison of {members[0].name}, .*likewise compare"):
        load_recipe(name)


def test_the_three_ways_differ_in_the_encoder_alone() -> None:
    reconstructs, joint, random = load_recipes(["stl10-probe-three-ways"], budget="laptop")
    assert (reconstructs.data.learn_from, reconstructs.data.unlabeled_size) == ("unlabeled", 10_000)
    assert joint.data.learn_from == "train"
    assert (random.training.epochs, random.training.min_steps) == (0, 0)
    assert reconstructs.encoder == joint.encoder == random.encoder
    assert reconstructs.embedding_dim == joint.embedding_dim == random.embedding_dim


def test_only_objectives_without_labels_learn_from_unlabelled_images() -> None:
    data = {"source": "digits", "train_size": 100, "learn_from": "unlabeled"}
    assert Recipe.parse(SHORT | {"data": data, "objective": "rotation"}).data.learn_from == "unlabeled"
    with pytest.raises(RecipeError, match="learn_from is unlabeled and the objective siamese learns from labels"):
        Recipe.parse(SHORT | {"data": data})


@pytest.mark.parametrize("budget", ["smoke", "laptop", "paper"])
def test_pictures_whose_captions_say_left_and_right_are_never_mirrored(budget: str) -> None:
    shapes = load_recipe("clip-shapes", budget=budget)  # type: ignore[arg-type]
    assert not shapes.evaluation.mirrored
    assert not shapes.training.flip
