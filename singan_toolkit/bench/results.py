"""What is measured, as it is told: one record a row, whose fields are its columns. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar


@dataclass(frozen=True)
class Doing:
    """What is being measured right now, and how far that is."""

    what: str
    state: str = ""


def column(title: str = "", form: str = "") -> Any:
    """A field that is shown below ``title``, formatted by ``form``; without a title it is for programs only."""
    return field(metadata=dict(title=title, form=form))


@dataclass(frozen=True)
class Row:
    """A row of the table of that name (for programs) and title (for people)."""

    table: ClassVar[str]
    title: ClassVar[str]

    def cells(self) -> dict[str, str | None]:
        """The columns' titles and what stands below each; None where something is not there or was not measured."""
        found: dict[str, str | None] = {}
        for one in fields(self):
            if title := one.metadata["title"]:
                value = getattr(self, one.name)
                found[title] = None if value is None else format(value, one.metadata["form"])
        return found


@dataclass(frozen=True)
class Machine(Row):
    """The machine, and the speed that everything else is held against.

    Attributes:
        processor: Its name.
        threads, cores: That torch computes with, and that this process may run on.
        memory_gib: In all; None where it cannot be asked for.
        torch: Version.
        device: ``cpu``, ``cuda`` or ``mps``.
        gpu: Name of the CUDA device, if that is used.
        precision: What the setting ``precision = auto`` comes to here.
        float32_gflops: Most billions of operations a second that a 3x3 convolution was seen to reach.
        bfloat16_gflops: Likewise; None where there is no such type.
    """

    table, title = "machine", "The machine"

    processor: str = column("processor")
    threads: int = column("threads")
    cores: int = column("cores")
    memory_gib: float | None = column("memory, GiB", ".0f")
    torch: str = column("torch")
    device: str = column("device")
    gpu: str | None = column("GPU")
    precision: str = column("precision auto is")
    float32_gflops: float | None = column("peak in float32, GFLOP/s", ".0f")
    bfloat16_gflops: float | None = column("peak in bfloat16, GFLOP/s", ".0f")

    def peak(self, precision: str) -> float | None:
        """The measured peak in ``float32`` or ``bfloat16``, in GFLOP/s."""
        return {"float32": self.float32_gflops, "bfloat16": self.bfloat16_gflops}.get(precision)


@dataclass(frozen=True)
class Start(Row):
    """A whole command in a new process beside the import of torch alone; each the best of several, in turns.

    Attributes:
        width, height: Of the one sample that ``singan-tk run generate`` writes, in pixels.
        import_seconds, generate_seconds: Of ``python -c "import torch"`` and of ``singan-tk run generate``.
        ratio: The second by the first.
    """

    table, title = "start", "A new process that runs generate, beside one that imports torch"

    width: int = column("width")
    height: int = column("height")
    import_seconds: float = column("torch s", ".2f")
    generate_seconds: float = column("generate s", ".2f")
    ratio: float = column("ratio", ".2f")


@dataclass(frozen=True)
class Generated(Row):
    """Drawing samples, after one that warms up.

    Attributes:
        preset: Whose pyramid draws them; the weights are random, on which the time does not depend.
        width, height: Of a sample, in pixels.
        samples: How many were asked for at once.
        sample_seconds: From the bundle in memory to 8-bit pixels, by sample.
        memory_mib: Peak resident memory of the process that did nothing else.
        gpu_memory_mib: Peak memory on the GPU, where one is used.
    """

    table, title = "generate", "Generating"

    preset: str = column("preset")
    width: int = column("width")
    height: int = column("height")
    samples: int = column("samples")
    sample_seconds: float = column("s/sample", ".3f")
    memory_mib: float | None = column("peak MiB", ".0f")
    gpu_memory_mib: float | None = column("GPU MiB", ".0f")


@dataclass(frozen=True)
class Comparison(Row):
    """Preset ``paper`` beside the plain implementation of the same steps; the best of several rounds, in turns.

    Attributes:
        scale: Its number, or ``sum`` over all of them.
        width, height: Of the scale, or of the finest, in pixels.
        kernels: The number of each hidden convolution's kernels; None for the sum.
        plain_ms, toolkit_ms: Of an iteration of the plain implementation, and of the toolkit's.
        ratio: The first by the second: how many times faster the toolkit is.
    """

    table, title = "plain", "An iteration of preset paper, beside a plain implementation of the paper"

    scale: int | str = column("scale")
    width: int = column("width")
    height: int = column("height")
    kernels: int | None = column("kernels")
    plain_ms: float = column("plain ms", ".1f")
    toolkit_ms: float = column("toolkit ms", ".1f")
    ratio: float = column("ratio", ".2f")


@dataclass(frozen=True)
class TrainedScale(Row):
    """One scale of a training.

    Attributes:
        preset, iterations: How it was trained.
        scale: Which scale, 0 the coarsest.
        width, height: In pixels.
        kernels: The number of each hidden convolution's kernels.
        seconds, iteration_ms: In all, and of an iteration.
        gflops: Billions of operations a second, from the counted operations of an iteration; None where none could be
            counted.
        share: The share of the machine's measured peak in the precision that was used, 0 to 1.
    """

    table, title = "scale", "Training, by scale"

    preset: str = column("preset")
    scale: int = column("scale")
    width: int = column("width")
    height: int = column("height")
    kernels: int = column("kernels")
    iterations: int = column("iterations")
    seconds: float = column("s", ".1f")
    iteration_ms: float = column("ms/iter.", ".1f")
    gflops: float | None = column("GFLOP/s", ".1f")
    share: float | None = column("of peak", ".1%")


@dataclass(frozen=True)
class Trained(Row):
    """A whole training, and how good the pyramid is.

    Attributes:
        preset, precision: How it was trained.
        width, height: Of the finest scale, in pixels.
        seconds: In all.
        cost: Seconds times the machine's measured peak in that precision, in 10^12 operations: what a training costs on
            any machine, where seconds tell of one.
        memory_mib: Peak resident memory of the process that did nothing else.
        gpu_memory_mib: Peak memory on the GPU, where one is used.
        reconstruction_rmse: The reconstruction error of the finest scale, in the picture's -1..1 range.
        patch_distance: Sliced Wasserstein distance of patches, in grey levels of 255; as what follows, of 10 samples.
        novelty, diversity: 0 where samples are the picture itself, and where all are the same.
        frechet_2, frechet_4: Single-image Frechet distances of features at half and a quarter of the resolution; None
            where no features are installed.
    """

    table, title = "train", "Training, and what came of it"

    preset: str = column("preset")
    width: int = column("width")
    height: int = column("height")
    precision: str = column()
    seconds: float = column("s", ".1f")
    cost: float | None = column("s x peak, TFLOP", ".1f")
    memory_mib: float | None = column("peak MiB", ".0f")
    gpu_memory_mib: float | None = column("GPU MiB", ".0f")
    reconstruction_rmse: float = column("RMSE", ".4f")
    patch_distance: float = column("SWD", ".2f")
    novelty: float = column("novelty", ".2f")
    diversity: float = column("diversity", ".2f")
    frechet_2: float | None = column("FD 1/2", ".3f")
    frechet_4: float | None = column("FD 1/4", ".3f")
