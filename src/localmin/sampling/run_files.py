"""The files of a finished run, for people and for the other commands."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from localmin.sampling.model_files import write_model
from localmin.sampling.result import SearchResult
from localmin.tasks.schemas import write_versioned
from localmin.tasks.storage import write_tensors, write_text

__all__ = ["THUMBNAILS", "write_run"]

THUMBNAILS = 60


def write_run(path: Path, result: SearchResult) -> None:
    """Write policy, model, features, suspects and the result of one seed.

    Args:
        path: The run folder.
        result: Of the search.
    """
    task = result.task
    result.policy.save(path / "policy.json")
    result.candidate.save(path / "candidate.json")
    write_model(path, task, result.model, trained_by=result.recommendation)
    write_tensors(path / "features.safetensors", _arrays(result))
    write_text(path / "dropped.csv", result.drop_report.to_csv())
    write_text(path / "dropped.md", result.drop_report.to_markdown())
    split = {
        "indices": task.provenance.get("indices"),
        # One line an example; the tokens of a sequence are in the data.
        "labels": {
            part: examples.labels.tolist() if examples.labels.ndim == 1 else None
            for part, examples in task.parts().items()
        },
    }
    write_versioned(path / "split.json", "split", split)


def _arrays(result: SearchResult) -> dict[str, Tensor]:
    task = result.task
    arrays = {
        "features": result.features.values,
        "gradient": result.features.gradient,
        "predictions": result.features.predictions,
        "weights": result.weights,
        "candidate_weights": result.candidate_weights,
        "labels": task.train.labels.cpu(),
        "draws_low": result.evidence.draws_low,
        "draws_high": result.evidence.draws_high,
        "held_out_credit": result.evidence.held_out_credit,
        "surely_bad": result.evidence.surely_bad.to(torch.uint8),
    }
    if task.clean_train_labels is not None:
        arrays["clean_labels"] = task.clean_train_labels.cpu()
    if task.train.is_image and result.drop_report.examples:
        shown = [example.index for example in result.drop_report.examples[:THUMBNAILS]]
        arrays["thumbnails"] = task.train.inputs[torch.tensor(shown)].cpu().clone()
    return arrays
