"""Frozen layers give the same outputs and input gradients as PyTorch's own layers."""

import pytest
import torch
import torch.nn.functional as F

from prompting import frozen
from prompting.frozen import QuickGELU, linear


@pytest.fixture(params=["oneDNN", "stand-in"])
def products(request, monkeypatch):
    """The shapes that oneDNN's operator multiplies; a plain product stands in for it, so that all machines test it."""
    operator = frozen._onednn
    if request.param == "stand-in":

        def operator(x, weight, bias, *_):
            return x @ weight.t() if bias is None else x @ weight.t() + bias

    elif operator is None:
        pytest.skip("this PyTorch has no oneDNN operator")
    shapes = []

    def recorded(x, weight, *args):
        shapes.append((tuple(x.shape), tuple(weight.shape)))
        return operator(x, weight, *args)

    monkeypatch.setattr(frozen, "_onednn", recorded)
    return shapes


@pytest.mark.parametrize("inputs", [96, 2048])
def test_linear(products, inputs):
    torch.manual_seed(0)
    x = torch.randn(5, inputs, requires_grad=True)
    weight, bias = torch.randn(3 * 48, inputs)[48:96] / inputs**0.5, torch.randn(48)
    gradient = torch.randn(48, 5).t()  # not contiguous, as gradients may be
    output = linear(x, weight, bias)
    (x_gradient,) = torch.autograd.grad(output, x, gradient)
    # in float64, so that neither oneDNN nor MKL is compared with itself
    expected = x.detach().double() @ weight.double().t() + bias.double()
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x_gradient.double(), gradient.double() @ weight.double(), rtol=1e-5, atol=1e-5)
    backward = ((5, 48), (inputs, 48))
    assert products == ([((5, inputs), (48, inputs)), backward] if inputs == 96 else [backward])


def test_linear_without_onednn(monkeypatch):
    monkeypatch.setattr(frozen, "_onednn", None)
    x, weight, bias = torch.randn(5, 96, requires_grad=True), torch.randn(48, 96), torch.randn(48)
    output = linear(x, weight, bias)
    assert torch.equal(output, F.linear(x, weight, bias))
    assert output.grad_fn.name() == F.linear(x, weight, bias).grad_fn.name()


def test_a_trainable_weight_gets_its_gradient(products):
    weight = torch.randn(4, 6, requires_grad=True)
    linear(torch.randn(3, 6), weight, torch.zeros(4)).sum().backward()
    assert weight.grad.abs().sum() > 0 and not products


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_quick_gelu(dtype):
    x = torch.linspace(-8, 8, 101, dtype=dtype, requires_grad=True)
    ours, plain = QuickGELU.apply(x), x * torch.sigmoid(1.702 * x)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(*(torch.autograd.grad(y.pow(2).sum(), x)[0] for y in (ours, plain)))


@pytest.mark.skipif(not hasattr(torch.compiler, "is_compiling"), reason="its compiler accepts the operator")
def test_the_compiler_sees_a_plain_linear_layer(products):
    """Newer compilers reject oneDNN's operator if the weight is an argument."""
    code = []

    def backend(graph, _):
        code.append(graph.code)
        return graph.forward

    x, weight, bias = torch.randn(5, 96), torch.randn(48, 96), torch.randn(48)
    compiled = torch.compile(linear, backend=backend)
    output = compiled(x, weight, bias)
    assert not products
    torch.testing.assert_close(output, linear(x, weight, bias), rtol=1e-5, atol=1e-5)
    assert len(code) == 1 and "linear" in code[0] and "_Linear" not in code[0] and "mkldnn" not in code[0]
