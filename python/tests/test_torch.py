"""The bound and the loss for PyTorch, against a sum over all tuples."""

import itertools
import math

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: tests of tcmax.torch are skipped")

import tcmax
import tcmax.torch as tt


def brute_force(terms, labels, weight=1.0):
    """The loss by a sum over every tuple of rows and every class, one by one."""
    rows, classes = terms[0].shape
    scores = sum(terms)
    cross_entropy = torch.nn.functional.cross_entropy(scores, labels)
    tuples = itertools.product(range(rows), repeat=len(terms))
    of_tuples = [sum(term[j] for term, j in zip(terms, tuple_)).logsumexp(0) for tuple_ in tuples]
    over_tuples = torch.stack(of_tuples).logsumexp(0) - len(terms) * math.log(rows)
    penalty = over_tuples - scores.logsumexp(1).mean() - math.log(classes)
    return cross_entropy + weight * penalty


def batch(modalities, rows, classes, scale=2.0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    terms = [scale * torch.randn(rows, classes, generator=generator, dtype=torch.float64) for _ in range(modalities)]
    labels = torch.randint(classes, (rows,), generator=generator)
    return [term.to(dtype).requires_grad_() for term in terms], labels


@pytest.mark.parametrize("modalities, rows, classes", [(1, 5, 3), (2, 6, 4), (3, 4, 2), (4, 3, 3), (5, 2, 2)])
@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_loss_and_gradients_are_those_of_the_sum_over_all_tuples(modalities, rows, classes, weight):
    terms, labels = batch(modalities, rows, classes)
    wanted = brute_force(terms, labels, weight)
    found = tt.TCMaxLoss(weight)(terms, labels)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-10)
    gradients = [torch.autograd.grad(loss, terms) for loss in (found, wanted)]
    for own, of_sum in zip(*gradients):
        torch.testing.assert_close(own, of_sum, atol=1e-10, rtol=0)


def test_bound_is_minus_the_loss_and_keeps_its_cap():
    terms, labels = batch(3, 40, 5, scale=30.0)
    bound = tt.total_correlation_bound(terms, labels)
    assert bound.item() == pytest.approx(-tt.tcmax_loss(terms, labels).item())
    assert bound.item() <= 2 * math.log(40) + math.log(5)
    # Three copies of one fair bit.
    term = torch.tensor([[30.0, -30.0], [-30.0, 30.0]])
    assert tt.total_correlation_bound([term, term], torch.tensor([0, 1])).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_operations_of_other_devices_have_the_same_value_and_gradient(weight):
    terms, labels = batch(3, 50, 7)
    native, composed = tt._bound(terms, labels, weight), tt._composed(terms, labels, weight)
    assert native.item() == pytest.approx(composed.item(), abs=1e-12)
    for own, other in zip(torch.autograd.grad(native, terms), torch.autograd.grad(composed, terms)):
        torch.testing.assert_close(own, other, atol=1e-12, rtol=0)


def test_single_precision_is_near_and_stays_single():
    terms, labels = batch(2, 64, 10)
    singles = [term.detach().float().requires_grad_() for term in terms]
    exact, near = tt.tcmax_loss(terms, labels), tt.tcmax_loss(singles, labels)
    assert near.dtype == torch.float32
    assert near.item() == pytest.approx(exact.item(), abs=1e-5)
    near.backward()
    assert singles[0].grad.dtype == torch.float32


def test_half_precision_is_computed_in_single():
    terms, labels = batch(2, 32, 4, dtype=torch.bfloat16)
    loss = tt.tcmax_loss(terms, labels)
    wanted = tt.tcmax_loss([term.detach().double() for term in terms], labels)
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(wanted.item(), abs=1e-4)
    loss.backward()
    assert terms[1].grad.dtype == torch.bfloat16


@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_gradcheck(weight):
    terms, labels = batch(3, 5, 4)
    assert torch.autograd.gradcheck(lambda *terms: tt.tcmax_loss(terms, labels, weight), terms)


@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_gradients_can_be_differentiated(weight):
    terms, labels = batch(2, 4, 3)
    assert torch.autograd.gradgradcheck(lambda *terms: tt.tcmax_loss(terms, labels, weight), terms)
    # Of some terms alone.
    others = [terms[0], terms[1].detach()]
    assert torch.autograd.gradgradcheck(lambda first: tt.tcmax_loss([first, others[1]], labels, weight), terms[:1])


def test_strided_terms_other_integers_and_constants():
    base = torch.randn(4, 2, 6, dtype=torch.float64)
    terms = [base[:, 0, :].requires_grad_(), base.transpose(0, 2)[:, 1, :].T]
    labels = torch.tensor([0, 5, 2, 2], dtype=torch.int32)
    loss = tt.tcmax_loss(terms, labels)
    assert loss.item() == pytest.approx(brute_force(terms, labels.long()).item(), abs=1e-10)
    loss.backward()
    assert terms[0].grad.shape == (4, 6)
    # No gradient is computed where none is wanted.
    assert not tt.tcmax_loss([term.detach() for term in terms], labels).requires_grad
    # One tensor (M, B, C) is M terms.
    stacked = torch.stack([term.detach() for term in terms])
    assert tt.tcmax_loss(stacked, labels).item() == pytest.approx(loss.item())


def test_transformed_functions_take_the_other_way():
    terms, labels = batch(2, 6, 3)
    wanted = torch.autograd.grad(tt.tcmax_loss(terms, labels), terms[:1])[0]
    detached = [term.detach() for term in terms]
    found = torch.func.grad(lambda first: tt.tcmax_loss([first, detached[1]], labels))(detached[0])
    torch.testing.assert_close(found, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: terms on one are not tested")
def test_cuda_terms():
    terms, labels = batch(2, 16, 5)
    on_device = [term.detach().cuda().requires_grad_() for term in terms]
    loss = tt.tcmax_loss(on_device, labels.cuda())
    assert loss.device.type == "cuda"
    assert loss.item() == pytest.approx(tt.tcmax_loss(terms, labels).item(), abs=1e-10)
    loss.backward()
    assert on_device[0].grad.device.type == "cuda"


def test_what_does_not_fit_is_named():
    a, b = torch.zeros(4, 3), torch.zeros(4, 2)
    labels = torch.tensor([0, 1, 2, 0])
    with pytest.raises(tcmax.Error, match=r"terms\[1\] has shape \(4, 2\), but terms\[0\] has \(4, 3\)"):
        tt.tcmax_loss([a, b], labels)
    with pytest.raises(tcmax.Error, match="row 2: label 3 is out of range; with 3 classes labels are 0 to 2"):
        tt.tcmax_loss([a, a], torch.tensor([0, 1, 3, 0]))
    with pytest.raises(tcmax.Error, match="row 0: label -1"):
        tt.tcmax_loss([a, a], torch.tensor([-1, 1, 2, 0]))
    with pytest.raises(tcmax.Error, match=r"labels have shape \(3,\)"):
        tt.tcmax_loss([a, a], labels[:3])
    with pytest.raises(tcmax.Error, match="labels have dtype torch.float32"):
        tt.tcmax_loss([a, a], labels.float())
    with pytest.raises(tcmax.Error, match="terms is empty"):
        tt.tcmax_loss([], labels)
    with pytest.raises(tcmax.Error, match=r"terms\[1\] is torch.float64"):
        tt.tcmax_loss([a, a.double()], labels)
    with pytest.raises(tcmax.Error, match="weight: must be a number from 0 to 1; got 2.0"):
        tt.TCMaxLoss(2)
    with pytest.raises(TypeError, match=r"terms\[0\] is a list"):
        tt.tcmax_loss([[1.0]], labels)


def test_heads_are_additive_and_have_the_names_of_tcmax():
    features = [torch.randn(5, 4), torch.randn(5, 3), torch.randn(5, 2)]
    concat = tt.ConcatHead([4, 3, 2], classes=6)
    assert set(concat.state_dict()) == {"fc_out.weight", "fc_out.bias"}
    torch.testing.assert_close(sum(concat(features)), concat.fc_out(torch.cat(features, 1)))
    torch.testing.assert_close(concat.logits(features), concat.fc_out(torch.cat(features, 1)))
    summed = tt.SumHead([4, 3, 2], classes=6)
    assert {name.split(".")[0] for name in summed.state_dict()} == {"fc_x", "fc_y", "fc_2"}
    torch.testing.assert_close(summed(features)[2], summed.fc_2(features[2]))
    shared = tt.SharedHead([3, 3], classes=2)
    z = torch.randn(5, 3)
    torch.testing.assert_close(shared.logits([z, z]), 2 * shared.fc_out(z))
    with pytest.raises(tcmax.Error, match=r"features\[1\] has shape \(5, 4\); \(B, 3\) is needed"):
        concat([features[0], features[0], features[2]])
    with pytest.raises(tcmax.Error, match="equal ones"):
        tt.SharedHead([3, 4], classes=2)


def test_a_missing_modality_is_the_average_over_training_examples():
    terms, _ = batch(2, 20, 4)
    terms = [term.detach() for term in terms]
    vectors = tt.class_vectors(terms)
    first = terms[0][:3]
    found = tt.missing_modality_logits([first, None], vectors).softmax(1)
    # E over z_2 of exp f(z_1, z_2)[c], term by term.
    wanted = torch.stack([(first + other).exp() for other in terms[1]]).mean(0)
    torch.testing.assert_close(found, wanted / wanted.sum(1, keepdim=True))
    present = [None, torch.tensor([True, False, True])]
    mixed = tt.missing_modality_logits([first, terms[1][:3]], vectors, present)
    torch.testing.assert_close(mixed[0], first[0] + terms[1][0])
    torch.testing.assert_close(mixed[1], first[1] + vectors[1])
    some = tt.class_vectors(terms, present=[None, torch.arange(20) < 5])
    torch.testing.assert_close(some[1], terms[1][:5].exp().mean(0).log())


def test_training_by_the_loss_finds_the_total_correlation_of_copies():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (512,), generator=generator)
    features = [torch.nn.functional.one_hot(labels, 4).float() for _ in range(2)]
    torch.manual_seed(0)
    head = tt.ConcatHead([4, 4], classes=4)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.3)
    for _ in range(150):
        optimiser.zero_grad()
        tt.tcmax_loss(head(features), labels).backward()
        optimiser.step()
    found = tt.total_correlation(head(features), labels)
    assert found == pytest.approx(2 * math.log(4), abs=0.05)
