r"""Set Attention Block: elements of a set look at each other, in no order, and any number of them may be padding.

    SAB(X) = LayerNorm(H + rFF(H)),      H = LayerNorm(X + Multihead(X, X, X)),

with rFF one hidden layer applied to every element alike. Permuting the elements permutes the result. Cost: r^2 h for r
elements of width h.

Reference: Lee, Lee, Kim, Kosiorek, Choi, Teh, "Set Transformer: A Framework for Attention-based Permutation-Invariant
Neural Networks", ICML 2019, arXiv 1810.00825, eqs. 6-8.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class SetAttentionBlock(nn.Module):
    """One block; see the module docstring.

    Parameters
    ----------
    width
        Features of an element, before and after.
    heads
        Number of attention heads; divides `width`.

    Raises
    ------
    ValueError
        When `heads` does not divide `width`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"heads: expected a divisor of the width {width}, got {heads}")
        self._heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.after_attention = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.after_feed = nn.LayerNorm(width)

    def forward(self, elements: Tensor, present: Tensor) -> Tensor:
        """Map (B, r, width) to (B, r, width); `present` (B, r) is false where an element is padding.

        Nobody looks at padding. What comes out in its place is finite and means nothing. Every set has an element.
        """
        seen = elements + self._attend(elements, present)
        seen = self.after_attention(seen)
        fed: Tensor = self.after_feed(seen + self.feed(seen))
        return fed

    def _attend(self, elements: Tensor, present: Tensor) -> Tensor:
        batch, count, width = elements.shape
        split = self.project(elements).view(batch, count, 3, self._heads, width // self._heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        looked = scaled_dot_product_attention(query, key, value, attn_mask=present[:, None, None, :])
        joined: Tensor = self.join(looked.transpose(1, 2).reshape(batch, count, width))
        return joined
