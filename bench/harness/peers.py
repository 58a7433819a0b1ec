"""The servers that are measured, by name."""

from .building import BENCH, BUILD, ROOT, Unavailable, build_client, run
from .libraries import Axum, Coder, Gorilla, Multithread, UWebSockets, Ws
from .products import Centrifugo, Gaugeway, Nchan
from .serving import serving

__all__ = ["BENCH", "BUILD", "ROOT", "Gaugeway", "Unavailable", "all_peers", "build_client", "run", "serving"]


def all_peers(gaugeway_binary=None):
    """Every peer by name."""
    peers = [
        Gorilla("gorilla"),
        Gorilla("gorilla-direct", ("-direct",)),
        Coder(),
        Ws(),
        Axum(),
        Nchan(),
        Centrifugo(),
        UWebSockets(),
        Multithread(),
        Gaugeway("gaugeway", gaugeway_binary),
        Gaugeway("gaugeway1", gaugeway_binary, ("server.shards=1",)),
    ]
    return {peer.name: peer for peer in peers}
