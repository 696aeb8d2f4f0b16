"""Training one scale: a generator and a patch discriminator against each other (paper section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singan_toolkit.pyramid.architecture import MARGIN
from singan_toolkit.pyramid.networks import Discriminator, Generator, initialize
from singan_toolkit.training.crops import Batch, Cropper, ScaleData
from singan_toolkit.training.losses import adversarial_loss, critic_loss, gradient_penalty, reconstruction_loss
from singan_toolkit.training.optimizer import optimizers_of, remembered
from singan_toolkit.training.replay import Replayed
from singan_toolkit.training.settings import Settings
from singan_toolkit.training.slope import input_slope

EXPLODED = 1e5
"""A loss beyond this is taken for divergence: scores of a healthy critic stay within a few hundred."""


class Diverged(Exception):
    """A scale came to losses or weights that are no use."""

    def __init__(self, iteration: int) -> None:
        super().__init__(f"diverged at iteration {iteration}")
        self.iteration = iteration


@torch.no_grad()
def copy_all(tensors: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> None:
    """Copy tensors into those of the same names.

    Raises:
        ValueError: They are not of the same names, shapes and types, or hold what is no number.
    """
    if tensors.keys() != into.keys():
        raise ValueError("it does not hold the tensors that it should")
    for name, value in tensors.items():
        if (value.shape, value.dtype) != (into[name].shape, into[name].dtype) or not value.isfinite().all():
            raise ValueError(f"tensor {name} is not as it should be")
        into[name].copy_(value)


LOSSES = ("discriminator", "generator", "reconstruction")
PARTS = 50
"""Into how many parts the iterations are divided of which the mean losses are remembered, where there are so many."""


def empty_history(iterations: int) -> Tensor:
    """Zeros, (parts, 3), for the mean losses of equal parts of that many iterations, in the order of ``LOSSES``."""
    return torch.zeros(min(PARTS, iterations), len(LOSSES))


class ScaleTraining:
    """The two networks of one scale, their optimizers and the steps between them.

    What a later step depends on is in ``generator``, ``discriminator``, ``average``, ``optimizers``, ``random``,
    ``cropper``, ``worst_loss`` and ``done``; ``history`` holds the mean losses, (parts, 3), of what is done.

    Args:
        settings: What to do.
        channels: Kernels per convolution.
        data: The scale's material.
        iterations: Length of the schedule.
        learning_rate: Step size before it decays.
        dtype: Type to convolve in.
        seeds: One for fresh weights, one for places and noise.
        warm_start: State dicts of the previous scale's generator and discriminator, if their widths match.
    """

    def __init__(
        self,
        settings: Settings,
        channels: int,
        data: ScaleData,
        iterations: int,
        learning_rate: float,
        dtype: torch.dtype,
        seeds: tuple[int, int],
        warm_start: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None,
    ) -> None:
        device = data.real.device
        fresh = torch.Generator().manual_seed(seeds[0])
        self.settings, self.data, self.iterations, self.learning_rate = settings, data, iterations, learning_rate
        self.generator = Generator(channels, settings.normalize_generator)
        self.discriminator = Discriminator(channels, settings.normalize_discriminator)
        if warm_start:
            self.generator.load_state_dict(warm_start[0])
            self.discriminator.load_state_dict(warm_start[1])
        else:
            initialize(self.generator, fresh)
            initialize(self.discriminator, fresh)
        for network in (self.generator, self.discriminator):
            network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: value.detach().clone() for name, value in self.generator.named_parameters()}
        self.done = 0
        self.random = torch.Generator(device).manual_seed(seeds[1])
        batch, _ = settings.batch_at(*data.real.shape[-2:])
        self.cropper = Cropper(data, settings.crop, batch, self.random)
        self.autocast = torch.autocast(device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False)
        self.average_weight = torch.ones((), device=device)
        self.optimizers: dict[nn.Module, list[torch.optim.Optimizer]] = {
            network: optimizers_of(network, settings, learning_rate) for network in (self.generator, self.discriminator)
        }
        self.losses = {name: torch.zeros((), device=device) for name in LOSSES}
        self.history = empty_history(iterations).to(device)
        self.worst_loss = torch.zeros((), device=device)
        self.iterate = {penalize: Replayed(partial(self._iterate, penalize), self.random) for penalize in (False, True)}

    def step(self) -> None:
        """Do one iteration."""
        self._schedule(self.done)
        self.cropper.refill(self.settings.discriminator_steps)
        self.iterate[self.done % self.settings.gradient_penalty_every == 0]()
        self._remember()
        self.done += 1

    def _remember(self) -> None:
        """Add the losses to the means of this part of the iterations."""
        part = self.done * len(self.history) // self.iterations
        first, after = (-(-edge * self.iterations // len(self.history)) for edge in (part, part + 1))
        self.history[part].add_(torch.stack([*self.losses.values()]), alpha=1 / (after - first))

    def reports(self, due: Callable[[], bool]) -> Iterator[dict[str, float]]:
        """Do what is left of the iterations, and settle what is kept. It can be left at any report and gone on with.

        Args:
            due: Whether a report is due; reading the losses costs a device synchronization.

        Yields:
            The losses, when due and after the last iteration.

        Raises:
            Diverged: A loss exploded, which is seen when a report is due, or the weights are no numbers at the end.
        """
        while self.done < self.iterations:
            self.step()
            if due() or self.done == self.iterations:
                if not self.worst_loss.item() < EXPLODED:
                    raise Diverged(self.done)
                yield {name: loss.item() for name, loss in self.losses.items()}
        self._settle()

    def _settle(self) -> None:
        if self.settings.weight_average:
            self.generator.load_state_dict(self.average, strict=False)
        self._settle_statistics()
        if not all(value.isfinite().all() for state in self.states() for value in state.values()):
            raise Diverged(self.iterations)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that later steps depend on, themselves and not copies, by name."""
        named = {"worst_loss": self.worst_loss, "history": self.history}
        for role, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            named |= {f"{role}.{name}": value for name, value in network.state_dict().items()}
            for optimizer in self.optimizers[network]:
                kind = type(optimizer).__name__
                named |= {f"{role}.{kind}.{name}": value for name, value in remembered(optimizer).items()}
        return named | {f"average.{name}": value for name, value in self.average.items()}

    def go_on(self, done: int, tensors: Mapping[str, Tensor], random: Tensor) -> None:
        """Be where one is that has done so many steps.

        Args:
            done: At least 1.
            tensors: As of ``tensors``.
            random: State of ``random``.

        Raises:
            ValueError: These are not the tensors of this training.
        """
        for network, optimizers in self.optimizers.items():
            for parameter in network.parameters():
                parameter.grad = torch.zeros_like(parameter)
            for optimizer in optimizers:
                optimizer.step()  # whereby it makes what it remembers
        copy_all(tensors, self.tensors())
        try:
            self.random.set_state(random)
        except (RuntimeError, TypeError) as error:
            raise ValueError("its random state is none") from error
        self.cropper.skip(done, self.settings.discriminator_steps)
        self.done = done

    def states(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """State dicts of the generator and the discriminator: what a later scale may start from."""
        return self.generator.state_dict(), self.discriminator.state_dict()

    def _schedule(self, iteration: int) -> None:
        start = self.settings.decay_at * self.iterations
        if iteration < start:
            factor = 1.0
        elif self.settings.decay == "step":
            factor = 0.1
        else:
            factor = max(1 - (iteration - start) / (self.iterations - start), 0.01)
        for optimizer in chain(*self.optimizers.values()):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(self.learning_rate * factor)
                else:
                    group["lr"] = self.learning_rate * factor
        # A young average follows closely, so that it does not remember the first weights.
        self.average_weight.fill_(1 - min(self.settings.weight_average, (1 + iteration) / (10 + iteration)))

    def _iterate(self, penalize: bool) -> None:
        for step in range(self.settings.discriminator_steps):
            batch = self.cropper.draw()
            with torch.set_grad_enabled(step == self.settings.discriminator_steps - 1):
                fake = self._fake(batch)
            self._step(self.discriminator, self._discriminator_loss(batch, fake.detach(), penalize))
        for step in range(self.settings.generator_steps):
            if step > 0:
                fake = self._fake(batch)
            self._step(self.generator, self._generator_loss(batch, fake))
        worst = torch.stack(list(self.losses.values())).abs().max()
        # torch.maximum keeps a NaN, so that one is noticed at the next report wherever it arose.
        torch.maximum(self.worst_loss, worst, out=self.worst_loss)
        if self.settings.weight_average:
            with torch.no_grad():
                for name, value in self.generator.named_parameters():
                    self.average[name].lerp_(value, self.average_weight)

    def _fake(self, batch: Batch) -> Tensor:
        with self.autocast:
            fake: Tensor = batch.base + self.generator(batch.noisy)
        return fake

    def _shown(self, picture: Tensor) -> Tensor:
        """The picture as the discriminator is shown it."""
        return F.pad(picture, (MARGIN,) * 4, mode="reflect") if self.settings.reflect else picture

    def _discriminator_loss(self, batch: Batch, fake: Tensor, penalize: bool) -> Tensor:
        real, fake = self._shown(batch.real), self._shown(fake)
        with self.autocast:
            loss = critic_loss(self.discriminator(real), self.discriminator(fake))
            self.losses["discriminator"].copy_(loss.detach())
            if penalize:
                mix = torch.rand((len(fake), 1, 1, 1), generator=self.random, device=fake.device)
                penalty = gradient_penalty(partial(input_slope, self.discriminator), real, fake, mix)
                loss = loss + self.settings.gradient_penalty * self.settings.gradient_penalty_every * penalty
        return loss

    def _generator_loss(self, batch: Batch, fake: Tensor) -> Tensor:
        with self.autocast:
            adversarial = adversarial_loss(self.discriminator(self._shown(fake)))
            reconstruction = batch.reconstruction_base + self.generator(batch.reconstruction_noisy)
        rebuilt = reconstruction_loss(reconstruction, batch.real)
        self.losses["generator"].copy_(adversarial.detach())
        self.losses["reconstruction"].copy_(rebuilt.detach())
        if self.data.restores:
            rebuilt = rebuilt + reconstruction_loss(fake, batch.real)
        return adversarial + self.settings.reconstruction * rebuilt

    def _step(self, network: nn.Module, loss: Tensor) -> None:
        network.zero_grad()
        loss.backward(inputs=list(network.parameters()))  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers[network]:
            optimizer.step()

    @torch.no_grad()
    def _settle_statistics(self, batches: int = 16) -> None:
        """Measure the batch norm statistics of the final generator anew, over many batches.

        The running statistics of training trail the weights and mix fakes and reconstructions unevenly.
        """
        if not self.settings.normalize_generator:
            return
        norms = [module for module in self.generator.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        for _ in range(batches):
            self.cropper.refill(1)
            batch = self.cropper.draw()
            with self.autocast:
                self.generator(torch.cat([batch.noisy, batch.reconstruction_noisy]))
        for norm in norms:
            norm.momentum = 0.1
