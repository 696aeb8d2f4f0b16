"""Training one scale: a generator and a patch discriminator against each other (paper section 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singan_toolkit.pyramid.architecture import MARGIN
from singan_toolkit.pyramid.networks import Discriminator, Generator, initialize
from singan_toolkit.training.crops import Batch, Cropper, ScaleData
from singan_toolkit.training.losses import (
    adversarial_loss,
    fake_loss,
    gradient_penalty,
    real_loss,
    reconstruction_loss,
)
from singan_toolkit.training.optimizer import optimizers_of
from singan_toolkit.training.replay import Replayed
from singan_toolkit.training.settings import Settings
from singan_toolkit.training.side_by_side import SideBySide

EXPLODED = 1e5
"""A loss beyond this is taken for divergence: scores of a healthy critic stay within a few hundred."""


class Diverged(Exception):
    """A scale came to losses or weights that are no use."""

    def __init__(self, iteration: int) -> None:
        super().__init__(f"diverged at iteration {iteration}")
        self.iteration = iteration


class Term(NamedTuple):
    """One term of a loss: its weight, and what computes it."""

    weight: float
    loss: Callable[[], Tensor]


def _total(terms: list[Term], losses: list[Tensor]) -> Tensor:
    return torch.stack([term.weight * loss for term, loss in zip(terms, losses, strict=True)]).sum()


class ScaleTraining:
    """The two networks of one scale, their optimizers and the steps between them.

    Args:
        settings: What to do.
        channels: Kernels per convolution.
        data: The scale's material.
        iterations: Length of the schedule.
        learning_rate: Adam's step size before it decays.
        dtype: Type to convolve in.
        seeds: One for fresh weights, one for places and noise.
        side: Works on the terms of a loss.
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
        side: SideBySide,
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
        self.random = torch.Generator(device).manual_seed(seeds[1])
        batch, _ = settings.batch_at(*data.real.shape[-2:])
        self.cropper = Cropper(data, settings.crop, batch, self.random)
        self.dtype, self.side = dtype, side
        self.average_weight = torch.ones((), device=device)
        self.optimizers = [
            optimizers_of(network, settings, learning_rate) for network in (self.generator, self.discriminator)
        ]
        self.losses = {
            name: torch.zeros((), device=device) for name in ("discriminator", "generator", "reconstruction")
        }
        self.worst_loss = torch.zeros((), device=device)
        self.iterate = {penalize: Replayed(partial(self._iterate, penalize), self.random) for penalize in (False, True)}

    def run(self, report: Callable[[int, dict[str, float]], None], report_due: Callable[[], bool]) -> None:
        """Train all iterations.

        Args:
            report: Called with the iterations done and the losses, when due and at the end.
            report_due: Whether a report is due; reading the losses costs a device synchronization.

        Raises:
            Diverged: A loss exploded, which is seen when a report is due, or the weights are no numbers at the end.
        """
        for iteration in range(self.iterations):
            self._schedule(iteration)
            self.cropper.refill(self.settings.discriminator_steps)
            self.iterate[iteration % self.settings.gradient_penalty_every == 0]()
            if report_due() or iteration == self.iterations - 1:
                if not self.worst_loss.item() < EXPLODED:
                    raise Diverged(iteration + 1)
                report(iteration + 1, {name: loss.item() for name, loss in self.losses.items()})
        if self.settings.weight_average:
            self.generator.load_state_dict(self.average, strict=False)
        self._settle_statistics()
        if not all(value.isfinite().all() for state in self.states() for value in state.values()):
            raise Diverged(self.iterations)

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
        for optimizer in chain(*self.optimizers):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(self.learning_rate * factor)
                else:
                    group["lr"] = self.learning_rate * factor
        # A young average follows closely, so that it does not remember the first weights.
        self.average_weight.fill_(1 - min(self.settings.weight_average, (1 + iteration) / (10 + iteration)))

    def _iterate(self, penalize: bool) -> None:
        settings = self.settings
        for step in range(settings.discriminator_steps):
            batch = self.cropper.draw()
            fakes = self._fakes(batch, differentiable=step == settings.discriminator_steps - 1)
            self._discriminator_step(batch.real, fakes, penalize)
        for step in range(settings.generator_steps):
            if step > 0:
                fakes = self._fakes(batch)
            self._generator_step(batch, fakes)
        worst = torch.stack(list(self.losses.values())).abs().max()
        # torch.maximum keeps a NaN, so that one is noticed at the next report wherever it arose.
        torch.maximum(self.worst_loss, worst, out=self.worst_loss)
        if settings.weight_average:
            with torch.no_grad():
                for name, value in self.generator.named_parameters():
                    self.average[name].lerp_(value, self.average_weight)

    def _fakes(self, batch: Batch, differentiable: bool = True) -> list[Tensor]:
        """The batch's fakes, in one part or, where no batch norm ties them, as many as are worked on side by side."""
        normalized = self.settings.normalize_generator or self.settings.normalize_discriminator
        parts = 1 if normalized else min(self.side.workers, len(batch.noisy))

        def make(base: Tensor, noisy: Tensor) -> Tensor:
            with torch.set_grad_enabled(differentiable), self._autocast():
                fake: Tensor = base + self.generator(noisy)
                return fake

        pairs = zip(batch.base.chunk(parts), batch.noisy.chunk(parts), strict=True)
        return self.side.run([partial(make, *pair) for pair in pairs])

    def _shown(self, picture: Tensor) -> Tensor:
        """The picture as the discriminator is shown it."""
        return F.pad(picture, (MARGIN,) * 4, mode="reflect") if self.settings.reflect else picture

    def _discriminator_step(self, real: Tensor, fakes: list[Tensor], penalize: bool) -> None:
        real, fakes = self._shown(real), [self._shown(fake.detach()) for fake in fakes]
        number = sum(map(len, fakes))
        critic = [Term(len(fake) / number, partial(self._scored, fake_loss, fake)) for fake in fakes]
        critic.append(Term(1.0, partial(self._scored, real_loss, real)))
        penalties = []
        if penalize:
            weight = self.settings.gradient_penalty * self.settings.gradient_penalty_every
            mixes = torch.rand((number, 1, 1, 1), generator=self.random, device=real.device)
            reals = real.expand(number, -1, -1, -1)
            for ends in zip(reals.chunk(len(fakes)), fakes, mixes.chunk(len(fakes)), strict=True):
                share = len(ends[0]) / number
                penalties.append(Term(weight * share, partial(gradient_penalty, self.discriminator, *ends)))
        # The longest first: the last to begin should not be the last by far to end.
        losses = self._step(self.discriminator, self.optimizers[1], [*penalties, *critic])
        self.losses["discriminator"].copy_(_total(critic, losses[len(penalties) :]))

    def _generator_step(self, batch: Batch, fakes: list[Tensor]) -> None:
        number = len(batch.noisy)
        terms = [Term(len(fake) / number, partial(self._scored, adversarial_loss, self._shown(fake))) for fake in fakes]
        rebuilt = Term(self.settings.reconstruction, partial(self._reconstruction_loss, batch))
        *losses, reconstruction = self._step(self.generator, self.optimizers[0], [*terms, rebuilt])
        self.losses["generator"].copy_(_total(terms, losses))
        self.losses["reconstruction"].copy_(reconstruction)

    def _scored(self, loss: Callable[[Tensor], Tensor], picture: Tensor) -> Tensor:
        return loss(self.discriminator(picture))

    def _reconstruction_loss(self, batch: Batch) -> Tensor:
        rebuilt = batch.reconstruction_base + self.generator(batch.reconstruction_noisy)
        return reconstruction_loss(rebuilt, batch.real)

    def _autocast(self) -> torch.autocast:
        half = self.dtype != torch.float32
        return torch.autocast(self.data.real.device.type, self.dtype, enabled=half, cache_enabled=False)

    def _step(self, network: nn.Module, optimizers: list[torch.optim.Optimizer], terms: list[Term]) -> list[Tensor]:
        """Step a network down the gradient of the weighted sum of some terms, and return them."""
        parameters = list(network.parameters())

        def differentiate(term: Term) -> tuple[Tensor, tuple[Tensor, ...]]:
            with self._autocast():
                loss = term.loss()
            return loss.detach(), torch.autograd.grad(term.weight * loss, parameters, materialize_grads=True)

        losses, slopes = zip(*self.side.run([partial(differentiate, term) for term in terms]), strict=True)
        for parameter, *parts in zip(parameters, *slopes, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(sum(parts[1:], parts[0]))
        for optimizer in optimizers:
            optimizer.step()
        return list(losses)

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
            with self._autocast():
                self.generator(torch.cat([batch.noisy, batch.reconstruction_noisy]))
        for norm in norms:
            norm.momentum = 0.1
