"""The model efficientnet-lite0-netvlad, which sameplace finds here by its name."""
