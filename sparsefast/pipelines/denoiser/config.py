"""The keys of the denoiser."""

from dataclasses import dataclass

from sparsefast.training.config import require


@dataclass
class DenoiserConfig:
    """An unconditional denoiser, trained on photographs with white noise of many strengths."""

    name: str = "denoiser"
    # Channels of the network, and its residual blocks.
    width: int = 48
    blocks: int = 4
    # The largest of the schedule.
    learning_rate: float = 2e-3
    # Standard deviations of the noise, of pictures in [-1, 1], drawn evenly in their logarithm.
    sigma_min: float = 0.02
    sigma_max: float = 2.0
    # That of the held-out pictures.
    sigma_eval: float = 0.2
    # Steps of the sampler.
    sample_steps: int = 24

    def check(self) -> None:
        """Raise a ValueError that names the first key whose value is not allowed."""
        for key in ("width", "blocks", "sample_steps"):
            require(getattr(self, key) >= 1, f"model.{key}", getattr(self, key), "at least 1")
        require(self.learning_rate > 0, "model.learning_rate", self.learning_rate, "above 0")
        require(self.sigma_min > 0, "model.sigma_min", self.sigma_min, "above 0")
        require(self.sigma_max > self.sigma_min, "model.sigma_max", self.sigma_max, "above model.sigma_min")
        require(self.sigma_eval > 0, "model.sigma_eval", self.sigma_eval, "above 0")
