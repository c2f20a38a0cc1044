"""A small world of AI features that change and sometimes break, with the truth written beside each case.

Own assumptions, on purpose different from any given set of cases: shocks are autocorrelated and traffic is bursty;
latency has a heavy tail; harm acts on the logit or the logarithm; a fifth of the changes have small side effects of
either sign; logs are hours off, scopes get lost, version fields are missing for whole models, the cause may have a
harmless twin released with it, and some causes are in no log. All randomness comes from one seed.
"""

import gzip
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

START = datetime(2025, 3, 3, tzinfo=UTC)
DAYS = 12.0
PROMPTS = {"search": "web", "chat": "wiki", "summary": "none", "extract": "none", "plan": "wiki", "refund": "orders"}
MODELS = ("opal", "onyx", "jade")
REGIONS = ("north", "south", "east", "west")
SEGMENTS = ("trial", "team", "company")
LAYER_OF = {"prompt": "prompt", "model": "model", "index": "retrieval", "": "infrastructure"}
VERSION_OF = {"prompt": "prompt_version", "model": "model_version", "index": "index_version", "": "release"}
# Taken in turn by seed; the further ones only when asked for, so that a seed's case stays what it was.
FAMILIES = ("plain", "late_logs", "lost_scope", "lost_fields", "twin", "pair", "unlogged", "external", "mix", "noise")
FURTHER_FAMILIES = ("interaction",)


@dataclass
class Move:
    """One change as it truly ran. `hours` count from START; `target` is (facet, value), ("", "") for everything."""

    id: str
    target: tuple[str, str]
    begin: float
    end: float
    rollout: str
    region_order: list[str]
    share: float
    visible: bool
    effect: float = 0.0
    is_cause: bool = False
    logged: bool = True
    lag: float = 0.0
    loses_scope: bool = False
    version: str = ""
    reached: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))


def simulate(seed: int, folder: Path, *, traces: int = 6000, family: str | None = None) -> dict[str, object]:
    """Write one case into `folder` and return its truth (also written, as truth.json)."""
    rng = np.random.default_rng(seed)
    family = family or FAMILIES[seed % len(FAMILIES)]
    metric = str(rng.choice(["success", "quality", "latency"]))
    hours = _arrivals(rng, traces)
    facets = _facets(rng, hours)
    detected = float(rng.uniform(DAYS * 24 * 0.72, DAYS * 24 * 0.97))
    onset = detected - float(rng.uniform(5, 60))
    moves = _moves(rng, detected, onset, family)
    if family == "mix":
        facets = _shift_mix(rng, hours, facets, onset)
    _run(rng, moves, hours, facets)
    latent = _ordinary(rng, hours, facets)
    causes = [move for move in moves if move.is_cause]
    together = np.all([move.reached for move in causes], axis=0) if family == "interaction" else True
    for move in moves:
        latent -= move.effect * (move.reached & together if move.is_cause else move.reached)
    if family == "external":
        hit = np.isin(facets["region"], rng.choice(REGIONS, rng.integers(1, 5), replace=False))
        latent -= rng.uniform(0.5, 1.3) * ((hours >= onset) & hit)
    kept = hours <= detected + float(rng.uniform(2, 12))
    _write(rng, folder, metric, hours, facets, latent, moves, detected, kept, family)
    truth = {
        "kind": {
            "pair": "pair_add",
            "interaction": "pair_interaction",
            "mix": "mix",
            "noise": "noise",
            "external": "external",
            "unlogged": "unlogged",
        }.get(family, "single"),
        "family": family,
        "metric": metric,
        "causes": sorted(move.id for move in causes if move.logged),
        "layers": sorted({LAYER_OF[move.target[0]] for move in causes}),
        "onset": _stamp(min((move.begin for move in causes), default=onset)),
        "n_hit": _hit_count(causes, kept & (hours <= detected), family),
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1))
    return truth


def _hit_count(causes: list[Move], counted: np.ndarray, family: str) -> int:
    """Traces that a cause harmed before detection."""
    if not causes:
        return 0
    harmed = (np.all if family == "interaction" else np.any)([move.reached for move in causes], axis=0)
    return int((harmed & counted).sum())


def _arrivals(rng: np.random.Generator, count: int) -> np.ndarray:
    grid = np.arange(0, DAYS * 24, 0.25)
    day = 1 + 0.6 * np.sin(2 * np.pi * (grid - 9) / 24) - 0.35 * (((grid // 24) % 7) >= 5)
    burst = np.exp(0.25 * _autocorrelated(rng, grid.size, 0.9))
    rate = day * burst
    spots = rng.choice(grid, count, p=rate / rate.sum()) + rng.uniform(0, 0.25, count)
    return np.sort(spots)


def _autocorrelated(rng: np.random.Generator, count: int, keep: float) -> np.ndarray:
    steps, series = rng.standard_normal(count), np.zeros(count)
    for i in range(1, count):
        series[i] = keep * series[i - 1] + np.sqrt(1 - keep**2) * steps[i]
    return series


def _facets(rng: np.random.Generator, hours: np.ndarray) -> dict[str, np.ndarray]:
    size = hours.size
    prompt = rng.choice(list(PROMPTS), size, p=rng.dirichlet(np.full(len(PROMPTS), 3.0)))
    model = np.empty(size, dtype=object)
    for name in PROMPTS:
        rows = prompt == name
        model[rows] = rng.choice(MODELS, rows.sum(), p=rng.dirichlet(np.full(len(MODELS), 1.0)))
    return {
        "prompt": prompt, "model": model, "index": np.array([PROMPTS[p] for p in prompt], dtype=object),
        "region": rng.choice(REGIONS, size, p=rng.dirichlet(np.full(len(REGIONS), 4.0))),
        "segment": rng.choice(SEGMENTS, size, p=rng.dirichlet(np.full(len(SEGMENTS), 4.0))),
    }  # fmt: skip


def _shift_mix(
    rng: np.random.Generator, hours: np.ndarray, facets: dict[str, np.ndarray], onset: float
) -> dict[str, np.ndarray]:
    after = np.flatnonzero(hours >= onset)
    moved = rng.choice(after, int(after.size * rng.uniform(0.2, 0.4)), replace=False)
    name = str(rng.choice(list(PROMPTS)))
    facets["prompt"][moved] = name
    facets["index"][moved] = PROMPTS[name]
    facets["segment"][moved] = rng.choice(SEGMENTS)
    return facets


def _moves(rng: np.random.Generator, detected: float, onset: float, family: str) -> list[Move]:
    moves = []
    for number in range(int(rng.integers(10, 22))):
        begin = float(rng.uniform(6, detected + 4))
        moves.append(_move(rng, f"change-{number}", begin))
    causes = {"pair": 2, "interaction": 2, "mix": 0, "noise": 0, "external": 0}.get(family, 1)
    for number in range(causes):
        cause = _move(rng, f"change-{len(moves)}", onset + number * float(rng.uniform(-6, 12)))
        cause.is_cause, cause.effect = True, float(rng.uniform(0.5, 1.6))
        if family == "interaction":
            _overlap(rng, cause, moves, onset, number)
        if family == "unlogged":
            cause.logged, cause.visible = False, True
        moves.append(cause)
        if family == "twin":
            twin = _move(rng, f"change-{len(moves)}", cause.begin + float(rng.uniform(-1, 1)))
            twin.target, twin.visible = cause.target, False
            moves.append(twin)
    for move in moves:
        if not move.is_cause and rng.random() < 0.2:
            move.effect = float(rng.normal(0, 0.08))
        if family == "late_logs":
            move.lag = float(rng.choice([0, rng.uniform(-4, 6)]))
        if family == "lost_scope" and rng.random() < 0.5:
            move.loses_scope = True
    rng.shuffle(moves)  # type: ignore[arg-type]
    return moves


def _overlap(rng: np.random.Generator, cause: Move, moves: list[Move], onset: float, number: int) -> None:
    """The first of two ran for days before the second came; they have traffic in common. Half the harm each."""
    cause.effect = float(rng.uniform(0.4, 1.0))
    if number == 0:
        earlier = float(rng.uniform(12, 72))
        cause.begin, cause.end = cause.begin - earlier, cause.end - earlier
        return
    first = moves[-1]
    while cause.target[0] == first.target[0] or {cause.target[0], first.target[0]} == {"prompt", "index"}:
        cause.target = _move(rng, cause.id, onset).target


def _move(rng: np.random.Generator, name: str, begin: float) -> Move:
    facet = str(rng.choice(["prompt", "model", "index", ""], p=[0.4, 0.2, 0.15, 0.25]))
    values = {"prompt": list(PROMPTS), "model": list(MODELS), "index": ["web", "wiki", "orders"], "": [""]}[facet]
    rollout = str(rng.choice(["instant", "canary", "ramp", "staged"], p=[0.5, 0.25, 0.1, 0.15]))
    length = 0.0 if rollout == "instant" else float(rng.uniform(6, 40))
    return Move(
        name, (facet, str(rng.choice(values))), begin, begin + length, rollout, list(rng.permutation(REGIONS)),
        float(rng.choice([0.05, 0.1, 0.25])), bool(rng.random() < 0.6),
    )  # fmt: skip


def _run(rng: np.random.Generator, moves: list[Move], hours: np.ndarray, facets: dict[str, np.ndarray]) -> None:
    """Decide which trace ran on which change, and name the versions."""
    counts: dict[tuple[str, str], int] = {}
    for move in sorted(moves, key=lambda one: one.begin):
        facet, value = move.target
        inside = facets[facet] == value if facet else np.ones(hours.size, dtype=bool)
        done = np.clip((hours - move.begin) / max(move.end - move.begin, 1e-9), 0, 1)
        if move.rollout == "canary":
            share = np.where(hours >= move.end, 1.0, np.where(hours >= move.begin, move.share, 0.0))
        elif move.rollout == "ramp":
            share = done
        elif move.rollout == "staged":
            starts = {region: i / (len(REGIONS) - 1) for i, region in enumerate(move.region_order)}
            share = (hours >= move.begin) & (done >= np.array([starts[r] for r in facets["region"]]))
        else:
            share = (hours >= move.begin).astype(float)
        move.reached = inside & (rng.random(hours.size) < share)
        if move.visible:
            counts[move.target] = counts.get(move.target, 0) + 1
            move.version = f"{value or 'r'}-{counts[move.target]}"


def _ordinary(rng: np.random.Generator, hours: np.ndarray, facets: dict[str, np.ndarray]) -> np.ndarray:
    latent = np.full(hours.size, float(rng.uniform(0.8, 2.0)))
    for name, spread in (("prompt", 0.6), ("model", 0.4), ("segment", 0.25), ("region", 0.15)):
        for value in np.unique(facets[name].astype(str)):
            latent[facets[name] == value] += rng.normal(0, spread)
    latent += 0.12 * np.sin(2 * np.pi * (hours - rng.uniform(0, 24)) / 24)
    latent += 0.08 * _autocorrelated(rng, int(DAYS * 24) + 1, 0.8)[hours.astype(int)]
    for name in ("prompt", "region", "model"):
        for value in np.unique(facets[name].astype(str)):
            shocks = 0.1 * _autocorrelated(rng, int(DAYS * 2) + 1, 0.3)
            latent += np.where(facets[name] == value, shocks[(hours // 12).astype(int)], 0.0)
    return latent


def _stamp(hours: float) -> str:
    return (START + timedelta(hours=float(hours))).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write(
    rng: np.random.Generator, folder: Path, metric: str, hours: np.ndarray, facets: dict[str, np.ndarray],
    latent: np.ndarray, moves: list[Move], detected: float, kept: np.ndarray, family: str,
) -> None:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    worse = "higher" if metric == "latency" else "lower"
    (folder / "incident.json").write_text(
        json.dumps({"signal": metric, "worse": worse, "detected_at": _stamp(detected)})
    )
    with (folder / "changes.jsonl").open("w") as file:
        for move in moves:
            if move.logged:
                file.write(json.dumps(_log_entry(move)) + "\n")
    silent = str(rng.choice(MODELS)) if family == "lost_fields" else ""
    versions = _versions(moves, facets)
    noise = rng.standard_t(5, hours.size) * 0.45
    with gzip.open(folder / "traces.jsonl.gz", "wt", compresslevel=3) as file:
        for i in np.flatnonzero(kept):
            own = {name: str(values[i]) for name, values in facets.items()}
            for name, values in versions.items():
                if own["model"] != silent and rng.random() > 0.03:
                    own[name] = values[i]
            row: dict[str, object] = {"id": f"s{i:06d}", "timestamp": _stamp(hours[i]), "facets": own}
            rate = 1 / (1 + np.exp(-latent[i]))
            if metric == "success":
                row["scores"] = {metric: float(rng.random() < rate)}
            elif metric == "quality":
                row["scores"] = {metric: round(float(1 / (1 + np.exp(-(latent[i] + 1.2 * noise[i])))), 4)}
            else:
                row["latency"] = round(float(np.exp(0.6 - 0.35 * latent[i] + 0.8 * noise[i])), 4)
            file.write(json.dumps(row) + "\n")


def _log_entry(move: Move) -> dict[str, object]:
    facet, value = move.target
    entry: dict[str, object] = {
        "id": move.id, "layer": LAYER_OF[facet],
        "at": _stamp(move.begin + move.lag), "until": _stamp(move.end + move.lag), "rollout": move.rollout,
        "scope": {} if move.loses_scope or not facet else {facet: value},
        "facet": VERSION_OF[facet] if move.visible else None, "to_version": move.version or None,
    }  # fmt: skip
    if move.rollout == "canary":
        entry["canary_share"] = move.share
    if move.rollout == "staged":
        entry["stages"] = {"facet": "region", "order": move.region_order}
    return entry


def _versions(moves: list[Move], facets: dict[str, np.ndarray]) -> dict[str, list[str]]:
    """The version that each trace records: the last visible change of its target that reached it."""
    columns: dict[str, list[str]] = {}
    for facet, name in VERSION_OF.items():
        column = [f"{facets[facet][i]}-0" if facet else "r-0" for i in range(facets["prompt"].size)]
        for move in sorted((m for m in moves if m.visible and m.target[0] == facet), key=lambda m: m.begin):
            for i in np.flatnonzero(move.reached):
                column[i] = move.version
        columns[name] = column
    return columns
