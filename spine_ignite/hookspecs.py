"""Every hook a plugin may implement: the whole extension story on one page.

A plugin is a distribution with an entry point in the group ``spine_ignite`` that names a module::

    [project.entry-points."spine_ignite"]
    mynet = "spine_ignite_mynet"

The module implements any of the hooks below with :data:`hookimpl`. It must not import torch, so that ``list-models``
stays instant: what is heavy is named by a ``"package.module:name"`` target and imported when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from spine_ignite.spec import Component, ModelSpec

if TYPE_CHECKING:
    from ignite.engine import Engine

ENTRY_POINT_GROUP = "spine_ignite"

hookspec = pluggy.HookspecMarker("spine_ignite")
hookimpl = pluggy.HookimplMarker("spine_ignite")


class RegisterModel(Protocol):
    """Takes the description of an architecture."""

    def __call__(self, spec: ModelSpec) -> None:
        """Register ``spec``; its name and aliases must be free."""


class RegisterComponent(Protocol):
    """Takes the description of a component."""

    def __call__(self, component: Component) -> None:
        """Register ``component``; its name must be free among those of its kind."""


@hookspec
def register_models(register: RegisterModel) -> None:
    """Register architectures; this hook and those below are called once, when plugins are loaded.

    Example::

        @hookimpl
        def register_models(register):
            register(ModelSpec(name="mynet", target="spine_ignite_mynet.model:MyNet", …))
    """


@hookspec
def register_losses(register: RegisterComponent) -> None:
    """Register losses for ``loss.name``.

    The target is called as ``factory(num_classes=…, **loss.options)`` and returns a module that takes logits
    ``(B, num_classes, H, W)`` and labels ``(B, H, W)``, class indices in uint8, and returns a scalar. One that can be
    used with labels that are known in part takes a third argument ``labelled=None``, ``(B, num_classes)`` bool; see
    :class:`spine_ignite.losses.criterion.Criterion`. Weights of classes (``loss.class_weights``) come as the option
    ``weight``, a list with a number for each class.

    Example::

        @hookimpl
        def register_losses(register):
            register(Component("boundary", "spine_ignite_mynet.losses:boundary", "Boundary loss (Kervadec 2019)"))
    """


@hookspec
def register_optimizers(register: RegisterComponent) -> None:
    """Register optimizers for ``optimizer.name``.

    The target is called as ``factory(groups, lr=…, **optimizer.options)`` and returns a ``torch.optim.Optimizer``. The
    groups are those of PyTorch, each with its ``lr``, which the schedule sets, and its ``weight_decay``.

    Example::

        @hookimpl
        def register_optimizers(register):
            register(Component("lion", "spine_ignite_lion:Lion", "Sign of the momentum (Chen et al. 2023)"))
    """


@hookspec
def register_schedules(register: RegisterComponent) -> None:
    """Register courses of the learning rate for ``schedule.name``.

    The target is called as ``curve(t, **schedule.options)``, where ``t`` runs from 0, after warm-up, to 1, and returns
    the factor on the peak rate. It depends on ``t`` alone, so that a resumed run goes on where it stopped.

    Example::

        @hookimpl
        def register_schedules(register):
            register(Component("linear", "spine_ignite_linear:linear", "A straight line to zero"))
    """


@hookspec
def register_metrics(register: RegisterComponent) -> None:
    """Register metrics for ``train.metrics``; what they give is ``validation/<name>`` in the epoch's record.

    A target that is a class of ``ignite.metrics.Metric`` is called as ``Class(**options)`` and sees ``(y_pred, y)`` of
    each validation batch: logits ``(B, K, H, W)`` and labels ``(B, H, W)``. Any other is called as
    ``metric(confusion, **options)`` with the counts ``(K, K)`` of a whole validation, reference in rows, and returns a
    number, or a tensor of one for each class.

    Example::

        @hookimpl
        def register_metrics(register):
            register(Component("precision", "spine_ignite_precision:precision", "TP / (TP + FP)"))
    """


@hookspec
def register_trackers(register: RegisterComponent) -> None:
    """Register trackers for ``log.trackers``, who are told how training goes.

    The target is called as ``factory(run, echo, **options)`` with the :class:`spine_ignite.training.setup.Run` and a
    function that takes a line for whoever watches, and returns an object whose ``attach(trainer)`` connects it to
    events, such as ``TrainingEvents.RECORDED``, when ``trainer.state.metrics`` holds the epoch's record. With
    ``state_dict`` and ``load_state_dict`` its state is in the checkpoint. Files are opened when training starts
    (``Events.STARTED``), not before.

    Example::

        @hookimpl
        def register_trackers(register):
            register(Component("csv", "spine_ignite_csv:CsvTracker", "One table of all epochs"))
    """


@hookspec
def register_readers(register: RegisterComponent) -> None:
    """Register formats of volumes; ``suffixes`` are the endings of their files, which the core's own formats keep.

    The target is called without arguments and returns a :class:`spine_ignite.volumes.reader.Reader`.

    Example::

        @hookimpl
        def register_readers(register):
            register(Component("minc", "spine_ignite_minc.reader:MincReader", "MINC", suffixes=(".mnc",)))
    """


@hookspec
def register_layouts(register: RegisterComponent) -> None:
    """Register layouts of datasets, which are looked for after the core's own.

    The target is called with the dataset's folder. It returns None for a folder that is not laid out so, else a list of
    :class:`spine_ignite.datasets.cases.Folders`, whose files are paired by name, or of
    :class:`spine_ignite.datasets.cases.Case`.

    Example::

        @hookimpl
        def register_layouts(register):
            register(Component("ours", "spine_ignite_ours.layout:find", "our hospital's (exam-*/scan, drawn)"))
    """


@hookspec
def register_cleanup_steps(register: RegisterComponent) -> None:
    """Register steps of post-processing for ``predict.postprocess``, which are taken after the core's own.

    The target is called as ``step(indices, affine, scheme)`` with class indices ``(I, J, K)`` of type uint8, the affine
    (voxel indices to RAS+ mm) and the label scheme, and returns a :class:`spine_ignite.inference.postprocess.Cleaned`.
    With the options :class:`spine_ignite.spec.OfClasses` it gets ``classes`` too, the indices of those to clean.

    Example::

        @hookimpl
        def register_cleanup_steps(register):
            register(Component("smooth", "spine_ignite_smooth:smooth", "smooth surfaces", OfClasses))
    """


@hookspec
def register_label_schemes(register: RegisterComponent) -> None:
    """Register label schemes for ``data.scheme``; the target is a YAML file.

    Example::

        @hookimpl
        def register_label_schemes(register):
            register(Component("mylab", str(Path(__file__).with_name("mylab.yaml")), "The labels of my laboratory"))
    """


@hookspec
def register_networks(register: RegisterComponent) -> None:
    """Register trained networks, which ``predict`` takes by their names, and ``train.start_from``.

    The target is a file of ``spine-ignite export``, which says which architecture it needs; its distribution should
    require that architecture's.

    Example::

        @hookimpl
        def register_networks(register):
            register(Component("mynet", str(Path(__file__).with_name("mynet.safetensors")), "Lumbar spine, T2"))
    """


@hookspec
def register_commands(register: RegisterComponent) -> None:
    """Register commands of ``spine-ignite``; the target is a ``click.Command``, imported when it is run.

    The plugin needs an entry point in the group ``spine_ignite.commands`` besides (or instead of) ``spine_ignite``, so
    that ``spine-ignite --help`` need not load all others. Names of the core's commands stay the core's.

    Example::

        @hookimpl
        def register_commands(register):
            register(Component("cobb", "spine_ignite_cobb.command:cobb", "Measure Cobb's angle."))
    """


@hookspec
def attach_handlers(trainer: Engine, evaluator: Engine, run: Any) -> None:
    """Attach handlers of one's own to the events of training; called after the core's, before training starts.

    The run directory does not exist yet, or holds the former run: open files when training starts (``Events.STARTED``).

    ``run`` is the :class:`spine_ignite.training.setup.Run`: its configuration, directory, network and class names.

    Example::

        @hookimpl
        def attach_handlers(trainer, evaluator, run):
            from ignite.engine import Events

            @evaluator.on(Events.COMPLETED)
            def tell(engine):
                print(engine.state.metrics["dice"])
    """
