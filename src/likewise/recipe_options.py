"""The sections of a recipe: data, training, evaluation, and the stages before the run, each a frozen, checked record."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import to_jsonable_python

from likewise.data import LearnFrom

__all__ = ["DataOptions", "EvaluationOptions", "Options", "Stage", "TrainingOptions"]

Protocol = Literal["few_labels", "clustering", "anomaly", "components", "duplicates", "label_issues"]
Count = int | float


class Options(BaseModel):
    """A frozen record that takes no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataOptions(Options):
    """Where the images come from and how they are split.

    Attributes:
        source: a name (``fashion-mnist``), a path, or a hub id; see ``likewise data SOURCE``.
        validation: images (int) or share (float below 1) of train that selection may look at, drawn by seed.
        train_size: images (int) or share (float) of what remains to train on, or ``10/class`` for so many of each class;
            ``None`` is all. Smaller subsets are contained in larger ones.
        learn_from: what the objective sees: ``train``, or, where it needs no labels, the ``unlabeled`` images or ``both``.
            Where the source has no unlabelled split, what ``train_size`` leaves over takes its place.
        unlabeled_size: images (int) or share (float) of the unlabelled ones; ``None`` is all.
        label_noise: share of the training images that get a wrong label on purpose, drawn by seed; 0 is none.
        unseen_classes: share of the classes that only the test holds; what is measured is retrieval among them.
        image_size: side in pixels that images are resized to; ``None`` keeps them where they all have one size.
        on_bad_image: ``stop`` at an unreadable image, or ``skip`` it and list it in the report.
        memory_limit: bytes of decoded images that may lie in memory; larger sets are streamed. ``None`` is half of RAM.
        image_column: of a table, where it is not among the usual names; so are label_column and caption_column.
        label_column: see image_column.
        caption_column: see image_column.
        caption_templates: sentences with ``{}`` for the class name, which become the captions of a set that has labels.
    """

    source: str
    validation: Count = Field(default=0.1, gt=0)
    train_size: Annotated[Count, Field(gt=0)] | Annotated[str, Field(pattern=r"^[1-9]\d*/class$")] | None = None
    learn_from: LearnFrom = "train"
    unlabeled_size: Count | None = Field(default=None, gt=0)
    label_noise: float = Field(default=0.0, ge=0, lt=1)
    unseen_classes: float | None = Field(default=None, gt=0, lt=1)
    image_size: int | None = Field(default=None, ge=4)
    on_bad_image: Literal["stop", "skip"] = "stop"
    memory_limit: int | None = Field(default=None, gt=0)
    image_column: str | None = None
    label_column: str | None = None
    caption_column: str | None = None
    caption_templates: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _knows_the_classes_it_leaves_out(self) -> Self:
        if self.unseen_classes is not None and self.learn_from != "train":
            raise ValueError(
                f"unseen_classes is {self.unseen_classes:g} and learn_from is {self.learn_from}: the unlabelled images would "
                "show the classes that nothing is to be trained on; set learn_from=train, or leave unseen_classes out"
            )
        return self


class TrainingOptions(Options):
    """The loop.

    Attributes:
        epochs: passes over the training images; 0 measures the model as it was drawn.
        min_steps: at least so many steps: small training sets get more epochs.
        steps: exactly so many steps, in place of ``epochs``; so are images and seconds, one of the three.
        images: as many steps as show so many images, to a whole batch; both images of a pair count, two views of one do not.
        seconds: training ends with the first step that reaches so many seconds; validation and checkpoints do not count.
        batch_size: images a step (pairs a step for objectives that draw pairs), those of all ranks together.
        gradcache: images whose activations are kept at a time, for batches that do not fit; ``None`` keeps the whole batch's.
            The gradient is the same, at the price of one more forward pass; batch normalisation sees chunks.
        optimizer: ``adamw`` (Adam where ``weight_decay`` is 0), ``sgd`` or ``lars``.
        learning_rate: highest learning rate of the schedule.
        weight_decay: decoupled for AdamW.
        decay_biases: weight decay acts on biases, normalisation layers and single learnable numbers too, as torch's SGD has
            it by itself; else on matrices and filters only. LARS leaves them out.
        momentum: of SGD and LARS.
        nesterov: SGD's momentum is Nesterov's, else the plain one.
        beta2: decay of AdamW's squared gradients.
        lookahead: steps after which the weights go back half of the way to where they were at the last such point (Zhang et
            al. 2019); 0 never does.
        schedule: ``constant``, ``cosine`` (to zero after the warm-up) or ``one_cycle`` (up for the warm-up, then straight
            down to zero).
        warmup: share of all steps over which the learning rate rises from zero.
        encoder_rate: the encoders' learning rate as a multiple of ``learning_rate``; below 1 to fine-tune what is good already.
        layer_decay: each layer of the encoders learns at so many times the rate of the layer behind it, the last one at
            ``encoder_rate`` (Howard & Ruder 2018, who take 1/2.6); 1 has one rate for all.
        freeze: ``encoder`` leaves the encoder as it is, its batch statistics included; what stands on it is trained. With
            captions ``text_encoder`` and ``both`` do the same to the text encoder and to both.
        image_blocks: blocks at the end of a frozen image encoder that are trained all the same; what goes into them is computed
            once. ``efficientnet_lite`` and ``resnet`` can.
        text_blocks: layers at the end of a frozen text encoder that are trained all the same; BERT and DistilBERT can.
        gradient_clip: largest Euclidean norm of the gradient; ``None`` does not clip.
        flip: mirror each training image left to right with probability ½.
        shift: move each training image by up to so many pixels in both directions, edges reflected.
        initial_scale: the shorter side of training images at the beginning, as a share of the whole (progressive resizing); 1
            trains on whole images throughout. The encoder and the objective must take images of any size.
        finetune_fraction: share of the steps at the end that see whole images, where ``initial_scale`` is below 1.
        precision: as in Lightning Fabric; ``auto`` is ``bf16-mixed`` where the processor or GPU computes it in hardware.
        accelerator: ``cpu``, ``cuda`` or ``mps``; ``auto`` is a CUDA GPU where there is one, else the CPU.
        compile: ``always`` compiles the encoder (``torch.compile``); ``auto`` does where it was found to earn its time back,
            which is nowhere at present.
        checkpoint_every: epochs between checkpoints.
        tensorboard: write TensorBoard events to ``tensorboard/`` in the run folder (``pip install likewise[tensorboard]``).
    """

    epochs: int = Field(default=10, ge=0)
    min_steps: int = Field(default=0, ge=0)
    steps: int | None = Field(default=None, ge=1)
    images: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    batch_size: int = Field(default=256, ge=2)
    gradcache: int | None = Field(default=None, ge=1)
    optimizer: Literal["adamw", "sgd", "lars"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    decay_biases: bool = False
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    beta2: float = Field(default=0.999, gt=0, lt=1)
    lookahead: int = Field(default=0, ge=0)
    schedule: Literal["constant", "cosine", "one_cycle"] = "one_cycle"
    warmup: float = Field(default=0.2, ge=0, lt=1)
    encoder_rate: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    freeze: Literal["nothing", "encoder", "text_encoder", "both"] = "nothing"
    image_blocks: int = Field(default=0, ge=0)
    text_blocks: int = Field(default=0, ge=0)
    gradient_clip: float | None = Field(default=None, gt=0)
    flip: bool = False
    shift: int = Field(default=0, ge=0)
    initial_scale: float = Field(default=1.0, gt=0, le=1)
    finetune_fraction: float = Field(default=0.3, gt=0, le=1)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    compile: Literal["auto", "always", "never"] = "auto"
    checkpoint_every: int = Field(default=1, ge=1)
    tensorboard: bool = False

    @model_validator(mode="after")
    def _trains_blocks_of_what_is_frozen(self) -> Self:
        for blocks, encoder in (("image_blocks", "encoder"), ("text_blocks", "text_encoder")):
            if getattr(self, blocks) and self.freeze not in (encoder, "both"):
                raise ValueError(
                    f"{blocks} is {getattr(self, blocks)} and freeze is {self.freeze}, which trains the whole encoder; "
                    f"set {blocks}=0, or freeze={encoder} or both"
                )
        return self

    @model_validator(mode="after")
    def _resizes_what_it_trains(self) -> Self:
        if self.initial_scale < 1 and self.freeze != "nothing":
            raise ValueError(
                f"initial_scale is {self.initial_scale:g} and freeze is {self.freeze}: what is frozen is computed once, on "
                "whole images; set initial_scale=1"
            )
        return self

    @model_validator(mode="after")
    def _decays_what_it_can(self) -> Self:
        if self.decay_biases and self.optimizer == "lars":
            raise ValueError(
                "decay_biases is true and optimizer is lars, which leaves biases and normalisation layers out; "
                "set decay_biases=false, or another optimizer"
            )
        return self

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        given = [name for name in ("steps", "images", "seconds") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given, and a run has one length")
        return self


class EvaluationOptions(Options):
    """What is measured and drawn.

    Attributes:
        projection: how embeddings of more than two dimensions are brought to two for the picture.
        projection_points: test images in the picture, at most.
        monitor: images of train and of validation whose embeddings are looked at after each epoch (collapse, 1-NN).
        online_probe: after each epoch also fit a linear probe on the ``monitor`` images of train and score it on those of
            validation.
        mirrored: measure the mean of each image's embedding and that of its mirror image, and of their class scores; where
            left and right mean nothing that is a better number for twice the time. The model itself stays as it is.
        protocols: what else is measured and drawn: ``few_labels``, ``clustering``, ``anomaly``,
            ``components``, ``duplicates``, ``label_issues``.
        templates: sentences with ``{}`` for the class name, of zero-shot classification by a model that knows texts.
        queries: sentences whose nearest test images the report shows, for such a model.
        ratings: file of people's ratings of pairs of a test image and a caption, such as Flickr8k's ``ExpertAnnotations.txt``
            (``likewise.data.ratings`` has the layout), for such a model.
    """

    projection: Literal["tsne", "umap", "pca"] = "tsne"
    projection_points: int = Field(default=3000, ge=10)
    monitor: int = Field(default=2000, ge=16)
    online_probe: bool = False
    mirrored: bool = False
    protocols: tuple[Protocol, ...] = ()
    templates: tuple[str, ...] = ("a photo of a {}.",)
    queries: tuple[str, ...] = ()
    ratings: str | None = None


class Stage(Options):
    """Something that is trained before the run proper, which starts from its weights.

    Attributes:
        name: of the stage and of its folder below ``stages/`` in the run folder.
        set: settings of the recipe that are different in this stage, by the same keys as ``--set``; kept as YAML has them.
        take: what the next stage takes over from it: only the ``encoder``, or the ``model`` with its embedding layer and class
            scores as far as their shapes agree.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    set: Annotated[dict[str, Any], BeforeValidator(to_jsonable_python)] = Field(default_factory=dict)
    take: Literal["encoder", "model"] = "encoder"
