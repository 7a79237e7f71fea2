"""Frozen layers give what PyTorch's own give, and their inputs the same gradients."""

import pytest
import torch
import torch.nn.functional as F

from prompting.frozen import QuickGELU, linear


@pytest.mark.parametrize("inputs", [96, 2048])
def test_linear(inputs):
    torch.manual_seed(0)
    x = torch.randn(5, inputs, requires_grad=True)
    weight, bias = torch.randn(3 * 48, inputs)[48:96] / inputs**0.5, torch.randn(48)
    towards = torch.randn(48, 5).t()  # not contiguous, as gradients may come
    ours, plain = linear(x, weight, bias), F.linear(x, weight, bias)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, towards)[0] for y in (ours, plain)), rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_trained_keeps_its_gradient():
    weight = torch.randn(4, 6, requires_grad=True)
    linear(torch.randn(3, 6), weight, torch.zeros(4)).sum().backward()
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_quick_gelu(dtype):
    x = torch.linspace(-8, 8, 101, dtype=dtype, requires_grad=True)
    ours, plain = QuickGELU.apply(x), x * torch.sigmoid(1.702 * x)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(*(torch.autograd.grad(y.pow(2).sum(), x)[0] for y in (ours, plain)))


@pytest.mark.skipif(not hasattr(torch.compiler, "is_compiling"), reason="its compiler copes")
def test_a_compiler_is_given_what_it_can_compile():
    """Newer compilers refuse oneDNN's operator with a weight that is an argument."""
    code = []

    def look(graph, _):
        code.append(graph.code)
        return graph.forward

    x, weight, bias = torch.randn(5, 96), torch.randn(48, 96), torch.randn(48)
    compiled = torch.compile(linear, backend=look)
    torch.testing.assert_close(compiled(x, weight, bias), linear(x, weight, bias), rtol=1e-5, atol=1e-5)
    assert len(code) == 1 and "linear" in code[0] and "_Linear" not in code[0] and "mkldnn" not in code[0]
