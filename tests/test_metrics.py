"""Pixel perturbation by hand and against a slow twin; localisation; the bootstrap."""

from __future__ import annotations

import copy
import threading
import types

import pytest
import torch
from networks import build, picture
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from torch.utils._python_dispatch import TorchDispatchMode

import dga
from dga import metrics
from dga.filling import FILLS, _imputed, blurred, filler


def slow_perturbation(model, x, target, attribution, order, shares, seed):
    """One picture, one pixel at a time."""
    _, height, width = x.shape
    relevance = attribution.sum(0).flatten().tolist()
    shuffle = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed)).tolist()
    ranked = sorted(shuffle, key=lambda p: relevance[p])  # Python's sort is stable
    if order == "morf":
        ranked = ranked[::-1]
    curve = []
    for share in shares:
        changed = x.clone()
        for pixel in ranked[: round(share * height * width)]:
            changed[:, pixel // width, pixel % width] = 0
        curve.append(model(changed[None]).softmax(1)[0, target].item())
    return curve


@pytest.mark.parametrize("order", ["morf", "lerf"])
@pytest.mark.parametrize("shares", [metrics.SHARES, (0, 0.01, 0.02, 0.5)])
def test_against_the_slow_twin(order, shares):
    model, x = build("residual"), picture(1, batch=4)
    attribution = torch.randint(-2, 3, x.shape, generator=torch.Generator().manual_seed(3)).double()
    targets = model(x).argmax(1)
    curve = dga.pixel_perturbation(model, x, attribution, None, order, shares=shares, seed=7)
    assert curve.shape == (4, len(shares))
    for k in range(4):
        expected = slow_perturbation(model, x[k], targets[k], attribution[k], order, shares, 7)
        torch.testing.assert_close(curve[k], torch.tensor(expected, dtype=torch.float64))


def test_by_hand():
    """Two pixels, score (x1 + 3 x2, 0): removing the second first loses more."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).double()
    model[1].weight.data = torch.tensor([[1.0, 3.0], [0.0, 0.0]]).double()
    x = torch.ones(1, 1, 1, 2, dtype=torch.float64)
    attribution = torch.tensor([[[[1.0, 3.0]]]], dtype=torch.float64)
    p = torch.sigmoid
    for order, middle in (("morf", 1.0), ("lerf", 3.0)):
        curve = dga.pixel_perturbation(model, x, attribution, 0, order, shares=(0, 0.5, 1))
        expected = p(torch.tensor([[4.0, middle, 0.0]], dtype=torch.float64))
        torch.testing.assert_close(curve, expected)


def test_ends_do_not_depend_on_the_attribution():
    model, x = build("cnn"), picture()
    curves = [
        dga.pixel_perturbation(model, x, torch.randn_like(x), 0, order)
        for order in ("morf", "lerf")
    ]
    torch.testing.assert_close(curves[0][:, [0, -1]], curves[1][:, [0, -1]])
    torch.testing.assert_close(curves[0][:, 0], model(x).softmax(1)[:, 0])
    torch.testing.assert_close(curves[0][:, -1], model(torch.zeros_like(x)).softmax(1)[:, 0])


def test_ties_are_broken_by_seed_alike_in_any_batch():
    model, x = build("cnn"), picture(batch=4)
    flat = torch.zeros_like(x)
    whole = dga.pixel_perturbation(model, x, flat, 0, seed=1)
    parts = torch.cat([dga.pixel_perturbation(model, x[k : k + 1], flat[:1], 0, seed=1)
                       for k in range(4)])  # fmt: skip
    torch.testing.assert_close(whole, parts)
    other = dga.pixel_perturbation(model, x, flat, 0, seed=2)
    assert (whole - other).abs().max() > 1e-4


def test_target_is_the_class_of_the_untouched_picture_whatever_the_shares():
    model, x = build("cnn", 4), 5 * picture(8, batch=12)
    attribution = dga.gradient_times_input(model, x)
    kwargs = {"attribution": attribution, "order": "morf"}
    whole = dga.pixel_perturbation(model, x, shares=(0, 0.4), **kwargs)
    part = dga.pixel_perturbation(model, x, shares=(0.4,), **kwargs)
    torch.testing.assert_close(part[:, 0], whole[:, 1])
    assert (part < 0.2).any(), "no picture changed its class: nothing is tested"


def test_bad_arguments():
    model, x = build("cnn"), picture()
    for args, kwargs, kind, message in [
        ((x, None, "best"), {}, ValueError, "order must be one of 'morf', 'lerf'"),
        ((x[:2],), {}, ValueError, r"attribution has shape \(2, 3, 8, 8\)"),
        ((x / 0,), {}, ValueError, "attribution holds values"),
        ((None,), {}, TypeError, "attribution must be a floating-point tensor, got NoneType"),
        ((x,), {"shares": ()}, ValueError, "shares must hold one or more"),
        ((x,), {"shares": (0, 2)}, ValueError, "shares must be from 0 to 1, got 2"),
    ]:
        with pytest.raises(kind, match=message):
            dga.pixel_perturbation(model, x, *args, **kwargs)


def test_localisation_by_hand():
    attribution = torch.zeros(1, 1, 2, 5)
    attribution[0, 0, 0] = torch.tensor([5.0, 4.0, 3.0, -9.0, 0.0])
    mask = torch.zeros(1, 2, 5, dtype=torch.bool)
    mask[0, 0, :2] = True
    assert metrics.top_pixels(attribution, 0.3)[0].nonzero().tolist() == [[0, 0], [0, 1], [0, 2]]
    assert metrics.top_precision(attribution, mask, 0.2).tolist() == [1.0]
    torch.testing.assert_close(metrics.top_precision(attribution, mask, 0.3), torch.tensor([2 / 3]))
    torch.testing.assert_close(metrics.energy_inside(attribution, mask), torch.tensor([0.75]))


def test_random_ranking_finds_the_share_of_the_mask():
    generator = torch.Generator().manual_seed(0)
    attribution = torch.randn(200, 1, 20, 20, generator=generator)
    mask = torch.zeros(200, 20, 20, dtype=torch.bool)
    mask[:, :8] = True
    assert abs(metrics.top_precision(attribution, mask).mean().item() - 0.4) < 0.02


def test_bootstrap_covers_and_is_paired():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(200, generator=generator, dtype=torch.float64)
    mean, low, high = metrics.bootstrap_interval(torch.stack([base, base + 0.01], 1))
    assert (low < mean).all() and (mean < high).all()
    normal = (2 * 1.96 * base.std() / 200**0.5).expand(2)
    torch.testing.assert_close(high - low, normal, rtol=0.1, atol=0)
    difference = metrics.bootstrap_interval((base + 0.01) - base)
    assert difference[1] > 0.0099  # pairs cancel what the pictures share


def test_pointing_by_hand():
    attribution = torch.zeros(2, 3, 4, 4)
    attribution[0, :, 1, 2] = 1
    attribution[1, 0, 3, 3], attribution[1, :, 0, 0] = 2, 1  # the channel sum decides
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[:, 1, 2], mask[:, 3, 3] = True, True
    assert metrics.pointing(attribution, mask).tolist() == [True, False]


def slow_rank_correlation(a, b):
    """Ranks by counting, half for every tie."""

    def ranks(values):
        return [sum((v < w) + (v == w) / 2 for v in values) for w in values]

    pair = [ranks(m.sum(0).flatten().tolist()) for m in (a, b)]
    return torch.corrcoef(torch.tensor(pair, dtype=torch.float64))[0, 1].item()


def test_rank_correlation_against_counting():
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(0, 6, (3, 2, 5, 5), generator=generator).double()  # many ties
    b = torch.randn(3, 2, 5, 5, generator=generator).double() + 0.3 * a
    ours = metrics.rank_correlation(a, b)
    for k in range(3):
        assert ours[k].item() == pytest.approx(slow_rank_correlation(a[k], b[k]), abs=1e-12)
    torch.testing.assert_close(metrics.rank_correlation(a, 2 * a + 1), torch.ones(3).double())
    assert metrics.rank_correlation(a, torch.zeros_like(a)).isnan().all()


def test_remove_top_puts_the_mean_colour_in():
    x = torch.arange(32.0).view(1, 2, 4, 4)
    attribution = torch.zeros_like(x)
    attribution[0, 0, 0, :2] = 1
    removed = metrics.remove_top(x, attribution, 2 / 16)
    assert removed[0, :, 0, :2].tolist() == [[7.5, 7.5], [23.5, 23.5]]
    assert torch.equal(removed[0, :, 1:], x[0, :, 1:]) and torch.equal(
        removed[0, :, 0, 2:], x[0, :, 0, 2:]
    )
    assert torch.equal(metrics.remove_top(x, attribution, 0), x)


def test_cascading_randomization_works_from_the_top_on_a_copy():
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)
    ).eval()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    seen = [
        (name, [torch.equal(now[k], before[k]) for k in ("0.weight", "2.weight")])
        for name, changed in metrics.cascading_randomization(model)
        for now in [changed.state_dict()]
    ]
    assert seen == [("2", [True, False]), ("0", [False, False])]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="has no parameters"):
        next(metrics.cascading_randomization(torch.nn.ReLU()))


class Scaled(nn.Module):
    """A bare parameter, a layer scale, attention with its `in_proj`, a parameter of one number."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        x = torch.cat([self.token, x[None]], 1)
        return self.scale * self.attention(x, x, x)[0][0]


def computed_before_every_pass(layer):
    with torch.no_grad():
        layer(torch.rand(2, 4))
    return layer


AWKWARD = {
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(4, 4)),
    "older weight norm": lambda: weight_norm(nn.Linear(4, 4)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(4, 4)),
    "older spectral norm": lambda: spectral_norm(nn.Linear(4, 4)),
    "pruned": lambda: prune.random_unstructured(nn.Linear(4, 4), "weight", 0.3),
    "pruned, and run": lambda: computed_before_every_pass(
        prune.random_unstructured(nn.Linear(4, 4), "weight", 0.3)
    ),
    "fresh norm": lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)),
    "bare": Scaled,
}


@pytest.mark.filterwarnings("ignore:.*(weight_norm|spectral_norm).*:FutureWarning")
@pytest.mark.parametrize("kind", AWKWARD)
def test_cascading_randomization_changes_every_parameter_and_the_output(kind):
    model = AWKWARD[kind]().eval()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    x = torch.rand(2, 4)
    plain = model(x).detach()
    *_, (_, changed) = metrics.cascading_randomization(model)
    assert {n for n, _ in changed.named_parameters()} == set(before)
    for name, p in changed.named_parameters():
        assert not torch.equal(p, before[name]), name
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert not torch.allclose(changed(x), plain) and torch.equal(model(x), plain)
    again = list(metrics.cascading_randomization(model))[-1][1](x)
    assert torch.equal(again, changed(x))
    other = list(metrics.cascading_randomization(model, seed=9))[-1][1](x)
    assert not torch.allclose(again, other)


@pytest.mark.filterwarnings("ignore:.*spectral_norm.*:FutureWarning")
@pytest.mark.parametrize("norm", [parametrizations.spectral_norm, spectral_norm])
def test_a_randomised_spectral_norm_still_norms(norm):
    layer = norm(nn.Linear(6, 5)).eval()
    layer(torch.rand(2, 6))
    *_, (_, changed) = metrics.cascading_randomization(nn.Sequential(layer, nn.Linear(5, 2)))
    assert not changed[0].training
    changed(torch.rand(2, 6))
    assert float(torch.linalg.matrix_norm(changed[0].weight, 2)) == pytest.approx(1, rel=0.01)


def test_cascading_randomization_of_patched_compiled_and_fixed_networks():
    plain = nn.Linear(4, 2)
    patched, bound = nn.Linear(4, 2), nn.Linear(4, 2)
    patched.forward = lambda x, run=None, layer=plain: plain.forward(x)
    old = bound.forward
    bound.forward = types.MethodType(lambda self, x: old(x) + 1, bound)
    for model in (patched, bound):
        with pytest.raises(ValueError, match="was patched with a function"):
            metrics.cascading_randomization(nn.Sequential(model))
    compiled = torch.compile(plain, backend="eager")
    ((name, changed),) = metrics.cascading_randomization(compiled)
    x = torch.rand(3, 4)
    assert name == "" and not torch.allclose(changed(x), plain(x))
    whole = nn.Linear(2, 2)
    whole.steps = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
    with pytest.raises(ValueError, match=r"'0\.steps' could not be randomised"):
        list(metrics.cascading_randomization(nn.Sequential(whole)))


def test_cascading_randomization_leaves_the_random_numbers_of_other_threads():
    """Another thread draws all the while: its numbers are those of its seed."""
    model = nn.Sequential(*[nn.Linear(32, 32) for _ in range(30)])
    torch.manual_seed(5)
    expected = [torch.rand(1).item() for _ in range(2000)]
    torch.manual_seed(5)
    drawn = []
    thread = threading.Thread(
        target=lambda: drawn.extend(torch.rand(1).item() for _ in range(2000))
    )
    thread.start()
    for _ in metrics.cascading_randomization(model):
        pass
    thread.join()
    assert drawn == expected


# ---------------------------------------------------------------- filling in what was removed


def dense_imputation(x, kept):
    """One channel: the same system as a matrix, solved directly."""
    h, w = x.shape
    near = {(-1, 0): 2, (1, 0): 2, (0, -1): 2, (0, 1): 2,
            (-1, -1): 1, (-1, 1): 1, (1, -1): 1, (1, 1): 1}  # fmt: skip
    matrix, right = torch.eye(h * w, dtype=torch.float64), (x * kept).flatten().double()
    for i in range(h):
        for j in range(w):
            if kept[i, j]:
                continue
            there = {(i + a, j + b): weight for (a, b), weight in near.items()
                     if 0 <= i + a < h and 0 <= j + b < w}  # fmt: skip
            for (a, b), weight in there.items():
                matrix[i * w + j, a * w + b] = -weight / sum(there.values())
    return torch.linalg.solve(matrix, right).view(h, w)


def test_linear_imputation_by_hand():
    """A cross of four known neighbours; its corners are known too."""
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 6.0], [7.0, 8.0, 12.0]])
    kept = torch.ones(1, 1, 3, 3, dtype=torch.bool)
    kept[0, 0, 1, 1] = False
    filled = _imputed(x.view(1, 1, 3, 3), kept)
    assert filled[0, 0, 1, 1].item() == pytest.approx((2 + 4 + 6 + 8) / 6 + (1 + 3 + 7 + 12) / 12)
    assert torch.equal(filled[kept], x.view(1, 1, 3, 3)[kept])


@pytest.mark.parametrize("size", [(1, 7), (5, 4), (13, 17), (24, 24)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_linear_imputation_against_the_dense_twin(size, share):
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(3, 2, *size, generator=generator)
    kept = torch.rand(3, 1, *size, generator=generator) > share
    kept[..., 0, 0] = True
    kept[0, 0, : size[0] // 2 + 1, 1:] = False  # a hole
    filled = _imputed(x, kept)
    for k in range(3):
        for c in range(2):
            expected = dense_imputation(x[k, c], kept[k, 0])
            assert (filled[k, c] - expected).abs().max() < 1e-4 * x.abs().max()


@pytest.mark.parametrize("left", ["scattered", "corner"])
def test_linear_imputation_of_a_large_hole_satisfies_its_equations(left):
    """99 % of a large picture, in float32 right to 1e-4 of the largest value."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 112, 112, generator=generator)
    kept = torch.rand(2, 1, 112, 112, generator=generator) > 0.99
    if left == "corner":
        kept[:] = False
        kept[..., :11, :11] = True
    filled, exact = _imputed(x, kept), _imputed(x.double(), kept)
    assert (filled - exact).abs().max() < 1e-4 * x.abs().max()
    where = ~kept.expand_as(x)
    inner = torch.nn.functional.conv2d(
        exact.flatten(0, 1)[:, None],
        torch.tensor([[[[1.0, 2, 1], [2, 0, 2], [1, 2, 1]]]], dtype=torch.float64) / 12,
    ).view(2, 3, 110, 110)
    gap = (inner - exact[..., 1:-1, 1:-1])[where[..., 1:-1, 1:-1]]
    assert gap.abs().max() < 1e-4 * x.abs().max()
    one = _imputed(x[:1], kept[:1])
    assert (one - exact[:1]).abs().max() < 1e-4 * x.abs().max()


def test_nothing_and_everything_removed():
    x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    kept = torch.ones(2, 1, 9, 9, dtype=torch.bool)
    kept[1] = False
    for fill in FILLS:
        filled = filler(fill, x)(kept)
        assert torch.equal(filled[0], x[0])
    assert filled[1].abs().max() < 0.1  # the mean colour, and noise
    assert filler("mean", x)(kept)[1].abs().max() == 0
    torch.testing.assert_close(filler("blur", x)(kept)[1], blurred(x, 10 / 224)[1])


def test_blur_against_torchvision_away_from_the_border():
    transforms = pytest.importorskip("torchvision.transforms.functional")
    x = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    theirs = transforms.gaussian_blur(x, 51, 5.0)
    assert (blurred(x, 5 / 112) - theirs)[..., 30:-30, 30:-30].abs().max() < 1e-5
    torch.testing.assert_close(blurred(torch.ones(1, 3, 8, 8), 0.2), torch.ones(1, 3, 8, 8))


@pytest.mark.parametrize("fill", FILLS)
def test_perturbation_with_every_fill(fill):
    model, x = build("cnn"), picture(8, batch=3)
    a = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    shares = (0, 0.3, 1)
    curve = dga.pixel_perturbation(model, x, a, 0, "lerf", shares=shares, fill=fill, seed=4)
    for k, share in enumerate(shares):
        kept = ~metrics.top_pixels(-a, share, seed=4)[:, None]
        expected = model(filler(fill, x, 4)(kept)).softmax(1)[:, 0]
        torch.testing.assert_close(curve[:, k], expected, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------- contexts of the user


def everything(model, x, y):
    return [
        metrics.rank_correlation(x, y), *metrics.bootstrap_interval(x.flatten(1)[:, :3]),
        metrics.top_pixels(x), metrics.remove_top(x, y, 0.3),
        *(filler(fill, x)(y[:, :1] > 0) for fill in FILLS),
        dga.pixel_perturbation(model, x, y, 0),
        *list(metrics.cascading_randomization(model))[-1][1].parameters(),
    ]  # fmt: skip


def test_default_device_of_the_user():
    x, y = picture().float(), picture(5).float()
    model = build("cnn").float()
    expected = everything(model, x, y)
    torch.set_default_device("meta")
    try:
        got = everything(model, x, y)
    finally:
        torch.set_default_device(None)
    assert all(map(torch.equal, got, expected))


class OnlyFloat32(TorchDispatchMode):
    """A stand-in for a device without float64: pictures on it stay float32."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels = pixels

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            wide = isinstance(value, torch.Tensor) and value.dtype == torch.float64
            if wide and value.numel() >= self.pixels:
                raise TypeError(f"{func} made a float64 tensor as large as a picture")
        return result


@pytest.mark.filterwarnings("ignore:.*DispatchMode")
def test_perturbation_makes_no_float64_picture():
    model, x, y = build("cnn").float(), picture().float(), picture(5).float()
    with OnlyFloat32(64):
        for fill in FILLS:
            dga.pixel_perturbation(model, x, y, 0, "both", fill=fill)
        metrics.remove_top(x, y, 0.3), metrics.top_precision(x, x[:, 0] > 0)
        metrics.energy_inside(x, x[:, 0] > 0)


def test_rank_correlation_moves_to_the_cpu_before_it_widens(monkeypatch):
    """No device without float64 is here, so the order of the calls is watched."""
    x, y = picture().float(), picture(5).float()
    seen, plain = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: (seen.append(self.dtype), plain(self))[1])
    monkeypatch.setattr(metrics, "wide_dtype", lambda device: torch.float32)
    assert metrics.rank_correlation(x, y).dtype == torch.float32
    assert seen == [torch.float32] * 2
    metrics.bootstrap_interval(x.flatten())
    assert seen == [torch.float32] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("classes", [1, 10])
@pytest.mark.filterwarnings("ignore:model")
def test_probabilities_are_taken_as_they_are_in_every_type(dtype, classes):
    """Rounded rows do not sum to 1, and whether they nearly do must not depend on the batch."""
    torch.manual_seed(0)
    last = nn.Sigmoid() if classes == 1 else nn.Softmax(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, classes), last).to(dtype).eval()
    x = (torch.randn(16, 3, 2, 2) * 4).to(dtype)
    truth = model(x).float().max(1).values if classes > 1 else model(x).float()[:, 0]
    for batch in (1, 2, 16):
        found = dga.pixel_perturbation(model, x[:batch], x[:batch], shares=(0,))[:, 0]
        torch.testing.assert_close(found, truth[:batch], rtol=0.02, atol=0)
    if dtype == torch.float32:
        with dga.precision("bfloat16"):
            found = dga.pixel_perturbation(model, x, x, shares=(0,))[:, 0]
        torch.testing.assert_close(found, truth, rtol=0.1, atol=0.02)


@pytest.mark.filterwarnings("ignore")
def test_a_script_that_ends_in_a_sigmoid_is_read_however_often_it_ran():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 2, 2)
    for last in (nn.Sigmoid(), nn.Tanh()):
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 1), last).eval()
        truth = dga.pixel_perturbation(model, x, x)
        script = torch.jit.script(model)
        for _ in range(4):
            torch.testing.assert_close(dga.pixel_perturbation(script, x, x), truth)

    class Wraps(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)

    # Another type: scripts of one type share what was optimised.
    x, script = x[:1], torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(12, 1), nn.GELU()))
    for _ in range(3):
        script(x.clone().requires_grad_())  # from now on it shows autograd one node
    wrapped = Wraps(script).eval()
    with pytest.raises(ValueError, match="whether its one score is a probability cannot be seen"):
        dga.pixel_perturbation(wrapped, x, x)
    dga.gradient(wrapped, x)  # needs no probability


def test_a_probability_that_is_not_a_number_is_told():
    head = nn.Linear(12, 2)

    def model(x):
        x = x.flatten(1)
        return head((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True))

    x = torch.rand(1, 3, 2, 2)
    with pytest.raises(ValueError, match="not finite"):
        dga.pixel_perturbation(model, x, x, shares=(0, 1))


def test_maps_that_are_not_finite_or_of_short_numbers():
    a, mask = torch.rand(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, 0, 0] = True
    broken = a.clone()
    broken[0, 0, 0, 0] = float("nan")
    for measure in (
        lambda: metrics.pointing(broken, mask),
        lambda: metrics.top_precision(broken, mask, 1 / 16),
        lambda: metrics.energy_inside(broken, mask),
        lambda: metrics.rank_correlation(broken, a),
        lambda: metrics.rank_correlation(a, broken),
    ):
        with pytest.raises(ValueError, match="not finite"):
            measure()
    heat = torch.full((1, 1, 300, 300), 3.0).half()
    upper = torch.zeros(1, 300, 300, dtype=torch.bool)
    upper[:, :50] = True
    assert metrics.energy_inside(heat, upper).item() == pytest.approx(1 / 6)


def test_linear_imputation_does_not_depend_on_the_batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 32, 32, generator=generator) * torch.tensor([1.0, 1e4]).view(2, 1, 1, 1)
    kept = torch.rand(2, 1, 32, 32, generator=generator) > 0.6
    kept[1] = True
    both, alone = filler("linear", x)(kept), filler("linear", x[:1])(kept[:1])
    torch.testing.assert_close(both[:1], alone, rtol=0, atol=2e-4)
    with torch.autocast("cpu", torch.bfloat16):
        inside = blurred(x[:1], 0.05)
    torch.testing.assert_close(inside, blurred(x[:1], 0.05), rtol=0, atol=1e-6)
