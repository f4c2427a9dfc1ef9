"""The TCMax loss for PyTorch: bound, loss and additive heads.

An additive head has a term g_m(z_m) (B, C) for each of its M modalities, and the logits f = g_1 + ... + g_M. On a batch
the loss is

    L = CE + weight (R - log C)
    CE = -1/B sum_i ( f_i[y_i] - S_i ),   S_i = logsumexp_c f_i[c]
    R = -1/B sum_i S_i + logsumexp_c sum_m ( logsumexp_j g_m[j, c] - log B )

which is exact over all B^M tuples at O(M B C): with weight 1 minus the Donsker-Varadhan bound on the total correlation
of all modalities and the label (Multimodal Classification via Total Correlation Maximization, ICLR 2026), with weight 0
cross-entropy.

Terms in single or double precision on the CPU are computed by the compiled part, without a copy where they are
contiguous, with the gradient; all others (CUDA, MPS, half precision, functions transformed by ``torch.func``) by
PyTorch operations of the same formula.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

try:
    import torch
except ImportError as error:
    raise ImportError("tcmax.torch needs PyTorch: pip install torch") from error

from torch import Tensor, nn

from . import _tcmax
from ._tcmax import Error

__all__ = [
    "ConcatHead",
    "SharedHead",
    "SumHead",
    "TCMaxLoss",
    "class_vectors",
    "matching_score",
    "missing_modality_logits",
    "tcmax_loss",
    "total_correlation",
    "total_correlation_bound",
]


def total_correlation_bound(terms: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Compute the bound that TCMax maximises, in nats: minus the loss of weight 1.

    It bounds KL(p(z, y) || prod_m p(z_m) U(y)) = TC(z, y) + log C - H(y) from below, up to the bias of a sum over one
    batch; see `total_correlation` for TC(z, y). It never exceeds (M - 1) log B + log C.

    Parameters
    ----------
    terms : sequence of Tensor of shape (B, C)
        g_m(z_m) of each modality, M of them.
    labels : Tensor of shape (B,)
        Classes from 0 to C - 1.

    Returns
    -------
    Tensor
        A scalar with its graph.

    Raises
    ------
    tcmax.Error
        When shapes or types do not fit, or a label is no class.

    Examples
    --------
    >>> import torch
    >>> term = torch.tensor([[9.0, -9.0], [-9.0, 9.0]])
    >>> bound = total_correlation_bound([term, term], torch.tensor([0, 1]))
    >>> round(bound.item(), 4), round(2 * math.log(2), 4)  # three copies of one fair bit
    (1.3863, 1.3863)
    """
    return _bound(terms, labels, 1.0)


def tcmax_loss(terms: Sequence[Tensor], labels: Tensor, weight: float = 1.0) -> Tensor:
    """Compute the TCMax loss, in nats, to be minimised.

    Parameters
    ----------
    terms : sequence of Tensor of shape (B, C)
        g_m(z_m) of each modality, M of them.
    labels : Tensor of shape (B,)
        Classes from 0 to C - 1.
    weight : float
        From 0 (cross-entropy of the sum of the terms) to 1 (TCMax). Where nothing is known of the data, 0.1 is a good
        first try, and 1 where modalities compete.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    tcmax.Error
        As `total_correlation_bound`, and when the weight is out of range.
    """
    return -_bound(terms, labels, _checked_weight(weight))


class TCMaxLoss(nn.Module):
    """The TCMax loss of additive terms, in nats; see `tcmax_loss`.

    From three modalities on, clip gradients at norm 5 (``torch.nn.utils.clip_grad_norm_``): that of the log-sum may
    collapse onto one example and class in all modalities in the same step.

    Parameters
    ----------
    weight : float
        From 0 (cross-entropy) to 1 (TCMax).

    Examples
    --------
    >>> loss = TCMaxLoss(weight=0.1)
    >>> terms = [torch.randn(8, 3, requires_grad=True) for _ in range(2)]
    >>> loss(terms, torch.randint(3, (8,))).backward()
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = _checked_weight(weight)

    def forward(self, terms: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Compute the loss of terms (B, C) of each modality and labels (B,)."""
        return tcmax_loss(terms, labels, self.weight)

    def extra_repr(self) -> str:
        return f"weight={self.weight}"


@torch.no_grad()
def total_correlation(terms: Sequence[Tensor], labels: Tensor) -> float:
    """Estimate TC(z, y) from a batch, in nats: the bound less log C - H(y), H(y) being that of the batch's labels.

    On examples that trained the terms it is too high; report it of held-out ones.

    Parameters
    ----------
    terms : sequence of Tensor of shape (B, C)
    labels : Tensor of shape (B,)

    Returns
    -------
    float
    """
    bound = _bound(terms, labels, 1.0).item()
    classes = terms[0].shape[1]
    shares = torch.bincount(labels.detach().cpu().long(), minlength=classes).double() / len(labels)
    entropy = -torch.special.xlogy(shares, shares).sum().item()
    return bound - math.log(classes) + entropy


class _Blended(torch.autograd.Function):
    """The blend by the compiled part, which finds value and gradients in the same pass."""

    @staticmethod
    def forward(ctx, labels: Tensor, weight: float, *terms: Tensor) -> Tensor:
        first = terms[0]
        wants = any(ctx.needs_input_grad[2:])
        arrays = [term.detach().contiguous().numpy() for term in terms]
        compute = _tcmax.blended_f32 if first.dtype == torch.float32 else _tcmax.blended_f64
        of_labels = labels.detach().to(torch.int64).contiguous().numpy()
        value, _, _, gradients = compute(arrays, of_labels, weight, wants)
        ctx.weight, ctx.count = weight, len(terms)
        of_terms = (torch.from_numpy(gradient).view(first.shape) for gradient in gradients)
        ctx.save_for_backward(labels, *terms, *of_terms)
        constant = weight * (len(terms) * math.log(first.shape[0]) + math.log(first.shape[1]))
        return first.new_tensor(value + constant)

    @staticmethod
    def backward(ctx, grad: Tensor):
        labels, terms = ctx.saved_tensors[0], ctx.saved_tensors[1 : 1 + ctx.count]
        wants = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            # The gradient is going to be differentiated: PyTorch computes it again, with its graph.
            value = _composed(terms, labels, ctx.weight)
            wanted = [term for term, wants_it in zip(terms, wants) if wants_it]
            found = iter(torch.autograd.grad(value, wanted, grad, create_graph=True))
            return (None, None, *(next(found) if wants_it else None for wants_it in wants))
        of_terms = zip(ctx.saved_tensors[1 + ctx.count :], wants)
        return (None, None, *(gradient * grad if wants_it else None for gradient, wants_it in of_terms))


def _bound(terms: Sequence[Tensor], labels: Tensor, weight: float) -> Tensor:
    """The mean of f[y] - (1 - weight) S, less weight times the log mean over all tuples and classes."""
    terms, labels = _checked_terms(terms, labels)
    native = all(_is_native(term, terms[0].dtype) for term in terms) and labels.device.type == "cpu"
    if native and not _is_transformed(*terms, labels):
        return _Blended.apply(labels, weight, *terms)
    return _composed(terms, labels, weight)


def _is_native(term: Tensor, dtype: torch.dtype) -> bool:
    is_plain = term.device.type == "cpu" and term.layout == torch.strided
    return is_plain and term.dtype == dtype and dtype in (torch.float32, torch.float64)


def _is_transformed(*tensors: Tensor) -> bool:
    """Whether there is no memory to look at: under torch.compile, torch.func and fake tensors."""
    if torch.jit.is_scripting() or torch.jit.is_tracing():
        return True
    compiler = getattr(torch, "compiler", None)
    if compiler is not None and getattr(compiler, "is_compiling", bool)():
        return True
    is_wrapped = getattr(torch._C._functorch, "is_functorch_wrapped_tensor", lambda _: False)
    return any(type(t) not in (Tensor, nn.Parameter) or is_wrapped(t) for t in tensors)


def _composed(terms: Sequence[Tensor], labels: Tensor, weight: float) -> Tensor:
    """The same by operations of PyTorch, on any device."""
    if terms[0].dtype in (torch.float16, torch.bfloat16):
        # Sums of exponentials in half precision lose what is minimised.
        terms = [term.float() for term in terms]
    labels = labels.to(terms[0].device, torch.int64)
    rows, classes = terms[0].shape
    scores = torch.stack(list(terms)).sum(0)
    value = scores.gather(1, labels.unsqueeze(1)).mean()
    if weight != 1.0:
        value = value - (1.0 - weight) * scores.logsumexp(1).mean()
    if weight != 0.0:
        normalisers = torch.stack([term.logsumexp(0) - math.log(rows) for term in terms]).sum(0)
        value = value - weight * (normalisers.logsumexp(0) - math.log(classes))
    return value


def _checked_weight(weight: float) -> float:
    weight = float(weight)
    if not 0.0 <= weight <= 1.0:
        raise Error(f"weight: must be a number from 0 to 1; got {weight}")
    return weight


def _checked_terms(terms: Sequence[Tensor], labels: Tensor) -> tuple[list[Tensor], Tensor]:
    if isinstance(terms, Tensor):
        if terms.ndim != 3:
            raise Error(f"terms: a sequence of M tensors (B, C) is needed; got one of shape {tuple(terms.shape)}")
        terms = terms.unbind(0)
    terms = list(terms)
    if not terms:
        raise Error("terms is empty; at least one modality is needed")
    first = terms[0]
    for m, term in enumerate(terms):
        if not isinstance(term, Tensor):
            raise TypeError(f"terms[{m}] is a {type(term).__name__}; a tensor (B, C) is needed")
        if term.ndim != 2 or 0 in term.shape:
            raise Error(f"terms[{m}] has shape {tuple(term.shape)}; (B, C) is needed, of one example and one class at least")
        if not term.is_floating_point():
            raise Error(f"terms[{m}] has dtype {term.dtype}; scores are floating-point numbers")
        if term.shape != first.shape:
            raise Error(
                f"terms[{m}] has shape {tuple(term.shape)}, but terms[0] has {tuple(first.shape)}; all need the "
                "same rows and classes"
            )
        if term.dtype != first.dtype or term.device != first.device:
            raise Error(f"terms[{m}] is {term.dtype} on {term.device}, but terms[0] is {first.dtype} on {first.device}")
    if not isinstance(labels, Tensor):
        labels = torch.as_tensor(labels)
    if labels.shape != first.shape[:1]:
        raise Error(
            f"labels have shape {tuple(labels.shape)}; ({first.shape[0]},) is needed, a class for each row of the terms"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise Error(f"labels have dtype {labels.dtype}; whole numbers from 0 to {first.shape[1] - 1} are needed")
    return terms, labels


def class_vectors(terms: Sequence[Tensor], present: Optional[Sequence[Optional[Tensor]]] = None) -> list[Tensor]:
    """Average each modality out: v_m[c] = log mean_k exp g_m(z_m^k)[c] over training examples k.

    Parameters
    ----------
    terms : sequence of Tensor of shape (N, C)
        g_m of training examples.
    present : sequence of Tensor of shape (N,), optional
        Of each modality, which examples have it, as booleans; others are ignored. A modality that no example has adds
        nothing.

    Returns
    -------
    list of Tensor of shape (C,)
        What takes the place of a modality that is absent; see `missing_modality_logits`.
    """
    vectors = []
    for m, term in enumerate(terms):
        term = term.detach()
        there = None if present is None else present[m]
        if there is not None:
            term = term[there.to(term.device)]
        if len(term) == 0:
            vectors.append(term.new_zeros(term.shape[1]))
        else:
            vectors.append(term.logsumexp(0) - math.log(len(term)))
    return vectors


def missing_modality_logits(
    terms: Sequence[Optional[Tensor]],
    vectors: Sequence[Tensor],
    present: Optional[Sequence[Optional[Tensor]]] = None,
) -> Tensor:
    """Predict from the modalities that are there; softmax of the logits is p(y | what is there).

    At the maximum of the bound this is exact; for terms that were trained otherwise it is a heuristic.

    Parameters
    ----------
    terms : sequence of Tensor of shape (B, C) or None
        g_m(z_m) of each modality; ``None`` where no example has it.
    vectors : sequence of Tensor of shape (C,)
        The `class_vectors` of training examples, for each modality.
    present : sequence of Tensor of shape (B,), optional
        Of each modality, which examples have it, as booleans; ``None`` means all.

    Returns
    -------
    Tensor of shape (B, C)
        Where no term is given, (1, C).
    """
    if len(terms) != len(vectors):
        raise Error(f"vectors: there are {len(terms)} terms; got {len(vectors)} vectors")
    rows = next((len(term) for term in terms if term is not None), 1)
    total: Optional[Tensor] = None
    for m, (term, vector) in enumerate(zip(terms, vectors)):
        if term is None:
            own = vector.expand(rows, -1)
        else:
            if term.ndim != 2 or term.shape != (rows, len(vector)):
                raise Error(f"terms[{m}] has shape {tuple(term.shape)}; ({rows}, {len(vector)}) is needed")
            own, instead = term, vector.to(term)
            there = None if present is None else present[m]
            if there is not None:
                own = torch.where(there.to(term.device).unsqueeze(1), term, instead)
        total = own if total is None else total + own.to(total)
    if total is None:
        raise Error("terms is empty; at least one modality is needed")
    return total


def matching_score(terms: Sequence[Tensor]) -> Tensor:
    """Score whether modalities belong together: logsumexp_c f(z)[c], low for those that do not.

    At the maximum of the bound it is log p(z_1, ..., z_M) / prod_m p(z_m) up to a constant.

    Parameters
    ----------
    terms : sequence of Tensor of shape (B, C)

    Returns
    -------
    Tensor of shape (B,)
    """
    return torch.stack(list(terms)).sum(0).logsumexp(1)


class _Head(nn.Module):
    """An additive head: features of each modality to terms; the logits are their sum."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.widths = tuple(int(width) for width in widths)
        self.classes = int(classes)
        if not self.widths or min(self.widths) < 1:
            raise Error(f"widths: every modality has at least 1 feature; got {list(self.widths)}")
        if self.classes < 1:
            raise Error(f"classes: at least 1 is needed; got {self.classes}")

    def logits(self, features: Sequence[Tensor]) -> Tensor:
        """Compute logits (B, C) of features (B, D_m): softmax of them is p(y | z)."""
        return torch.stack(list(self(features))).sum(0)

    def _checked(self, features: Sequence[Tensor]) -> Sequence[Tensor]:
        if len(features) != len(self.widths):
            raise Error(f"features: the head has {len(self.widths)} modalities; got {len(features)}")
        for m, (z, width) in enumerate(zip(features, self.widths)):
            if z.ndim != 2 or z.shape[1] != width:
                raise Error(f"features[{m}] has shape {tuple(z.shape)}; (B, {width}) is needed")
        return features

    def extra_repr(self) -> str:
        return f"widths={list(self.widths)}, classes={self.classes}"


class ConcatHead(_Head):
    """One linear layer on all features side by side: g_m(z_m) = W_m z_m + b / M.

    Parameters are called as in tcmax's own models, ``fc_out.weight`` (C, sum of widths) and ``fc_out.bias`` (C,).

    Parameters
    ----------
    widths : sequence of int
        The number of features D_m of each modality.
    classes : int

    Examples
    --------
    >>> head = ConcatHead([128, 64], classes=10)
    >>> terms = head([torch.randn(32, 128), torch.randn(32, 64)])
    >>> [tuple(term.shape) for term in terms]
    [(32, 10), (32, 10)]
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__(widths, classes)
        self.fc_out = nn.Linear(sum(self.widths), self.classes)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the terms (B, C) of features (B, D_m)."""
        share = self.fc_out.bias / len(self.widths)
        blocks = self.fc_out.weight.split(self.widths, dim=1)
        return tuple(nn.functional.linear(z, w, share) for z, w in zip(self._checked(features), blocks))


class SumHead(_Head):
    """A linear layer for each modality: g_m(z_m) = W_m z_m + b_m.

    Parameters are called as in tcmax's own models: ``fc_x``, ``fc_y``, ``fc_2``, ``fc_3``, ...

    Parameters
    ----------
    widths : sequence of int
        The number of features D_m of each modality.
    classes : int
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__(widths, classes)
        for m, width in enumerate(self.widths):
            self.add_module(self._name(m), nn.Linear(width, self.classes))

    @staticmethod
    def _name(m: int) -> str:
        return ("fc_x", "fc_y")[m] if m < 2 else f"fc_{m}"

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the terms (B, C) of features (B, D_m)."""
        return tuple(getattr(self, self._name(m))(z) for m, z in enumerate(self._checked(features)))


class SharedHead(_Head):
    """One linear layer for every modality: g(z) = W z + b, all features being of one width.

    Parameters are called as in tcmax's own models, ``fc_out.weight`` and ``fc_out.bias``. As a critic, and so for
    prediction after training by TCMax, the head is the sum of the terms.

    Parameters
    ----------
    widths : sequence of int
        The number of features of each modality, all equal.
    classes : int
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__(widths, classes)
        if len(set(self.widths)) > 1:
            raise Error(f"widths: a shared head needs equal ones; got {list(self.widths)}")
        self.fc_out = nn.Linear(self.widths[0], self.classes)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the terms (B, C) of features (B, D)."""
        return tuple(self.fc_out(z) for z in self._checked(features))
