"""Influence: which rivals are tied to the leader, through whom, in the graph of who uses whom."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prillm_or.market.market import Market, Mask
from prillm_or.users.problem import is_ample


def chains(market: Market, used: Mask) -> Mapping[int, tuple[str, ...]]:
    """The shortest way from the leader to each rival it is tied to, by the rival's position.

    Two providers that share a user answer each other's prices; a rival that no chain of shared users ties to the leader
    has no influence on its load, as long as the pairs in use stay the same. A rival that no load congests, such as an
    outside option, ends a chain: what one of its users does no other user feels.

    Parameters
    ----------
    market
        The market.
    used
        Shape (n, m): the pairs in use; at a kink those on either side.

    Returns
    -------
    ways
        Ids, a provider's and a user's in turn, beginning with one of the leader's.
    """
    import networkx as nx

    ample = is_ample(market.capacity, market.demand) if market.congested else np.ones(market.m, dtype=np.bool_)
    ample[list(market.leader)] = False  # its users answer its own price
    graph = nx.DiGraph()
    graph.add_nodes_from(("provider", j) for j in range(market.m))
    graph.add_edges_from((("user", i), ("provider", j)) for i, j in np.argwhere(used).tolist())
    graph.add_edges_from((("provider", j), ("user", i)) for i, j in np.argwhere(used & ~ample).tolist())
    graph.add_edges_from((("leader", 0), ("provider", j)) for j in market.leader)
    ways = nx.single_source_shortest_path(graph, ("leader", 0))
    ids = {"user": market.user_ids, "provider": market.provider_ids}
    return {
        j: tuple(ids[kind][k] for kind, k in ways["provider", j][1:]) for j in market.rivals if ("provider", j) in ways
    }
