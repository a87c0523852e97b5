"""How a place is described: backbones, NetVLAD, pooling, whitening (torch)."""
